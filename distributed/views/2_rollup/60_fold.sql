-- instead of: views/2_rollup/60_fold.sql

-- Every shard sums up its logs as one node does. What comes over are sums, histograms, and the logs that may be among
-- the slowest. What a log hangs on goes to each server with the question, once, as of the snapshot of who asks.
CREATE OR REPLACE FUNCTION cluster.known_catalogs()
RETURNS cluster.catalogs
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known cluster.catalogs;
BEGIN
    SELECT s.time_zone INTO known.time_zone FROM rollup.state AS s;
    SELECT array_agg(e.deployment_id), array_agg(e.model_id), array_agg(e.since), array_agg(e.until_time)
    INTO known.deployments, known.models, known.models_since, known.models_until
    FROM rollup.deployment_spans AS e;
    SELECT array_agg(c.config_id), array_agg(c.max_tokens) INTO known.configs, known.max_tokens
    FROM llm.model_configs AS c;
    SELECT array_agg(h.user_id), array_agg(h.department_id), array_agg(h.since), array_agg(h.until_time)
    INTO known.users, known.departments, known.members_since, known.members_until
    FROM rollup.department_spans AS h;
    RETURN known;
END
$$;
COMMENT ON FUNCTION cluster.known_catalogs() IS 'What shards are told of the catalogs';
REVOKE ALL ON FUNCTION cluster.known_catalogs() FROM public;

-- The question is put to the shards below OFFSET 0, and what they answer is added up above it, here. What a row is of
-- tells which columns it has.
CREATE OR REPLACE FUNCTION cluster.log_sums(low timestamptz, high timestamptz, lowest uuid)
RETURNS TABLE (
    row_of text, day date, month date, local_hour timestamp, hour timestamptz, dimension rollup.dimension, key bigint,
    deployment_id bigint, model_id bigint, department_id bigint, requests bigint, answered_requests bigint,
    requests_without_tokens bigint, at_max_tokens_requests bigint, tokens bigint, latency_us numeric,
    max_latency_us bigint, first_request_time timestamptz, last_request_time timestamptz,
    latencies rollup.latency_histogram, minute smallint
)
LANGUAGE plpgsql
STABLE
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH known AS MATERIALIZED (
        SELECT cluster.known_catalogs() AS catalogs
    )

    SELECT
        a.row_of, a.day, a.month, a.local_hour, a.hour, a.dimension, a.key, a.deployment_id, a.model_id,
        a.department_id, rollup.bigint_sum(a.requests), rollup.bigint_sum(a.answered_requests),
        rollup.bigint_sum(a.requests_without_tokens), rollup.bigint_sum(a.at_max_tokens_requests),
        rollup.bigint_sum(a.tokens), sum(a.latency_us), max(a.max_latency_us), min(a.first_request_time),
        max(a.last_request_time), rollup.histogram_sum(a.latencies) FILTER (WHERE a.latencies IS NOT NULL), a.minute
    FROM (
        SELECT r.*
        FROM cluster.state AS s
        CROSS JOIN known AS k
        CROSS JOIN LATERAL cluster.shard_log_sums(s.tableoid, low, high, lowest, k.catalogs) AS r
        OFFSET 0
    ) AS a
    GROUP BY
        a.row_of, a.day, a.month, a.local_hour, a.hour, a.dimension, a.key, a.deployment_id, a.model_id,
        a.department_id, a.minute;
END
$$;
COMMENT ON FUNCTION cluster.log_sums(timestamptz, timestamptz, uuid) IS 'What rollup.fold_logs() makes of the logs of '
    'a span of time: parts, histograms, and runs: latency_us by hour, and requests by minute';
REVOKE ALL ON FUNCTION cluster.log_sums(timestamptz, timestamptz, uuid) FROM public;

CREATE OR REPLACE FUNCTION cluster.slow_logs(
    low timestamptz, high timestamptz, lowest uuid,
    dimensions rollup.dimension [], days date [], months date [], keys bigint [], buckets smallint []
)
RETURNS TABLE (
    day date, month date, session_id uuid, log_sequence integer, request_time timestamptz, latency_us bigint,
    token_used bigint, config_id bigint, department_id bigint, deployment_id bigint, model_id bigint,
    project_id bigint, template_id bigint
)
LANGUAGE plpgsql
STABLE
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH known AS MATERIALIZED (
        SELECT
            cluster.known_catalogs() AS catalogs, dimensions AS of_dimensions, days AS of_days, months AS of_months,
            keys AS of_keys, buckets AS of_buckets
    )

    SELECT r.*
    FROM cluster.state AS s
    CROSS JOIN known AS k
    CROSS JOIN LATERAL cluster.shard_slow_logs(
        s.tableoid, low, high, lowest, k.of_dimensions, k.of_days, k.of_months, k.of_keys, k.of_buckets, k.catalogs
    ) AS r;
END
$$;
COMMENT ON FUNCTION cluster.slow_logs(
    timestamptz, timestamptz, uuid, rollup.dimension [], date [], date [], bigint [], smallint []
) IS 'The logs of a span of time that lie in cells of the histograms, given by their parts';
REVOKE ALL ON FUNCTION cluster.slow_logs(
    timestamptz, timestamptz, uuid, rollup.dimension [], date [], date [], bigint [], smallint []
) FROM public;

-- What is asked of a shard, and what is done with the answers, is the text of one node.
DO $$
DECLARE
    fold text := pg_get_functiondef('rollup.fold_logs(timestamptz, timestamptz)'::regprocedure);
    -- From the logs to sums and histograms, and from cells of these back to logs.
    counting constant text := substring(fold FROM 'parts AS MATERIALIZED .*\), (?=sums AS MATERIALIZED)');
    ranking constant text := substring(fold FROM 'cells AS \(.*\), (?=hours AS \()');
    running constant text := substring(fold FROM 'hours_run AS MATERIALIZED .*\), (?=running AS \()');
    choosing constant text := substring(fold FROM 'candidates AS MATERIALIZED .*\), (?=slowest AS \()');
    facts text := rtrim(pg_get_viewdef('rollup.log_facts'::regclass), ';');
    made constant text := 'LANGUAGE plpgsql STABLE '
        'SET plan_cache_mode = force_custom_plan SET enable_partitionwise_join = on SET enable_nestloop = off '
        'SET work_mem = ''64MB'' SET jit = off SET search_path = pg_catalog, pg_temp';
BEGIN
    facts := cluster.changed(facts, 'llm.session_logs l', '%s l');
    facts := cluster.changed(facts, 'llm.sessions s', '%s s');
    facts := cluster.changed(
        facts, substring(facts FROM '\( SELECT state.time_zone.*\) z'), '(SELECT $4.time_zone) AS z'
    );
    facts := cluster.changed(
        facts, 'rollup.deployment_spans e',
        'unnest($4.deployments, $4.models, $4.models_since, $4.models_until) '
        'AS e (deployment_id, model_id, since, until_time)'
    );
    facts := cluster.changed(
        facts, 'llm.model_configs c', 'unnest($4.configs, $4.max_tokens) AS c (config_id, max_tokens)'
    );
    facts := cluster.changed(
        facts, 'rollup.department_spans h',
        'unnest($4.users, $4.departments, $4.members_since, $4.members_until) '
        'AS h (user_id, department_id, since, until_time)'
    );
    EXECUTE format(
        $text$
        CREATE OR REPLACE FUNCTION cluster.shard_facts(
            shard oid, low timestamptz, high timestamptz, lowest uuid, known cluster.catalogs
        )
        RETURNS %s
        %s
        AS $body$
        BEGIN
            RETURN QUERY EXECUTE format(
                %L, cluster.beside(shard, 'llm.session_logs'), cluster.beside(shard, 'llm.sessions')
            ) USING low, high, lowest, known;
        END
        $body$
        $text$,
        regexp_replace(
            pg_get_function_result('rollup.open_logs(tstzmultirange)'::regprocedure), '\)$', ', bucket smallint)'
        ),
        made,
        format(
            'SELECT f.*, rollup.latency_bucket(f.latency_us) FROM (%s) AS f '
            'WHERE f.request_time >= $1 AND f.request_time < $2 AND f.session_id >= $3', facts
        )
    );
    EXECUTE format(
        $text$
        CREATE OR REPLACE FUNCTION cluster.shard_log_sums(
            shard oid, low timestamptz, high timestamptz, lowest uuid, known cluster.catalogs
        )
        RETURNS %s
        %s
        AS $body$
        #variable_conflict use_column
        BEGIN
            RETURN QUERY
            WITH facts AS MATERIALIZED (
                SELECT * FROM cluster.shard_facts(shard, low, high, lowest, known)
            ), %s answer AS (
                SELECT
                    'part' AS row_of, p.day, p.month, p.local_hour, p.hour, p.dimension, p.key, p.deployment_id,
                    p.model_id, p.department_id, p.requests, p.answered_requests, p.requests_without_tokens,
                    p.at_max_tokens_requests, p.tokens, p.latency_us, p.max_latency_us, p.first_request_time,
                    p.last_request_time, NULL::rollup.latency_histogram AS latencies, NULL::smallint AS minute
                FROM parts AS p
                UNION ALL
                SELECT
                    'histogram', h.day, h.month, NULL, NULL, h.dimension, h.key, NULL, NULL, NULL, NULL, NULL, NULL,
                    NULL, NULL, NULL, NULL, NULL, NULL, h.latencies, NULL
                FROM histograms AS h
                UNION ALL
                SELECT
                    'run', r.day, r.month, NULL, r.hour, NULL, NULL, r.deployment_id, NULL, NULL, u.requests, NULL,
                    NULL, NULL, NULL, CASE WHEN u.minute IS NULL THEN r.busy_us END, NULL, NULL, NULL, NULL, u.minute
                FROM runs AS r
                CROSS JOIN LATERAL (
                    SELECT NULL::smallint AS minute, NULL::integer AS requests
                    UNION ALL
                    SELECT m.minute, m.requests FROM unnest(r.minutes, r.in_flight) AS m (minute, requests)
                ) AS u
            )

            SELECT * FROM answer;
        END
        $body$
        $text$,
        pg_get_function_result('cluster.log_sums(timestamptz, timestamptz, uuid)'::regprocedure), made,
        counting || ranking || regexp_replace(running, ', $', ',')
    );
    EXECUTE format(
        $text$
        CREATE OR REPLACE FUNCTION cluster.shard_slow_logs(
            shard oid, low timestamptz, high timestamptz, lowest uuid, dimensions rollup.dimension [], days date [],
            months date [], keys bigint [], buckets smallint [], known cluster.catalogs
        )
        RETURNS %s
        %s
        AS $body$
        #variable_conflict use_column
        BEGIN
            RETURN QUERY
            WITH facts AS MATERIALIZED (
                SELECT * FROM cluster.shard_facts(shard, low, high, lowest, known)
            ), top_cells AS MATERIALIZED (
                SELECT *
                FROM unnest(dimensions, days, months, keys, buckets) AS t (dimension, day, month, key, bucket)
            ), %s answer AS (
                SELECT * FROM candidates
            )

            SELECT
                a.day, a.month, a.session_id, a.log_sequence, a.request_time, a.latency_us, a.token_used, a.config_id,
                a.department_id, a.deployment_id, a.model_id, a.project_id, a.template_id
            FROM answer AS a;
        END
        $body$
        $text$,
        pg_get_function_result(p.oid), made, choosing
    )
    FROM pg_proc AS p
    WHERE p.oid = 'cluster.slow_logs'::regproc;
    fold := cluster.changed(
        fold, substring(fold FROM 'facts AS MATERIALIZED .*\), (?=parts AS MATERIALIZED)'),
        'answer AS MATERIALIZED (SELECT * FROM cluster.log_sums(low, high, lowest)), '
    );
    fold := cluster.changed(
        fold, counting, 'parts AS MATERIALIZED (SELECT a.* FROM answer AS a WHERE a.row_of = ''part''), '
    );
    fold := cluster.changed(
        fold, ranking,
        $text$histograms AS MATERIALIZED (
            SELECT a.dimension, a.day, a.key, a.month, a.latencies FROM answer AS a WHERE a.row_of = 'histogram'
        ), $text$
    );
    fold := cluster.changed(
        fold, running,
        $text$runs AS (
            SELECT
                a.day, a.month, a.hour, a.deployment_id, sum(a.latency_us) AS busy_us,
                coalesce(array_agg(a.minute ORDER BY a.minute) FILTER (WHERE a.minute IS NOT NULL), '{}') AS minutes,
                coalesce(
                    array_agg(a.requests::integer ORDER BY a.minute) FILTER (WHERE a.minute IS NOT NULL), '{}'
                ) AS in_flight
            FROM answer AS a
            WHERE a.row_of = 'run'
            GROUP BY a.day, a.month, a.hour, a.deployment_id
        ), $text$
    );
    EXECUTE cluster.changed(
        fold,
        choosing,
        $text$candidates AS MATERIALIZED (
            SELECT c.*
            FROM (
                SELECT
                    array_agg(t.dimension) AS dimensions, array_agg(t.day) AS days, array_agg(t.month) AS months,
                    array_agg(t.key) AS keys, array_agg(t.bucket) AS buckets
                FROM top_cells AS t
            ) AS t
            CROSS JOIN LATERAL cluster.slow_logs(
                low, high, lowest, t.dimensions, t.days, t.months, t.keys, t.buckets
            ) AS c
        ), $text$
    );
END
$$;

CREATE OR REPLACE FUNCTION cluster.collect_notes()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    note record;
BEGIN
    FOR note IN
        SELECT n.note_id, n.entity, n.from_time, n.until_time, n.session_id FROM cluster.notes AS n
    LOOP
        INSERT INTO cluster.collected (note_id) VALUES (note.note_id) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            INSERT INTO rollup.notes (entity, from_time, until_time, session_id)
            VALUES (note.entity, note.from_time, note.until_time, note.session_id);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION cluster.collect_notes() IS 'Copies the shards'' notes to rollup.notes, each once';
REVOKE ALL ON FUNCTION cluster.collect_notes() FROM public;

-- What one node does, once the notes are here.
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('rollup.cut_notes()'::regprocedure), ' rollup.cut', ' cluster.cut');
END
$$;
COMMENT ON FUNCTION cluster.cut_notes() IS 'rollup.cut_notes() of one node';
REVOKE ALL ON FUNCTION cluster.cut_notes() FROM public;
CREATE OR REPLACE FUNCTION rollup.cut_notes()
RETURNS TABLE (entity text, day date)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cluster.collect_notes();
    RETURN QUERY SELECT c.entity, c.day FROM cluster.cut_notes() AS c;
END
$$;

-- Called on a shard.
CREATE OR REPLACE FUNCTION cluster.shard_batch_end(
    shard oid, low timestamptz, high timestamptz, batch_logs integer
)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    batch_end timestamptz;
BEGIN
    EXECUTE format(
        'SELECT request_time FROM %s WHERE request_time >= $1 AND request_time < $2 '
        'ORDER BY request_time OFFSET $3 LIMIT 1',
        cluster.beside(shard, 'llm.session_logs')
    ) INTO batch_end USING low, high, batch_logs;
    RETURN batch_end;
END
$$;
COMMENT ON FUNCTION cluster.shard_batch_end(oid, timestamptz, timestamptz, integer) IS 'Until when a shard has so many '
    'logs from a time on; NULL = it has fewer';
REVOKE ALL ON FUNCTION cluster.shard_batch_end(oid, timestamptz, timestamptz, integer) FROM public;

-- A batch ends where the first of the shards has its share: sorted here, the times of all logs would have to come over.
CREATE OR REPLACE FUNCTION rollup.batch_end(low timestamptz, high timestamptz, batch_logs integer)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
SET jit = off
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    share integer;
    first_end timestamptz;
BEGIN
    SELECT greatest(batch_logs / count(*), 1) INTO share FROM cluster.state AS s;
    SELECT min(e.at) INTO first_end
    FROM (SELECT cluster.shard_batch_end(s.tableoid, low, high, share) AS at FROM cluster.state AS s) AS e;
    RETURN CASE WHEN first_end IS NOT NULL THEN greatest(first_end, low + interval '1 microsecond') END;
END
$$;
