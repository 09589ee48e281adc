-- A request that was exported twice, first unanswered and then answered, is two rows of different content: one tells
-- all that the other tells of the outcome, and more. Only one of them becomes a log; the other is listed.
CREATE TEMPORARY VIEW load_undecided AS
SELECT
    *, -- noqa: AM04
    jsonb_strip_nulls(jsonb_build_object('time', response_time, 'tokens', token_used, 'path', response_s3_path))
        AS outcome
FROM pg_temp.load_good
WHERE log_sequence IS NULL AND NOT is_present AND NOT others_are_new;

-- Of a log of the database. A log is taken for one row, and a row for one log.
INSERT INTO pg_temp.load_listed (line, column_name, value, rule)
SELECT DISTINCT ON (p.line)
    p.line, 'session_id + log_sequence', p.session_id || ' + ' || p.log_sequence,
    'there already: this log, in another state'
FROM (
    SELECT DISTINCT ON (t.session_id, t.log_sequence) t.session_id, t.log_sequence, g.line
    FROM pg_temp.load_undecided AS g
    INNER JOIN (
        SELECT
            l.*, s.user_id, s.project_id, s.session_type, -- noqa: AM04
            jsonb_strip_nulls(
                jsonb_build_object('time', l.response_time, 'tokens', l.token_used, 'path', l.response_s3_path)
            ) AS outcome
        FROM pg_temp.load_stored_logs AS l
        INNER JOIN pg_temp.load_stored_sessions AS s ON l.session_id = s.session_id
    ) AS t ON g.request_time = t.request_time AND g.deployment_id = t.deployment_id
    WHERE t.request_time BETWEEN (SELECT min(u.request_time) FROM pg_temp.load_undecided AS u)
        AND (SELECT max(u.request_time) FROM pg_temp.load_undecided AS u)
        AND CASE
            WHEN g.is_grouped
                THEN (t.user_id, t.project_id, t.session_type)
                    IS NOT DISTINCT FROM (g.user_id, g.project_id, g.session_type)
            ELSE t.session_id = g.session_id
        END
        AND (t.config_id, t.template_id, t.request_prompt_s3_path)
        IS NOT DISTINCT FROM (g.config_id, g.template_id, g.request_prompt_s3_path)
        AND t.outcome <> g.outcome AND (t.outcome @> g.outcome OR g.outcome @> t.outcome)
    ORDER BY t.session_id, t.log_sequence, g.line
) AS p
ORDER BY p.line, p.session_id, p.log_sequence;

-- Of a row of the file: looked for where, of one time, some rows tell what others do not.
INSERT INTO pg_temp.load_listed (line, column_name, value, rule)
SELECT DISTINCT ON (p.line) p.line, 'line', p.fuller_line::text, 'there already: the request of this line, unfinished'
FROM (
    SELECT DISTINCT ON (f.line) f.line AS fuller_line, g.line
    FROM (
        SELECT place, request_time, deployment_id
        FROM pg_temp.load_undecided
        GROUP BY place, request_time, deployment_id
        HAVING count(response_time) BETWEEN 1 AND count(*) - 1
            OR count(token_used) BETWEEN 1 AND count(*) - 1
            OR count(response_s3_path) BETWEEN 1 AND count(*) - 1
    ) AS m
    INNER JOIN pg_temp.load_undecided AS f USING (place, request_time, deployment_id)
    INNER JOIN pg_temp.load_undecided AS g USING (place, request_time, deployment_id)
    WHERE f.content <> g.content AND f.outcome @> g.outcome
        AND (f.config_id, f.template_id, f.request_prompt_s3_path)
        IS NOT DISTINCT FROM (g.config_id, g.template_id, g.request_prompt_s3_path)
    -- The fullest first, so that of three states two are listed.
    ORDER BY f.line, num_nulls(g.response_time, g.token_used, g.response_s3_path), g.line
) AS p
ORDER BY p.line, p.fuller_line
ON CONFLICT (line) DO NOTHING;

UPDATE pg_temp.load_good AS g
SET is_present = true
FROM pg_temp.load_listed AS l
WHERE g.line = l.line;
