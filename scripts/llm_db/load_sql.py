"""The SQL of `llm-db load`, in the order it runs. Temporary tables live in pg_temp and are named load_*."""

# latency is there because every CHECK of session_logs is tried on these rows.
STAGING = """
DROP TABLE IF EXISTS pg_temp.load_rows, pg_temp.load_bad, pg_temp.load_users, pg_temp.load_projects,
    pg_temp.load_deployments, pg_temp.load_configs, pg_temp.load_templates, pg_temp.load_good, pg_temp.load_sessions;
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
    session_type           text
);
CREATE TEMPORARY TABLE load_bad (
    line        bigint PRIMARY KEY,
    column_name text,
    value       text,
    rule        text NOT NULL
);
"""

UNREADABLE = """
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT line, nullif(bad_column, ''), bad_value, bad_rule FROM pg_temp.load_rows WHERE bad_rule IS NOT NULL
"""

CHECKS = """
SELECT
    c.conname,
    array_agg(a.attname::text ORDER BY k.position),
    pg_get_expr(c.conbin, c.conrelid)
FROM pg_catalog.pg_constraint AS c
CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
WHERE c.conrelid = 'llm.session_logs'::regclass AND c.contype = 'c'
GROUP BY c.oid, c.conname, c.conbin, c.conrelid
ORDER BY c.conname
"""

# Keys are compared as the text of a row: NULLs are equal there, and equal texts can be hashed.
DEPLOYMENT_KEY = "ROW(r.deployment_id, r.server_name, r.model_name, r.environment)::text"
CONFIG_KEY = "ROW(r.config_id, r.config_name, d.model_id)::text"
TEMPLATE_KEY = "ROW(r.template_id, r.template_name, r.version)::text"
USER_KEY = "ROW(r.user_id, r.user_email)::text"
PROJECT_KEY = "ROW(r.project_id, r.project_name)::text"

# Each distinct key of the file, what it stands for, and how many that are.
RESOLVE = [
    f"""
CREATE TEMPORARY TABLE load_deployments AS
SELECT r.key, count(d.deployment_id) AS found, min(d.deployment_id) AS id, min(d.model_id) AS model_id
FROM (
    SELECT DISTINCT {DEPLOYMENT_KEY} AS key, r.deployment_id, r.server_name, r.model_name, r.environment
    FROM pg_temp.load_rows AS r
    WHERE coalesce(r.deployment_id::text, r.server_name, r.model_name) IS NOT NULL
) AS r
LEFT JOIN (llm.deployments AS d INNER JOIN llm.models AS m ON d.model_id = m.model_id)
    ON (r.deployment_id IS NULL OR d.deployment_id = r.deployment_id)
    AND (r.server_name IS NULL OR d.server_name = r.server_name)
    AND (r.model_name IS NULL OR m.model_name = r.model_name)
    AND (r.environment IS NULL OR d.environment = r.environment)
GROUP BY r.key
""",
    f"""
CREATE TEMPORARY TABLE load_configs AS
SELECT r.key, count(c.config_id) AS found, min(c.config_id) AS id
FROM (
    SELECT DISTINCT {CONFIG_KEY} AS key, r.config_id, r.config_name, d.model_id
    FROM pg_temp.load_rows AS r
    LEFT JOIN pg_temp.load_deployments AS d ON {DEPLOYMENT_KEY} = d.key
    WHERE coalesce(r.config_id::text, r.config_name) IS NOT NULL
) AS r
LEFT JOIN llm.model_configs AS c
    ON (r.config_id IS NULL OR c.config_id = r.config_id)
    AND (r.config_name IS NULL OR (c.config_name = r.config_name AND c.model_id = r.model_id))
GROUP BY r.key
""",
    f"""
CREATE TEMPORARY TABLE load_templates AS
SELECT r.key, count(t.template_id) AS found, min(t.template_id) AS id
FROM (
    SELECT DISTINCT {TEMPLATE_KEY} AS key, r.template_id, r.template_name, r.version
    FROM pg_temp.load_rows AS r
    WHERE coalesce(r.template_id::text, r.template_name) IS NOT NULL
) AS r
LEFT JOIN llm.prompt_templates_base AS t
    ON (r.template_id IS NULL OR t.template_id = r.template_id)
    AND (r.template_name IS NULL OR t.template_name = r.template_name)
    AND (r.version IS NULL OR t.version = r.version)
GROUP BY r.key
""",
    # The one entity of which a file and the database may both have very many: equalities only.
    f"""
CREATE TEMPORARY TABLE load_users AS
WITH keys AS (
    SELECT DISTINCT {USER_KEY} AS key, r.user_id, r.user_email
    FROM pg_temp.load_rows AS r
    WHERE coalesce(r.user_id::text, r.user_email) IS NOT NULL
)
SELECT k.key, count(u.user_id) AS found, min(u.user_id) AS id
FROM keys AS k
LEFT JOIN llm.users AS u ON lower(u.user_email) = lower(k.user_email)
    AND u.user_id = coalesce(k.user_id, u.user_id)
WHERE k.user_email IS NOT NULL
GROUP BY k.key
UNION ALL
SELECT k.key, count(u.user_id), min(u.user_id)
FROM keys AS k
LEFT JOIN llm.users AS u ON u.user_id = k.user_id
WHERE k.user_email IS NULL
GROUP BY k.key
""",
    f"""
CREATE TEMPORARY TABLE load_projects AS
SELECT r.key, count(p.project_id) AS found, min(p.project_id) AS id
FROM (
    SELECT DISTINCT {PROJECT_KEY} AS key, r.project_id, r.project_name
    FROM pg_temp.load_rows AS r
    WHERE coalesce(r.project_id::text, r.project_name) IS NOT NULL
) AS r
LEFT JOIN llm.projects AS p
    ON (r.project_id IS NULL OR p.project_id = r.project_id)
    AND (r.project_name IS NULL OR p.project_name = r.project_name)
GROUP BY r.key
""",
]


def reject_unresolved(table: str, key: str, columns: list[str]) -> str:
    """Rows whose key stands for nothing, or for several."""
    names = ", ".join(f"CASE WHEN r.{column} IS NOT NULL THEN '{column}' END" for column in columns)
    values = ", ".join(f"r.{column}" for column in columns)
    with_model = f"LEFT JOIN pg_temp.load_deployments AS d ON {DEPLOYMENT_KEY} = d.key" if "d.model_id" in key else ""
    return f"""
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT
    r.line, concat_ws(' + ', {names}), concat_ws(' + ', {values}),
    CASE k.found WHEN 0 THEN 'unknown ' ELSE 'ambiguous: ' || k.found || ' have this ' END
        || concat_ws(' + ', {names})
FROM pg_temp.load_rows AS r
{with_model}
INNER JOIN pg_temp.{table} AS k ON {key} = k.key
WHERE k.found <> 1 AND r.bad_rule IS NULL
ON CONFLICT (line) DO NOTHING
"""


REJECT = [
    reject_unresolved(
        "load_deployments", DEPLOYMENT_KEY, ["deployment_id", "server_name", "model_name", "environment"]
    ),
    reject_unresolved("load_configs", CONFIG_KEY, ["config_id", "config_name"]),
    reject_unresolved("load_templates", TEMPLATE_KEY, ["template_id", "template_name", "version"]),
    reject_unresolved("load_users", USER_KEY, ["user_id", "user_email"]),
    reject_unresolved("load_projects", PROJECT_KEY, ["project_id", "project_name"]),
    """
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT r.line, b.column_name, b.value, b.rule
FROM pg_temp.load_rows AS r
CROSS JOIN LATERAL (
    VALUES
    (
        r.deployment_id IS NULL AND r.server_name IS NULL AND r.model_name IS NULL,
        'server_name', '', 'missing value: which deployment?'
    ),
    (
        r.session_id IS NULL AND r.user_id IS NULL AND r.user_email IS NULL,
        'user_email', '', 'missing value: whose session?'
    ),
    (r.log_sequence IS NOT NULL AND r.session_id IS NULL, 'session_id', '', 'missing value: log_sequence is given'),
    (
        r.version IS NOT NULL AND r.template_name IS NULL AND r.template_id IS NULL,
        'template_name', '', 'missing value: version is given'
    ),
    (NOT llm.is_uuidv7(r.session_id), 'session_id', r.session_id::text, 'sessions_session_id_is_uuidv7'),
    (
        r.session_type IS NOT NULL AND NOT EXISTS (SELECT FROM llm.session_types AS t WHERE t.code = r.session_type),
        'session_type', r.session_type, 'sessions_session_type_fkey'
    )
) AS b (broken, column_name, value, rule)
WHERE b.broken AND r.bad_rule IS NULL
ON CONFLICT (line) DO NOTHING
""",
]

# content says which request a row is, apart from its place in a session: two rows with the same content are told apart
# by counting only.
CONTENT = """md5(ROW(
        {0}.request_time, {0}.response_time, {0}.token_used, {0}.deployment_id, {0}.config_id, {0}.template_id,
        {0}.request_prompt_s3_path, {0}.response_s3_path
    )::text)::uuid"""

GOOD = f"""
CREATE TEMPORARY TABLE load_good AS
SELECT g.*, {CONTENT.format("g")} AS content, NULL::uuid AS present_in, false AS is_present
FROM (
    SELECT
        r.line, r.session_id, r.log_sequence, r.request_time, r.response_time, r.token_used,
        d.id AS deployment_id, c.id AS config_id, t.id AS template_id,
        r.request_prompt_s3_path, r.response_s3_path,
        u.id AS user_id, p.id AS project_id, r.session_type,
        r.session_id IS NULL AS is_grouped
    FROM pg_temp.load_rows AS r
    INNER JOIN pg_temp.load_deployments AS d ON {DEPLOYMENT_KEY} = d.key
    LEFT JOIN pg_temp.load_configs AS c ON {CONFIG_KEY} = c.key
    LEFT JOIN pg_temp.load_templates AS t ON {TEMPLATE_KEY} = t.key
    LEFT JOIN pg_temp.load_users AS u ON {USER_KEY} = u.key
    LEFT JOIN pg_temp.load_projects AS p ON {PROJECT_KEY} = p.key
    WHERE NOT EXISTS (SELECT FROM pg_temp.load_bad AS b WHERE b.line = r.line)
) AS g
"""

# Given sessions: those of the database, and new ones as the first row that names their user has them.
SESSIONS = """
CREATE TEMPORARY TABLE load_sessions AS
SELECT s.session_id, s.user_id, s.project_id, s.session_type, false AS is_new
FROM llm.sessions AS s
WHERE s.session_id IN (SELECT g.session_id FROM pg_temp.load_good AS g);

INSERT INTO pg_temp.load_sessions (session_id, user_id, project_id, session_type, is_new)
SELECT DISTINCT ON (g.session_id) g.session_id, g.user_id, g.project_id, coalesce(g.session_type, 'production'), true
FROM pg_temp.load_good AS g
WHERE NOT g.is_grouped AND g.user_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_temp.load_sessions AS s WHERE s.session_id = g.session_id)
ORDER BY g.session_id, g.line;
"""

REJECT_GIVEN = [
    """
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT g.line, b.column_name, b.value, b.rule
FROM pg_temp.load_good AS g
LEFT JOIN pg_temp.load_sessions AS s ON g.session_id = s.session_id
CROSS JOIN LATERAL (
    VALUES
    (s.session_id IS NULL, 'user_email', '', 'missing value: the session is not there, so whose is it?'),
    (g.user_id <> s.user_id, 'user_id', g.user_id::text, 'the session is of user_id ' || s.user_id),
    (
        g.project_id IS DISTINCT FROM s.project_id AND g.project_id IS NOT NULL,
        'project_id', g.project_id::text, 'the session is of project_id ' || coalesce(s.project_id::text, 'NULL')
    ),
    (
        g.session_type <> s.session_type,
        'session_type', g.session_type, 'the session is of session_type ' || s.session_type
    )
) AS b (broken, column_name, value, rule)
WHERE b.broken AND NOT g.is_grouped
ON CONFLICT (line) DO NOTHING
""",
    """
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT g.line, 'session_id + log_sequence', g.session_id || ' + ' || g.log_sequence,
    'session_logs_pkey: duplicate of line ' || g.first_line
FROM (
    SELECT line, session_id, log_sequence, min(line) OVER (PARTITION BY session_id, log_sequence) AS first_line
    FROM pg_temp.load_good
    WHERE log_sequence IS NOT NULL
) AS g
WHERE g.line > g.first_line
ON CONFLICT (line) DO NOTHING
""",
    f"""
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT g.line, 'session_id + log_sequence', g.session_id || ' + ' || g.log_sequence,
    'session_logs_pkey: the database has another log there'
FROM pg_temp.load_good AS g
INNER JOIN llm.session_logs AS l ON l.session_id = g.session_id AND l.log_sequence = g.log_sequence
WHERE {CONTENT.format("l")} <> g.content
ON CONFLICT (line) DO NOTHING
""",
    "DELETE FROM pg_temp.load_good AS g USING pg_temp.load_bad AS b WHERE b.line = g.line",
]

# Rows of the file that are the same request, where no key tells them apart.
IDENTICAL = """
SELECT g.line, min(g.line) OVER same AS first_line
FROM pg_temp.load_good AS g
WHERE g.log_sequence IS NULL
WINDOW same AS (PARTITION BY g.content, g.session_id, g.user_id, g.project_id, coalesce(g.session_type, 'production'))
"""
COUNT_IDENTICAL = f"SELECT count(*) FROM ({IDENTICAL}) AS i WHERE i.line > i.first_line"
REJECT_IDENTICAL = f"""
INSERT INTO pg_temp.load_bad (line, rule)
SELECT i.line, 'duplicate of line ' || i.first_line FROM ({IDENTICAL}) AS i WHERE i.line > i.first_line
"""

# What the database has already. The n-th row of the same content is there if the database has n of them.
PRESENT = [
    """
UPDATE pg_temp.load_good AS g
SET is_present = true
FROM llm.session_logs AS l
WHERE l.session_id = g.session_id AND l.log_sequence = g.log_sequence
""",
    f"""
WITH logs AS (
    SELECT l.session_id, {CONTENT.format("l")} AS content
    FROM llm.session_logs AS l
    WHERE l.session_id IN (SELECT g.session_id FROM pg_temp.load_good AS g WHERE g.log_sequence IS NULL)
), numbered_logs AS (
    SELECT session_id, content, row_number() OVER (PARTITION BY session_id, content) AS n FROM logs
), numbered_rows AS (
    SELECT line, session_id, content, row_number() OVER (PARTITION BY session_id, content ORDER BY line) AS n
    FROM pg_temp.load_good
    WHERE NOT is_grouped AND log_sequence IS NULL
)
UPDATE pg_temp.load_good AS g
SET is_present = true
FROM numbered_rows AS r
INNER JOIN numbered_logs AS l ON l.session_id = r.session_id AND l.content = r.content AND l.n = r.n
WHERE g.line = r.line
""",
    f"""
WITH span AS (
    SELECT min(request_time) AS earliest, max(request_time) AS latest FROM pg_temp.load_good WHERE is_grouped
), logs AS (
    SELECT
        s.session_id, {CONTENT.format("l")} AS content,
        ROW(s.user_id, s.project_id, s.session_type)::text AS owner
    FROM span
    INNER JOIN llm.sessions AS s
        ON s.start_time <= span.latest AND coalesce(s.end_time, 'infinity') >= span.earliest
    INNER JOIN llm.session_logs AS l ON l.session_id = s.session_id
    WHERE l.request_time BETWEEN span.earliest AND span.latest
        AND s.user_id IN (SELECT g.user_id FROM pg_temp.load_good AS g WHERE g.is_grouped)
), numbered_logs AS (
    SELECT session_id, content, owner, row_number() OVER (PARTITION BY content, owner ORDER BY session_id) AS n
    FROM logs
), rows AS (
    SELECT line, content, ROW(user_id, project_id, coalesce(session_type, 'production'))::text AS owner
    FROM pg_temp.load_good
    WHERE is_grouped
), numbered_rows AS (
    SELECT line, content, owner, row_number() OVER (PARTITION BY content, owner ORDER BY line) AS n FROM rows
)
UPDATE pg_temp.load_good AS g
SET is_present = true, present_in = l.session_id
FROM numbered_rows AS r
INNER JOIN numbered_logs AS l ON l.content = r.content AND l.owner = r.owner AND l.n = r.n
WHERE g.line = r.line
""",
]

# A session of rows that name none: one user, project and session_type, no pause of 30 minutes between requests. Where
# the database has a part of it, the rest joins that part. A new one's id follows from its owner and first request.
GROUP = [
    """
WITH stepped AS (
    SELECT
        line, request_time, present_in, user_id, project_id, coalesce(session_type, 'production') AS session_type,
        CASE WHEN request_time - lag(request_time) OVER owner < interval '30 minutes' THEN 0 ELSE 1 END AS begins
    FROM pg_temp.load_good
    WHERE is_grouped
    WINDOW owner AS (PARTITION BY user_id, project_id, coalesce(session_type, 'production') ORDER BY request_time, line)
), counted AS (
    SELECT
        *,
        sum(begins) OVER (
            PARTITION BY user_id, project_id, session_type ORDER BY request_time, line
            ROWS UNBOUNDED PRECEDING
        ) AS sitting
    FROM stepped
), sittings AS (
    SELECT
        user_id, project_id, session_type, sitting,
        (array_agg(present_in ORDER BY request_time DESC, line DESC) FILTER (WHERE present_in IS NOT NULL))[1]
            AS present_in,
        uuid_send(llm.uuidv7_floor(min(request_time))) AS head,
        decode(md5(concat_ws(
            '|', user_id, coalesce(project_id, 0), session_type, min(request_time) AT TIME ZONE 'UTC'
        )), 'hex') AS tail
    FROM counted
    GROUP BY user_id, project_id, session_type, sitting
), identified AS (
    SELECT
        user_id, project_id, session_type, sitting,
        coalesce(
            present_in,
            encode(
                substring(head FROM 1 FOR 6)
                || set_byte(
                    set_byte(substring(tail FROM 1 FOR 10), 0, (get_byte(tail, 0) & 15) | 112),
                    2, (get_byte(tail, 2) & 63) | 128
                ), 'hex'
            )::uuid
        ) AS session_id
    FROM sittings
)
UPDATE pg_temp.load_good AS g
SET session_id = coalesce(c.present_in, i.session_id), session_type = c.session_type
FROM counted AS c
INNER JOIN identified AS i
    ON i.user_id = c.user_id AND coalesce(i.project_id, 0) = coalesce(c.project_id, 0)
    AND i.session_type = c.session_type AND i.sitting = c.sitting
WHERE g.line = c.line
""",
    """
INSERT INTO pg_temp.load_sessions (session_id, user_id, project_id, session_type, is_new)
SELECT DISTINCT g.session_id, g.user_id, g.project_id, g.session_type,
    NOT EXISTS (SELECT FROM llm.sessions AS s WHERE s.session_id = g.session_id)
FROM pg_temp.load_good AS g
WHERE g.is_grouped AND NOT EXISTS (SELECT FROM pg_temp.load_sessions AS s WHERE s.session_id = g.session_id)
""",
]

MISSING_MONTHS = """
SELECT DISTINCT date_trunc('month', llm.uuidv7_time(g.session_id) AT TIME ZONE 'UTC')::date AS month
FROM (SELECT DISTINCT session_id FROM pg_temp.load_good WHERE NOT is_present) AS g
WHERE to_regclass('llm.sessions_' || to_char(llm.uuidv7_time(g.session_id) AT TIME ZONE 'UTC', 'YYYY_MM')) IS NULL
ORDER BY month
"""

# Writers that append to the same sessions take turns with us on the sessions' rows.
LOCK_SESSIONS = """
SELECT FROM llm.sessions
WHERE session_id IN (SELECT s.session_id FROM pg_temp.load_sessions AS s WHERE NOT s.is_new)
ORDER BY session_id
FOR NO KEY UPDATE
"""

NEW_SESSIONS = """
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT s.session_id, s.user_id, s.project_id, g.first_time, g.last_time, s.session_type, 'completed'
FROM pg_temp.load_sessions AS s
INNER JOIN (
    SELECT session_id, min(request_time) AS first_time, max(coalesce(response_time, request_time)) AS last_time
    FROM pg_temp.load_good
    GROUP BY session_id
) AS g ON g.session_id = s.session_id
WHERE s.is_new
"""

WIDENED_SESSIONS = """
UPDATE llm.sessions AS s
SET start_time = least(s.start_time, g.first_time),
    end_time = CASE WHEN s.end_time IS NOT NULL THEN greatest(s.end_time, g.last_time) END
FROM (
    SELECT session_id, min(request_time) AS first_time, max(coalesce(response_time, request_time)) AS last_time
    FROM pg_temp.load_good
    WHERE NOT is_present
    GROUP BY session_id
) AS g
WHERE s.session_id = g.session_id AND (g.first_time < s.start_time OR g.last_time > s.end_time)
"""

LOGS = """
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, token_used,
    deployment_id, config_id, template_id, request_prompt_s3_path, response_s3_path
)
WITH taken AS (
    SELECT session_id, max(log_sequence) AS last
    FROM (
        SELECT session_id, log_sequence FROM pg_temp.load_good WHERE log_sequence IS NOT NULL
        UNION ALL
        SELECT l.session_id, l.log_sequence
        FROM llm.session_logs AS l
        WHERE l.session_id IN (SELECT s.session_id FROM pg_temp.load_sessions AS s WHERE NOT s.is_new)
    ) AS numbers
    GROUP BY session_id
), numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY session_id, log_sequence IS NULL ORDER BY request_time, line) AS n
    FROM pg_temp.load_good
    WHERE NOT is_present
)
SELECT
    g.session_id, coalesce(g.log_sequence, coalesce(t.last, 0) + g.n), g.request_time, g.response_time, g.token_used,
    g.deployment_id, g.config_id, g.template_id, g.request_prompt_s3_path, g.response_s3_path
FROM numbered AS g
LEFT JOIN taken AS t ON t.session_id = g.session_id
ORDER BY g.session_id, g.n
"""

REJECTS = """
INSERT INTO llm_db.load_rejects (load_id, line, file, column_name, value, rule, raw)
SELECT %s, b.line, %s, b.column_name, b.value, b.rule, r.raw
FROM pg_temp.load_bad AS b
INNER JOIN pg_temp.load_rows AS r ON r.line = b.line
"""

REJECT_FILE = """
COPY (
    SELECT b.line, b.column_name AS column, b.value, b.rule, r.raw
    FROM pg_temp.load_bad AS b
    INNER JOIN pg_temp.load_rows AS r ON r.line = b.line
    ORDER BY b.line
) TO STDOUT (FORMAT csv, HEADER)
"""
