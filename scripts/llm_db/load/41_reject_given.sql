-- Rows that contradict their session.
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
        g.given_type <> s.session_type,
        'session_type', g.given_type, 'the session is of session_type ' || s.session_type
    ),
    (
        s.is_new AND (
            g.session_start_time <> coalesce(s.start_time, 'infinity')
            OR g.session_end_time <> coalesce(s.end_time, 'infinity') OR g.session_status <> coalesce(s.status, '')
        ),
        'session_start_time + session_end_time + session_status', '', 'the first row of the session says otherwise'
    )
) AS b (broken, column_name, value, rule)
WHERE b.broken AND NOT g.is_grouped
ON CONFLICT (line) DO NOTHING;

-- Rows whose place another row has, in the file or in the database.
INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT
    g.line, 'session_id + log_sequence', g.session_id || ' + ' || g.log_sequence,
    'session_logs_pkey: duplicate of line ' || g.first_line
FROM (
    SELECT line, session_id, log_sequence, min(line) OVER (PARTITION BY session_id, log_sequence) AS first_line
    FROM pg_temp.load_good
    WHERE log_sequence IS NOT NULL
) AS g
WHERE g.line > g.first_line
ON CONFLICT (line) DO NOTHING;

INSERT INTO pg_temp.load_bad (line, column_name, value, rule)
SELECT
    g.line, 'session_id + log_sequence', g.session_id || ' + ' || g.log_sequence,
    'session_logs_pkey: the database has another log there'
FROM pg_temp.load_good AS g
INNER JOIN pg_temp.load_logs AS l ON g.session_id = l.session_id AND g.log_sequence = l.log_sequence
WHERE l.content <> g.content
ON CONFLICT (line) DO NOTHING;
