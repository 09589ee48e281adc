-- A month's bounds, how many of its two tables are there, and how many of these are attached.
SELECT
    llm.uuidv7_floor(m.month::timestamp AT TIME ZONE 'UTC') AS low,
    llm.uuidv7_floor((m.month + interval '1 month') AT TIME ZONE 'UTC') AS high,
    num_nonnulls(m.sessions, m.logs) AS tables,
    (
        SELECT count(*)
        FROM pg_catalog.pg_inherits AS i
        WHERE (i.inhrelid, i.inhparent) IN (
            (m.sessions, 'llm.sessions'::regclass), (m.logs, 'llm.session_logs'::regclass)
        )
            AND NOT i.inhdetachpending
    ) AS attached
FROM (
    SELECT
        g.month,
        to_regclass('llm.sessions_' || to_char(g.month, 'YYYY_MM')) AS sessions,
        to_regclass('llm.session_logs_' || to_char(g.month, 'YYYY_MM')) AS logs
    FROM (SELECT %(month)s::date AS month) AS g
) AS m
