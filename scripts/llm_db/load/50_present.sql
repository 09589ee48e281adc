-- What the database has already: by its key, or else by its content, where the n-th row of the same content is there if
-- the database has n of them. No key, no certainty: two gateways may have had equal requests. So a row that no earlier
-- load of this very file has read is listed.
UPDATE pg_temp.load_good AS g
SET is_present = true
FROM pg_temp.load_stored_logs AS l
WHERE g.session_id = l.session_id AND g.log_sequence = l.log_sequence;

WITH span AS (
    SELECT min(request_time) AS earliest, max(request_time) AS latest FROM pg_temp.load_good WHERE is_grouped
), logs AS (
    SELECT l.session_id, l.log_sequence, l.content, l.session_id::text AS place
    FROM pg_temp.load_logs AS l
    WHERE l.session_id IN (SELECT g.session_id FROM pg_temp.load_good AS g WHERE g.log_sequence IS NULL)
    UNION ALL
    SELECT l.session_id, l.log_sequence, l.content, (s.user_id, s.project_id, s.session_type)::text
    FROM span
    INNER JOIN pg_temp.load_stored_sessions AS s
        ON s.start_time <= span.latest AND coalesce(s.end_time, 'infinity') >= span.earliest
    INNER JOIN pg_temp.load_logs AS l ON s.session_id = l.session_id
    WHERE l.request_time BETWEEN span.earliest AND span.latest
        AND s.user_id IN (SELECT g.user_id FROM pg_temp.load_good AS g WHERE g.is_grouped)
), numbered_logs AS (
    SELECT
        session_id, log_sequence, content, place,
        row_number() OVER (PARTITION BY place, content ORDER BY session_id, log_sequence) AS n
    FROM logs
), numbered_rows AS (
    SELECT line, content, place, row_number() OVER (PARTITION BY place, content ORDER BY line) AS n
    FROM pg_temp.load_good
    WHERE log_sequence IS NULL AND (is_known OR NOT others_are_new)
)
UPDATE pg_temp.load_good AS g
SET is_present = true, present_in = l.session_id, present_as = l.log_sequence
FROM numbered_rows AS r
INNER JOIN numbered_logs AS l ON r.place = l.place AND r.content = l.content AND r.n = l.n
WHERE g.line = r.line;

INSERT INTO pg_temp.load_listed (line, column_name, value, rule)
SELECT
    line, 'session_id + log_sequence', present_in || ' + ' || present_as,
    'there already: equal to this log of another file or writer'
FROM pg_temp.load_good
WHERE present_as IS NOT NULL AND NOT is_known;
