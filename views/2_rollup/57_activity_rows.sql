CREATE OR REPLACE VIEW rollup.activity_rows AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
)

SELECT a.day, a.gap_days, a.users
FROM rollup.activity AS a
WHERE a.day < (SELECT rollup.activity_border(n.days) FROM noted AS n)
UNION ALL
SELECT o.day, o.gap_days, o.users
FROM noted AS n
CROSS JOIN LATERAL rollup.open_activity(n.days, n.spans) AS o;
COMMENT ON VIEW rollup.activity_rows IS '활동: of all time, exact';
CALL ops.describe('rollup.activity_rows', 'rollup.activity');
