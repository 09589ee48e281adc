-- Here the defaults are; given_type is what the file says. content says which request a row is, apart from its place in
-- a session: two rows with the same content are told apart by counting only. place is where to look for its log: in its
-- session or, if it names none, in any session of its owner.
CREATE TEMPORARY TABLE load_good AS
SELECT
    r.line, r.session_id, r.log_sequence, r.request_time, r.response_time, r.token_used,
    (r.deployment).id AS deployment_id, (r.config).id AS config_id, (r.template).id AS template_id,
    r.request_prompt_s3_path, r.response_s3_path,
    (r.owner).id AS user_id, (r.project).id AS project_id,
    coalesce(r.session_type, 'production') AS session_type, r.session_type AS given_type,
    r.session_start_time, r.session_end_time, r.session_status,
    r.session_id IS NULL AS is_grouped,
    -- Of a row that is a session without logs there is nothing to load where the database has the session.
    r.request_time IS NULL AND EXISTS (
        SELECT FROM pg_temp.load_stored_sessions AS s WHERE s.session_id = r.session_id
    ) AS is_present,
    NULL::uuid AS present_in,
    NULL::integer AS present_as,
    coalesce(r.session_id::text, ((r.owner).id, (r.project).id, coalesce(r.session_type, 'production'))::text) AS place,
    r.line <= k.last_line AND d.line IS NULL AS is_known, k.others_are_new,
    md5((
        r.request_time, r.response_time, r.token_used, (r.deployment).id, (r.config).id, (r.template).id,
        r.request_prompt_s3_path, r.response_s3_path
    )::text)::uuid AS content
FROM pg_temp.load_resolved AS r
CROSS JOIN pg_temp.load_known AS k
-- What an earlier load of the same rows has listed is still to be decided.
LEFT JOIN llm_db.load_rejects AS d ON k.load_id = d.load_id AND r.line = d.line AND d.rule LIKE 'there already: %'
WHERE NOT EXISTS (SELECT FROM pg_temp.load_bad AS b WHERE b.line = r.line);

-- The database's logs with the same content.
CREATE TEMPORARY VIEW load_logs AS
SELECT
    session_id, log_sequence, request_time,
    md5((
        request_time, response_time, token_used, deployment_id, config_id, template_id,
        request_prompt_s3_path, response_s3_path
    )::text)::uuid AS content
FROM pg_temp.load_stored_logs;

-- Rows of the file that are the same request as one before them, where no key tells them apart.
CREATE TEMPORARY VIEW load_identical AS
SELECT line, first_line
FROM (
    SELECT g.line, min(g.line) OVER same AS first_line
    FROM pg_temp.load_good AS g
    WHERE g.log_sequence IS NULL
    WINDOW same AS (PARTITION BY g.content, g.session_id, g.user_id, g.project_id, g.session_type)
) AS g
WHERE line > first_line;

-- What is taken for a log that the database has, or for another row of the file, though no key says so.
CREATE TEMPORARY TABLE load_listed (
    line        bigint PRIMARY KEY,
    column_name text   NOT NULL,
    value       text   NOT NULL,
    rule        text   NOT NULL
);

-- What the rows say of each session that they make or widen.
CREATE TEMPORARY VIEW load_spans AS
SELECT session_id, min(request_time) AS first_time, max(coalesce(response_time, request_time)) AS last_time
FROM pg_temp.load_good
WHERE NOT is_present
GROUP BY session_id;

-- Given sessions: those of the database, and new ones as the first row that names their user has them. When a new one
-- began and how it ended is what that row says; what it does not say follows from the session's requests.
CREATE TEMPORARY TABLE load_sessions AS
SELECT
    s.session_id, s.user_id, s.project_id, s.session_type, NULL::timestamptz AS start_time,
    NULL::timestamptz AS end_time, NULL::text AS status, false AS is_new
FROM pg_temp.load_stored_sessions AS s
WHERE s.session_id IN (SELECT g.session_id FROM pg_temp.load_good AS g);

INSERT INTO pg_temp.load_sessions (
    session_id, user_id, project_id, session_type, start_time, end_time, status, is_new
)
SELECT DISTINCT ON (g.session_id)
    g.session_id, g.user_id, g.project_id, g.session_type, g.session_start_time, g.session_end_time, g.session_status,
    true
FROM pg_temp.load_good AS g
WHERE NOT g.is_grouped AND g.user_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_temp.load_sessions AS s WHERE s.session_id = g.session_id)
ORDER BY g.session_id, g.line;

-- Each session as it would be written, if it is new or widened.
CREATE TEMPORARY VIEW load_written AS
SELECT
    s.session_id, s.user_id, s.project_id, s.session_type, s.is_new,
    CASE WHEN s.is_new THEN coalesce(s.start_time, p.first_time) ELSE least(w.start_time, p.first_time) END
        AS start_time,
    CASE
        WHEN s.status = 'running' THEN s.end_time
        WHEN s.is_new THEN coalesce(s.end_time, p.last_time)
        WHEN w.end_time IS NOT NULL THEN greatest(w.end_time, p.last_time)
    END AS end_time,
    coalesce(w.status, s.status, 'completed') AS status
FROM pg_temp.load_sessions AS s
INNER JOIN pg_temp.load_spans AS p ON s.session_id = p.session_id
LEFT JOIN pg_temp.load_stored_sessions AS w ON s.session_id = w.session_id
WHERE s.is_new OR p.first_time < w.start_time OR p.last_time > w.end_time;

-- The same for each row.
CREATE TEMPORARY VIEW load_session_rows AS
SELECT g.line, w.* -- noqa: AM04
FROM pg_temp.load_good AS g
INNER JOIN pg_temp.load_written AS w ON g.session_id = w.session_id
WHERE NOT g.is_present;

-- Up to which number each session is taken, by the database's logs and by rows of the file that give one.
CREATE TEMPORARY VIEW load_taken AS
SELECT session_id, max(log_sequence) AS last
FROM (
    SELECT session_id, log_sequence FROM pg_temp.load_good WHERE log_sequence IS NOT NULL
    UNION ALL
    SELECT l.session_id, l.log_sequence
    FROM pg_temp.load_stored_logs AS l
    WHERE l.session_id IN (SELECT s.session_id FROM pg_temp.load_sessions AS s WHERE NOT s.is_new)
) AS numbers
GROUP BY session_id;

CREATE TEMPORARY VIEW load_numbered AS
SELECT
    g.*, -- noqa: AM04
    coalesce(g.log_sequence, coalesce(t.last, 0) + g.n) AS number
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY session_id, log_sequence IS NULL ORDER BY request_time, line) AS n
    FROM pg_temp.load_good
    WHERE NOT is_present AND request_time IS NOT NULL
) AS g
LEFT JOIN pg_temp.load_taken AS t ON g.session_id = t.session_id;
