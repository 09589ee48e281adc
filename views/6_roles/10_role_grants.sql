-- needs: 0029.roles

-- What each role may do, in one place; docs/roles.md says why. What analysts read, the reports' own files give. A row
-- about what a database does not have, such as the ledger where llm-db was never used, counts for nothing.
CREATE OR REPLACE VIEW ops.role_grants AS
WITH wanted (role_name, privilege, kind, objects, columns) AS (
    VALUES
    -- reporting.may_read_people() asks for this. The schema is not theirs: they read the reports.
    ('llm_people_reader', 'SELECT', 'TABLE', ARRAY['llm.users'], ARRAY['user_name', 'user_email']),
    ('llm_people_reader', 'EXECUTE', 'ROUTINE', ARRAY['ops.find_mentions(text[])'], NULL),

    ('llm_app', 'USAGE', 'SCHEMA', ARRAY['llm'], NULL),
    ('llm_app', 'SELECT', 'TABLE', ARRAY[
        'llm.deployment_statuses', 'llm.environments', 'llm.learning_types', 'llm.model_types', 'llm.roles',
        'llm.session_statuses', 'llm.session_types', 'llm.task_categories',
        'llm.departments', 'llm.projects', 'llm.models', 'llm.model_configs', 'llm.deployments'
    ], NULL),
    ('llm_app', 'SELECT', 'TABLE', ARRAY['llm.users'], ARRAY[
        'user_id', 'user_email', 'role', 'is_active', 'department_id'
    ]),
    ('llm_app', 'SELECT', 'TABLE', ARRAY['llm.prompt_templates'], ARRAY[
        'template_id', 'template_name', 'prompt_s3_path', 'description', 'task_category', 'variables', 'created_at',
        'version', 'created_by'
    ]),
    ('llm_app', 'INSERT', 'TABLE', ARRAY['llm.sessions', 'llm.session_logs'], NULL),
    ('llm_app', 'SELECT', 'TABLE', ARRAY['llm.sessions'], NULL),
    ('llm_app', 'SELECT', 'TABLE', ARRAY['llm.session_logs'], ARRAY[
        'session_id', 'request_time', 'response_time', 'latency', 'deployment_id', 'config_id', 'template_id',
        'token_used', 'log_sequence'
    ]),
    ('llm_app', 'UPDATE', 'TABLE', ARRAY['llm.sessions'], ARRAY['end_time', 'status']),
    ('llm_app', 'UPDATE', 'TABLE', ARRAY['llm.session_logs'], ARRAY[
        'response_time', 'token_used', 'request_prompt_s3_path', 'response_s3_path'
    ]),

    ('llm_loader', 'USAGE', 'SCHEMA', ARRAY['llm', 'llm_db'], NULL),
    ('llm_loader', 'TEMPORARY', 'DATABASE', ARRAY[quote_ident(current_database())], NULL),
    ('llm_loader', 'SELECT', 'TABLE', ARRAY[
        'llm.session_statuses', 'llm.session_types', 'llm.projects', 'llm.models', 'llm.model_configs',
        'llm.deployments', 'llm.prompt_templates_base', 'llm.sessions', 'llm.session_logs', 'llm_db.loads',
        'llm_db.load_rejects'
    ], NULL),
    ('llm_loader', 'SELECT', 'TABLE', ARRAY['llm.users'], ARRAY['user_id', 'user_email']),
    ('llm_loader', 'INSERT', 'TABLE', ARRAY[
        'llm.sessions', 'llm.session_logs', 'llm_db.loads', 'llm_db.load_rejects'
    ], NULL),
    ('llm_loader', 'UPDATE', 'TABLE', ARRAY['llm.sessions'], ARRAY['start_time', 'end_time']),
    ('llm_loader', 'DELETE', 'TABLE', ARRAY['llm_db.load_rejects'], NULL),
    ('llm_loader', 'EXECUTE', 'ROUTINE', ARRAY[
        'llm.attach_months()', 'llm.begin_months(date[])', 'llm.create_month(date)', 'llm.return_month(date)'
    ], NULL),

    ('llm_operator', 'USAGE', 'SCHEMA', ARRAY['llm', 'ops'], NULL),
    ('llm_operator', 'SELECT', 'TABLE', ARRAY[
        'llm.retention', 'ops.health', 'ops.months', 'ops.role_grants', 'ops.rollups', 'ops.sizes'
    ], NULL),
    ('llm_operator', 'EXECUTE', 'ROUTINE', ARRAY[
        'llm.create_month(date)',
        'llm.create_months(date, date)',
        'llm.drop_month(date)',
        'llm.drop_old_months(integer)',
        'llm.erase_user(bigint, text[])',
        'llm.fold_template_uses()',
        'llm.maintain()',
        'llm.move_default_rows()',
        'ops.at_work()',
        'ops.begin_refresh(timestamp with time zone, interval, integer)',
        'ops.change_time_zone(text)',
        'ops.create_next_month(date[])',
        'ops.drop_month(date, boolean, timestamp with time zone)',
        'ops.drop_next_month(integer, date)',
        'ops.is_ours(oid)',
        'ops.maintain_step(text, jsonb)',
        'ops.month_problem(date)',
        'ops.months_between(date, date)',
        'ops.months_in_default()',
        'ops.months_to_drop(integer)',
        'ops.refresh_step(jsonb)',
        'ops.refresh_rollups(timestamp with time zone, interval, integer)',
        'ops.repair_month(date)',
        'ops.restart_rollups()',
        'ops.retention_border(integer)',
        'ops.rows_waiting(text)',
        'ops.run_checks()',
        'ops.set_reporting_time_zone(text)',
        'ops.stored_bytes(regclass)',
        'ops.stored_rows(regclass)',
        'rollup.noted(text)',
        'rollup.noted_days(text)'
    ], NULL),

    ('llm_auditor', 'USAGE', 'SCHEMA', ARRAY['audit'], NULL),
    ('llm_auditor', 'SELECT', 'TABLE', ARRAY['audit.changes', 'audit.months'], NULL),
    ('llm_auditor', 'EXECUTE', 'ROUTINE', ARRAY['audit.changes_by_day(date)', 'audit.history(text, text[])'], NULL),

    -- Reports that show each manager one department, what they call, and what their columns are called. Schema rollup
    -- is not theirs: called by its name, such a function would tell of all.
    ('llm_manager', 'USAGE', 'SCHEMA', ARRAY['reporting'], NULL),
    ('llm_manager', 'SELECT', 'TABLE', ARRAY[
        'reporting.budgets', 'reporting.daily_cost_by_department', 'reporting.daily_latency_by_department',
        'reporting.daily_sessions', 'reporting.daily_usage_by_department', 'reporting.data_dictionary',
        'reporting.department_overview', 'reporting.monthly_cost_by_department',
        'reporting.monthly_usage_by_department', 'reporting.sessions_without_project',
        'reporting.weekly_cost_by_department', 'reporting.weekly_usage_by_department'
    ], NULL),
    ('llm_manager', 'EXECUTE', 'ROUTINE', ARRAY[
        'reporting.may_read_people()',
        'reporting.time_zone()',
        'rollup.all_prices(rollup.gpu_spans[], text, boolean)',
        'rollup.bigint_sum(bigint)',
        'rollup.bucket_latency_ms(integer)',
        'rollup.calendar(timestamp without time zone, timestamp without time zone, interval)',
        'rollup.cost_case(bigint, bigint, numeric, numeric, numeric, numeric, numeric)',
        'rollup.day_costs(rollup.gpu_spans[], text, boolean, date, rollup.dimension, boolean, '
        'rollup.deployment_usage[])',
        'rollup.day_prices(rollup.gpu_spans[], text, boolean, date)',
        'rollup.day_start(timestamp without time zone, text)',
        'rollup.department_of(name)',
        'rollup.gpu_days(rollup.gpu_spans[], text, date, date)',
        'rollup.histogram_of(smallint[])',
        'rollup.histogram_percentile_ms(rollup.latency_histogram, double precision)',
        'rollup.histogram_sum(rollup.latency_histogram)',
        'rollup.latency_bucket(bigint)',
        'rollup.noted(text)',
        'rollup.noted_days(text)',
        'rollup.open_deployment_usage(tstzmultirange)',
        'rollup.open_logs(tstzmultirange)',
        'rollup.open_sessions(tstzmultirange)',
        'rollup.open_usage(tstzmultirange)',
        'rollup.rounded_part(numeric, numeric)',
        'rollup.sees_all(name)',
        'rollup.ten_decimals(numeric)'
    ], NULL)
), there (kind, object, oid) AS (
    SELECT 'SCHEMA', n.nspname::text, n.oid
    FROM pg_catalog.pg_namespace AS n
    UNION ALL
    SELECT 'TABLE', format('%s.%s', n.nspname, c.relname), c.oid
    FROM pg_catalog.pg_class AS c
    INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
    WHERE ops.is_ours(n.oid)
    UNION ALL
    -- Some people's settings quote all names.
    SELECT
        'ROUTINE', format('%s.%s(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), '"', '')), p.oid
    FROM pg_catalog.pg_proc AS p
    INNER JOIN pg_catalog.pg_namespace AS n ON p.pronamespace = n.oid
    WHERE ops.is_ours(n.oid)
    UNION ALL
    SELECT 'DATABASE', quote_ident(d.datname), d.oid
    FROM pg_catalog.pg_database AS d
), grants AS (
    SELECT
        w.role_name,
        format(
            'GRANT %s%s ON %s %s TO %s', w.privilege, ' (' || array_to_string(w.columns, ', ') || ')', w.kind, t.object,
            w.role_name
        ) AS statement,
        CASE
            WHEN w.kind = 'SCHEMA' THEN has_schema_privilege(r.oid, t.oid, w.privilege)
            WHEN w.kind = 'DATABASE' THEN has_database_privilege(r.oid, t.oid, w.privilege)
            WHEN w.kind = 'ROUTINE' THEN has_function_privilege(r.oid, t.oid, w.privilege)
            WHEN w.columns IS NULL THEN has_table_privilege(r.oid, t.oid, w.privilege)
            ELSE (
                SELECT bool_and(has_column_privilege(r.oid, t.oid, a.attnum, w.privilege))
                FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = t.oid AND a.attname::text = any(w.columns)
            )
        END AS is_given
    FROM wanted AS w
    CROSS JOIN LATERAL unnest(w.objects) AS o (object)
    INNER JOIN there AS t ON w.kind = t.kind AND o.object = t.object
    LEFT JOIN pg_catalog.pg_roles AS r ON w.role_name = r.rolname
)

SELECT
    s.role_name,
    r.oid IS NOT NULL AS role_exists,
    s.statement,
    coalesce(s.is_given, false) AS is_given
FROM (
    SELECT DISTINCT
        w.role_name,
        format('CREATE ROLE %s NOLOGIN', w.role_name) AS statement,
        to_regrole(w.role_name) IS NOT NULL AS is_given
    FROM wanted AS w
    UNION ALL
    SELECT g.role_name, g.statement, g.is_given FROM grants AS g
) AS s
LEFT JOIN pg_catalog.pg_roles AS r ON s.role_name = r.rolname
ORDER BY s.role_name, s.statement;
COMMENT ON VIEW ops.role_grants IS '역할 권한: what makes each role and gives it what it may do, a row per statement, and '
    'whether that is so; what analysts read in reporting is not here';
COMMENT ON COLUMN ops.role_grants.role_name IS '역할: a role of the whole cluster, without login';
COMMENT ON COLUMN ops.role_grants.role_exists IS '역할 존재 여부: whether the cluster has the role';
COMMENT ON COLUMN ops.role_grants.statement IS '명령문: CREATE ROLE first, then a GRANT on one object each';
COMMENT ON COLUMN ops.role_grants.is_given IS '부여 여부: whether the role is there or, of a GRANT, may do all of it, '
    'whether by this grant or another';

CREATE OR REPLACE FUNCTION ops.grant_to_roles()
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lacking text;
    given integer := 0;
BEGIN
    FOR lacking IN SELECT g.statement FROM ops.role_grants AS g WHERE g.role_exists AND NOT g.is_given LOOP
        BEGIN
            EXECUTE lacking;
            given := given + 1;
        EXCEPTION
            -- What a DBA gave another owner, or the database's own: the rest is given all the same.
            WHEN insufficient_privilege THEN
                RAISE WARNING 'a role lacks a right that % may not give', current_user
                    USING HINT = format('As the owner or a superuser: %s;', lacking);
        END;
    END LOOP;
    RETURN given;
END
$$;
COMMENT ON FUNCTION ops.grant_to_roles() IS 'Gives the roles that are there what they lack of ops.role_grants, and '
    'returns how many statements that took. llm-db migrate calls it; call it after making a role. Warns of what the '
    'caller may not give';
REVOKE ALL ON FUNCTION ops.grant_to_roles() FROM public;

SELECT ops.grant_to_roles();
