-- needs: 0039.rates-and-budgets

-- What is left of a month is expected to cost, for each day to come, what that day of the week cost on average on the
-- last 28 whole days that are known: those since the first day that cost anything or was used. What is left of today:
-- the same, less what today has cost. Where no day of that weekday is known, all days are the average; where no whole
-- day is, nothing more is expected.
CREATE OR REPLACE VIEW rollup.budget_months AS
WITH reader AS MATERIALIZED (
    SELECT
        rollup.sees_all(current_user) AS sees_all,
        rollup.department_of(current_user) AS department_id
), today AS MATERIALIZED (
    SELECT
        t.day,
        date_trunc('month', t.day::timestamp)::date AS month,
        (date_trunc('month', t.day::timestamp) + interval '1 month')::date AS next_month
    FROM (
        -- As in rollup.cost_periods: who has no row of rollup.state is told.
        SELECT (now() AT TIME ZONE s.time_zone)::date AS day
        FROM rollup.noted('logs') AS n
        LEFT JOIN (SELECT z.time_zone FROM rollup.state AS z LIMIT 1) AS s ON n.days IS NOT NULL
    ) AS t
), budgets AS MATERIALIZED (
    SELECT
        CASE WHEN b.project_id IS NULL THEN 'department' ELSE 'project' END AS dimension,
        coalesce(b.department_id, b.project_id) AS key,
        b.since,
        b.amount,
        lead(b.since, 1, (SELECT t.next_month FROM today AS t))
        OVER (PARTITION BY b.department_id, b.project_id ORDER BY b.since) AS until_month
    -- An array, as in rollup.gpu_spans.
    FROM unnest(array(SELECT a FROM llm.budgets AS a)) AS b
    CROSS JOIN reader AS r
    WHERE r.sees_all OR b.department_id = r.department_id
), costs AS NOT MATERIALIZED (
    SELECT
        m.month,
        p.dimension,
        p.key,
        p.allocated_cost
    FROM (
        SELECT s.month::date AS month
        FROM rollup.calendar(
            (SELECT min(b.since) FROM budgets AS b)::timestamp, (SELECT t.month FROM today AS t)::timestamp,
            interval '1 month'
        ) AS s (month)
    ) AS m
    CROSS JOIN LATERAL (
        SELECT c.dimension, c.key, c.allocated_cost
        FROM rollup.cost_periods AS c
        WHERE c.grain = 'month' AND c.dimension IN ('department', 'project') AND c.first_day = m.month AND NOT c.is_idle
    ) AS p
), days AS MATERIALIZED (
    SELECT
        c.first_day AS day,
        c.dimension,
        c.key,
        c.is_idle,
        c.allocated_cost
    FROM rollup.cost_periods AS c
    WHERE c.grain = 'day' AND c.dimension IN ('department', 'project')
        AND c.first_day >= (SELECT t.day - 28 FROM today AS t) AND c.first_day <= (SELECT t.day FROM today AS t)
        AND EXISTS (SELECT FROM budgets)
), known AS MATERIALIZED (
    -- The whole days there are of each weekday, and of all.
    SELECT
        date_part('isodow', s.day) AS weekday,
        count(*) AS days
    FROM today AS t
    CROSS JOIN rollup.calendar(
        greatest((SELECT min(d.day) FROM days AS d), t.day - 28)::timestamp, t.day - interval '1 day', interval '1 day'
    ) AS s (day)
    GROUP BY GROUPING SETS (date_part('isodow', s.day), ())
), coming AS MATERIALIZED (
    -- What is spent by the end of today and of each day to come, beyond what is spent now.
    SELECT
        e.dimension,
        e.key,
        e.day,
        sum(e.cost) OVER (PARTITION BY e.dimension, e.key ORDER BY e.day) AS cost
    FROM (
        SELECT
            k.dimension,
            k.key,
            s.day::date AS day,
            CASE
                WHEN s.day::date = t.day THEN greatest(w.mean - k.today_cost, 0)
                ELSE w.mean
            END AS cost
        FROM today AS t
        CROSS JOIN rollup.calendar(t.day::timestamp, t.next_month - interval '1 day', interval '1 day') AS s (day)
        CROSS JOIN (
            SELECT
                d.dimension, d.key,
                coalesce(sum(d.allocated_cost) FILTER (WHERE d.day = n.day), 0) AS today_cost,
                coalesce(sum(d.allocated_cost) FILTER (WHERE d.day < n.day), 0) AS whole_days_cost
            FROM days AS d
            CROSS JOIN today AS n
            WHERE NOT d.is_idle
            GROUP BY d.dimension, d.key
        ) AS k
        LEFT JOIN known AS o ON o.weekday = date_part('isodow', s.day)
        LEFT JOIN known AS a ON a.weekday IS NULL
        LEFT JOIN (
            SELECT d.dimension, d.key, date_part('isodow', d.day) AS weekday, sum(d.allocated_cost) AS cost
            FROM days AS d
            CROSS JOIN today AS n
            WHERE d.day < n.day AND NOT d.is_idle
            GROUP BY d.dimension, d.key, weekday
        ) AS v ON k.dimension = v.dimension AND k.key = v.key AND o.weekday = v.weekday
        CROSS JOIN LATERAL (
            SELECT
                CASE
                    WHEN o.days IS NULL THEN coalesce(k.whole_days_cost / nullif(a.days, 0), 0)
                    ELSE coalesce(v.cost, 0) / o.days
                END AS mean
        ) AS w
    ) AS e
)

SELECT
    b.dimension,
    b.key,
    m.month,
    b.amount,
    coalesce(c.allocated_cost, 0) AS spent,
    round(coalesce(c.allocated_cost, 0) + coalesce(f.cost, 0), 10) AS forecast,
    CASE
        WHEN m.month = t.month AND coalesce(c.allocated_cost, 0) >= b.amount THEN 0
        WHEN m.month = t.month THEN (
            SELECT min(n.day) - t.day
            FROM coming AS n
            WHERE n.dimension = b.dimension AND n.key = b.key AND coalesce(c.allocated_cost, 0) + n.cost >= b.amount
        )
    END AS days_left
FROM budgets AS b
CROSS JOIN today AS t
CROSS JOIN LATERAL (
    SELECT s.month::date AS month
    FROM rollup.calendar(
        b.since::timestamp, least(b.until_month, t.next_month) - interval '1 month', interval '1 month'
    ) AS s (month)
) AS m
LEFT JOIN costs AS c ON b.dimension = c.dimension AND b.key = c.key AND m.month = c.month
LEFT JOIN coming AS f
    ON m.month = t.month AND b.dimension = f.dimension AND b.key = f.key AND f.day = t.next_month - 1
WHERE b.amount IS NOT NULL;
COMMENT ON VIEW rollup.budget_months IS '월별 예산: what each budget that the reader sees has spent, a row per month in '
    'which it is in force, up to this month';
COMMENT ON COLUMN rollup.budget_months.dimension IS 'What key means: department or project';
COMMENT ON COLUMN rollup.budget_months.key IS 'Whose budget it is';
COMMENT ON COLUMN rollup.budget_months.month IS '월: its first day';
COMMENT ON COLUMN rollup.budget_months.amount IS '예산: 그 달의 예산 | Budget: for the month';
COMMENT ON COLUMN rollup.budget_months.spent IS '지출: 그 달의 배분 비용(이번 달은 지금까지) | '
    'Spent: allocated cost of the month (this month: so far)';
COMMENT ON COLUMN rollup.budget_months.forecast IS '예상 지출: 월말까지의 배분 비용, 남은 날마다 최근 28일(하루가 다 지난 날, 알려진 날이 더 적으면 그만큼)의 '
    '같은 요일 평균을 '
    '더한다; 지난 달은 spent와 같다 | '
    'Forecast: allocated cost to the end of the month: for each day to come the mean of that weekday over the last 28 '
    'whole days, or those known; of a month that is over what was spent';
COMMENT ON COLUMN rollup.budget_months.days_left IS '남은 일수: 오늘부터 예산이 소진될 때까지의 일수, 0 = 오늘 또는 이미; NULL = 이번 달 안에는 소진되지 '
    '않거나 지난 달 | '
    'Days left: days from today until it is used up, 0 = today or already; NULL = not within this month, or the month '
    'is over';
