-- All that is temporary is named load_*. A pooled session may still have it of an earlier load.
DISCARD TEMP;

-- The file as it is. latency is there because every CHECK of session_logs is tried on these rows.
CREATE TEMPORARY TABLE load_rows (
    line                   bigint NOT NULL,
    raw                    text   NOT NULL,
    bad_column             text,
    bad_value              text,
    bad_rule               text,
    session_id             uuid,
    log_sequence           integer,
    request_time           timestamptz,
    response_time          timestamptz,
    latency                interval GENERATED ALWAYS AS (response_time - request_time) STORED,
    token_used             bigint,
    deployment_id          bigint,
    server_name            text,
    model_name             text,
    environment            text,
    config_id              bigint,
    config_name            text,
    template_id            bigint,
    template_name          text,
    version                text,
    request_prompt_s3_path text,
    response_s3_path       text,
    user_id                bigint,
    user_email             text,
    project_id             bigint,
    project_name           text,
    session_type           text,
    session_start_time     timestamptz,
    session_end_time       timestamptz,
    session_status         text
);

-- Each bad line once, with the first rule it broke.
CREATE TEMPORARY TABLE load_bad (
    line        bigint PRIMARY KEY,
    column_name text,
    value       text,
    rule        text NOT NULL
);

CREATE TEMPORARY VIEW load_rejects AS
SELECT b.line, b.column_name, b.value, b.rule, r.raw
FROM pg_temp.load_bad AS b
INNER JOIN pg_temp.load_rows AS r ON b.line = r.line;

-- What the ledger knows of this file: up to which line an earlier load has read it, and whether the rows that are
-- new to it are other requests than the database's, however equal (--new).
CREATE TEMPORARY TABLE load_known (load_id bigint, last_line bigint NOT NULL, others_are_new boolean NOT NULL);

-- The month each row lies in, if no rule is broken so far: that of its session, which begins with it or before.
CREATE TEMPORARY VIEW load_months AS
SELECT
    r.line, r.session_id, r.request_time,
    date_trunc('month', coalesce(llm.uuidv7_time(r.session_id), r.request_time) AT TIME ZONE 'UTC')::date AS month
FROM pg_temp.load_rows AS r
WHERE NOT EXISTS (SELECT FROM pg_temp.load_bad AS b WHERE b.line = r.line);

-- The months that are filled beside the others.
CREATE TEMPORARY TABLE load_beside (month date NOT NULL);

-- Each distinct key of the file with each id that it can stand for; and each key once, without a rule if that is one.
CREATE TEMPORARY TABLE load_found (entity text, key text, columns text[], given text[], id bigint);
CREATE TEMPORARY TABLE load_keys (entity text, key text, id bigint, column_name text, value text, rule text);

-- The rows that could be read, with a key for each entity of which they say enough. Keys are compared as the text of a
-- row: NULLs are equal there, and equal texts can be hashed. A configuration's name is unique only within its model,
-- which the deployment tells.
CREATE TEMPORARY VIEW load_keyed AS
SELECT
    r.*, m.model_id, -- noqa: AM04
    CASE WHEN num_nonnulls(r.config_id, r.config_name) > 0 THEN (r.config_id, r.config_name, m.model_id)::text END
        AS config_key
FROM (
    SELECT
        *,
        CASE
            WHEN num_nonnulls(deployment_id, server_name, model_name) > 0
                THEN (deployment_id, server_name, model_name, environment)::text
        END AS deployment_key,
        CASE WHEN num_nonnulls(template_id, template_name) > 0 THEN (template_id, template_name, version)::text END
            AS template_key,
        CASE WHEN num_nonnulls(user_id, user_email) > 0 THEN (user_id, user_email)::text END AS user_key,
        CASE WHEN num_nonnulls(project_id, project_name) > 0 THEN (project_id, project_name)::text END AS project_key
    FROM pg_temp.load_rows
    WHERE bad_rule IS NULL
) AS r
LEFT JOIN (
    SELECT key, min(id) AS deployment_id FROM pg_temp.load_found WHERE entity = 'deployment' GROUP BY key
) AS f ON r.deployment_key = f.key
LEFT JOIN llm.deployments AS m ON f.deployment_id = m.deployment_id;

CREATE TEMPORARY VIEW load_resolved AS
SELECT r.*, d AS deployment, c AS config, t AS template, u AS owner, p AS project -- noqa: AM04
FROM pg_temp.load_keyed AS r
LEFT JOIN pg_temp.load_keys AS d ON d.entity = 'deployment' AND r.deployment_key = d.key
LEFT JOIN pg_temp.load_keys AS c ON c.entity = 'config' AND r.config_key = c.key
LEFT JOIN pg_temp.load_keys AS t ON t.entity = 'template' AND r.template_key = t.key
LEFT JOIN pg_temp.load_keys AS u ON u.entity = 'user' AND r.user_key = u.key
LEFT JOIN pg_temp.load_keys AS p ON p.entity = 'project' AND r.project_key = p.key;
