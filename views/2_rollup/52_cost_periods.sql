-- needs: 0039.rates-and-budgets

-- What deployments cost, by day, week and month, and whose it is: the sums of its days (rollup.day_costs() says how
-- these are worked out), beside those of the period before, which is not looked at where it is not asked for.
--
-- A day is taken from rollup.costs where it was worked out by the same prices, as of the snapshot of who asks, and is
-- not noted, and has no open logs. So a rate, a history or a setting that is changed, also for the past, needs to tell
-- nobody.
--
-- By user, where there are many rows, also those of whole days, weeks and months are kept, if all of their days are.
CREATE OR REPLACE FUNCTION rollup.ten_decimals(amount numeric)
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
-- Sums that should be equal may differ behind the 20th.
RETURN round(round(amount, 20), 10);
COMMENT ON FUNCTION rollup.ten_decimals(numeric) IS 'An amount, or GPU hours, as reports show them: to 10 decimals';
REVOKE ALL ON FUNCTION rollup.ten_decimals(numeric) FROM public;
GRANT EXECUTE ON FUNCTION rollup.ten_decimals(numeric) TO llm_analyst;

-- Cumulative rounding.
CREATE OR REPLACE FUNCTION rollup.rounded_part(part numeric, so_far numeric)
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN rollup.ten_decimals(so_far) - rollup.ten_decimals(so_far - part);
COMMENT ON FUNCTION rollup.rounded_part(numeric, numeric) IS 'One of several parts to 10 decimals, given with the sum '
    'of those before and itself, so that the rounded parts add up to their exact sum, rounded';
REVOKE ALL ON FUNCTION rollup.rounded_part(numeric, numeric) FROM public;
GRANT EXECUTE ON FUNCTION rollup.rounded_part(numeric, numeric) TO llm_analyst;

CREATE OR REPLACE FUNCTION rollup.per_hour(hourly_us numeric)
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
-- A division has the decimals of what it divides, or few.
RETURN rollup.ten_decimals(round(hourly_us, 30) / 3600000000);
COMMENT ON FUNCTION rollup.per_hour(numeric) IS 'What so many microseconds of something per hour are: a sum of GPU '
    'time in hours, or of GPU time times the price of an hour as an amount; 10 decimals';
REVOKE ALL ON FUNCTION rollup.per_hour(numeric) FROM public;
GRANT EXECUTE ON FUNCTION rollup.per_hour(numeric) TO llm_analyst;

-- After OpenCost: what a token costs to keep available, and what it costs while it is made, each against what it costs
-- on the whole platform. An equal cost is not high; 6 decimals of what a million tokens cost tell equal ones.
CREATE OR REPLACE FUNCTION rollup.cost_case(
    requests bigint, tokens bigint, allocated_cost numeric, used_cost numeric, all_tokens numeric,
    all_allocated_cost numeric, all_used_cost numeric
)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN allocated_cost = 0 THEN NULL
    WHEN requests = 0 THEN 'idle'
    WHEN tokens = 0 THEN NULL
    ELSE
        CASE
            WHEN round(allocated_cost * 1000000 / tokens, 6) > round(all_allocated_cost * 1000000 / all_tokens, 6)
                THEN 'high'
            ELSE 'low'
        END || CASE
            WHEN round(used_cost * 1000000 / tokens, 6) > round(all_used_cost * 1000000 / all_tokens, 6) THEN '_high'
            ELSE '_low'
        END
END;
COMMENT ON FUNCTION rollup.cost_case(bigint, bigint, numeric, numeric, numeric, numeric, numeric) IS 'Whether '
    'allocated and used cost per token are above those of the whole platform: high_low, high_high, low_low or '
    'low_high; idle = nobody asked; NULL = no tokens are known, or it cost nothing';
REVOKE ALL ON FUNCTION rollup.cost_case(bigint, bigint, numeric, numeric, numeric, numeric, numeric) FROM public;
GRANT EXECUTE ON FUNCTION rollup.cost_case(bigint, bigint, numeric, numeric, numeric, numeric, numeric) TO llm_analyst;

CREATE OR REPLACE VIEW rollup.cost_cases AS
SELECT
    c.code,
    c.label_ko,
    c.label_en
FROM (
    VALUES
    (
        'high_low', '유지 비용은 높고 사용 비용은 낮다: 모델을 함께 쓰게 하거나 요청을 모은다',
        'Costly to keep available, cheap to use: share the model, merge traffic'
    ),
    (
        'high_high', '유지 비용과 사용 비용이 모두 높다: 이 작업에 맞는 모델인지 다시 검토한다',
        'Costly to keep available and to use: reconsider the model for this work'
    ),
    ('low_low', '유지 비용과 사용 비용이 모두 낮다: 규모가 알맞다', 'Cheap to keep available and to use: well sized'),
    (
        'low_high', '유지 비용은 낮고 사용 비용은 높다: 모델 크기, 양자화, 하드웨어를 살펴본다',
        'Cheap to keep available, costly to use: look at model size, quantization and hardware'
    ),
    (
        'idle', '유휴: 요청이 없었다, 멈추거나 GPU를 다른 곳에 쓴다',
        'Idle: nobody asked, stop it or give its GPUs to others'
    )
) AS c (code, label_ko, label_en);
COMMENT ON VIEW rollup.cost_cases IS '비용 유형: what rollup.cost_case() tells, in words, and what to do';
COMMENT ON COLUMN rollup.cost_cases.code IS '코드: of rollup.cost_case()';
COMMENT ON COLUMN rollup.cost_cases.label_ko IS '한국어 이름: what it means, and what to do';
COMMENT ON COLUMN rollup.cost_cases.label_en IS '영어 이름: what it means, and what to do';

CREATE OR REPLACE VIEW rollup.cost_periods AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
), reader AS MATERIALIZED (
    SELECT
        rollup.sees_all(current_user) AS sees_all,
        rollup.department_of(current_user) AS department_id,
        coalesce((SELECT c.apportioned_by FROM llm.cost_settings AS c), 'tokens') = 'tokens' AS by_tokens,
        coalesce((SELECT c.idle_is_spread FROM llm.cost_settings AS c), false) AS idle_is_spread,
        coalesce((SELECT c.currency FROM llm.cost_settings AS c), 'KRW') AS currency
), open AS MATERIALIZED (
    SELECT
        o.day,
        o.dimension,
        row(
            o.day, NULL, o.deployment_id, o.model_id, o.key, o.department_id, o.requests, o.answered_requests,
            o.requests_without_tokens, o.tokens, o.latency_us, o.dimension, NULL
        )::rollup.deployment_usage AS used
    FROM noted AS n
    CROSS JOIN LATERAL rollup.open_deployment_usage(n.spans) AS o
), today AS MATERIALIZED (
    -- A LEFT JOIN, so that rollup.noted(), which raises where rollup.state has no row, is asked first.
    SELECT (now() AT TIME ZONE s.time_zone)::date AS day, s.time_zone
    FROM noted AS n
    LEFT JOIN (SELECT z.time_zone FROM rollup.state AS z LIMIT 1) AS s ON n.days IS NOT NULL
), held AS MATERIALIZED (
    SELECT array_agg(h) AS spans FROM rollup.gpu_spans AS h WHERE h.gpus > 0
), days AS MATERIALIZED (
    SELECT
        least(
            (SELECT min(r.day) FROM rollup.deployment_usage AS r WHERE r.dimension = 'department'),
            (SELECT min(o.day) FROM open AS o),
            (
                SELECT (min(g.since) AT TIME ZONE t.time_zone)::date
                FROM llm.deployment_history AS g
                WHERE g.gpu_count > 0
            )
        ) AS first_day,
        t.day AS last_day,
        t.time_zone,
        h.spans,
        x.by_tokens,
        (SELECT p.prices FROM rollup.priced_days AS p WHERE p.day = '-infinity')
        = rollup.all_prices(h.spans, t.time_zone, x.by_tokens) AS as_priced,
        n.days AS noted_days,
        -- Of these rollup.costs does not know what happened.
        n.days || array(SELECT DISTINCT o.day FROM open AS o) AS changed_days
    FROM noted AS n
    CROSS JOIN today AS t
    CROSS JOIN reader AS x
    CROSS JOIN held AS h
), later AS MATERIALIZED (
    -- As in rollup.usage_periods. Of an array, too, the planner expects ten rows.
    SELECT a.day
    FROM unnest(array(
        SELECT r.day
        FROM rollup.deployment_usage AS r
        WHERE r.dimension = 'department' AND r.day > (SELECT t.day FROM today AS t)
        UNION
        SELECT o.day FROM open AS o WHERE o.day > (SELECT t.day FROM today AS t)
    )) AS a (day)
), dated AS MATERIALIZED (
    -- The calendar is made once, and not for every period.
    SELECT s.day::date AS day
    FROM days AS z
    CROSS JOIN LATERAL rollup.calendar(z.first_day::timestamp, z.last_day::timestamp, interval '1 day') AS s (day)
    UNION ALL
    SELECT l.day FROM later AS l
), kept_days AS NOT MATERIALIZED (
    SELECT p.day
    FROM days AS z
    INNER JOIN rollup.priced_days AS p
        ON p.day <> all(z.changed_days) AND (
            -- Yesterday may go on, where clocks are set back over midnight.
            z.as_priced AND p.day < z.last_day - 1
            OR p.prices = (SELECT f.prices FROM rollup.day_prices(z.spans, z.time_zone, z.by_tokens, p.day) AS f)
        )
), cost_days AS NOT MATERIALIZED (
    SELECT
        d.day,
        x.dimension,
        c.*
    FROM days AS z
    CROSS JOIN dated AS d
    LEFT JOIN kept_days AS p ON d.day = p.day
    CROSS JOIN rollup.kept_costs AS x
    CROSS JOIN LATERAL (
        SELECT
            s.key, s.department_id, s.is_idle, s.requests, s.requests_without_tokens, s.tokens, s.latency_us, s.cost,
            s.used_cost, s.gpu_hours
        FROM rollup.costs AS s
        WHERE s.day = p.day AND s.dimension = x.dimension
        UNION ALL
        SELECT w.*
        FROM (SELECT array_agg(o.used) AS used FROM open AS o WHERE o.day = d.day AND o.dimension = x.used_by) AS a
        CROSS JOIN LATERAL rollup.day_costs(
            z.spans, z.time_zone, z.by_tokens, d.day, x.dimension, d.day = any(z.noted_days), a.used
        ) AS w
        WHERE p.day IS NULL
    ) AS c
)

SELECT
    g.grain,
    d.dimension,
    p.first_day::date AS first_day,
    c.key,
    c.department_id,
    c.is_idle,
    r.currency,
    c.gpu_hours,
    c.allocated_cost,
    c.used_cost,
    c.allocated_cost - c.used_cost AS idle_cost,
    CASE WHEN r.sees_all THEN (c.allocated_cost / nullif(c.total_cost, 0))::double precision END AS cost_share,
    c.cost_before,
    c.cost_change,
    c.requests,
    c.requests_without_tokens,
    c.tokens,
    c.allocated_cost * 1000 / nullif(c.requests, 0) AS cost_per_1000_requests,
    c.allocated_cost * 1000000 / nullif(c.tokens, 0) AS cost_per_million_tokens,
    c.used_cost * 1000000 / nullif(c.tokens, 0) AS used_cost_per_million_tokens,
    c.latency_us::double precision / 3.6e9 AS busy_hours,
    CASE
        WHEN d.dimension IN ('deployment', 'model') THEN rollup.cost_case(
            c.requests, c.tokens, c.allocated_cost, c.used_cost, c.total_tokens, c.total_cost, c.total_used_cost
        )
    END AS cost_case
FROM reader AS r
CROSS JOIN (VALUES ('day', interval '1 day'), ('week', '1 week'), ('month', '1 month')) AS g (grain, length)
CROSS JOIN (
    -- What is kept by model knows the department, and what is idle by model is so for the department too.
    VALUES
    ('department', 'model'::rollup.dimension, true, false, true),
    ('deployment', 'deployment', false, false, false),
    ('model', 'model', false, false, false),
    ('project', 'project', false, false, true),
    ('template', 'template', false, false, true),
    ('user', 'user', false, false, true),
    ('model of department', 'model', false, true, true),
    ('user of department', 'user', false, true, true)
) AS d (dimension, kept_as, is_department, is_of_department, idle_is_apart)
CROSS JOIN days
CROSS JOIN LATERAL (
    SELECT s.first_day
    FROM rollup.calendar(
        date_trunc(g.grain, days.first_day::timestamp), days.last_day::timestamp, g.length
    ) AS s (first_day)
    -- The others have no rows, and finding that out of what follows takes as long as for a period that has.
    WHERE EXISTS (
        SELECT
        FROM unnest(days.spans) AS h
        WHERE h.since AT TIME ZONE days.time_zone < s.first_day + g.length
            AND h.until_time AT TIME ZONE days.time_zone > s.first_day
    ) OR EXISTS (
        SELECT
        FROM rollup.deployment_usage AS w
        WHERE w.dimension = 'department' AND w.day >= s.first_day::date AND w.day < (s.first_day + g.length)::date
            AND (w.month IS NULL OR w.day <> all(days.noted_days))
    ) OR EXISTS (
        SELECT FROM open AS o WHERE o.day >= s.first_day::date AND o.day < (s.first_day + g.length)::date
    )
    UNION
    SELECT date_trunc(g.grain, x.day::timestamp) FROM later AS x
) AS p
CROSS JOIN LATERAL (
    SELECT count(*) = (p.first_day + g.length)::date - p.first_day::date AS is_kept
    FROM kept_days AS k
    WHERE d.dimension = 'user' AND r.sees_all AND NOT r.idle_is_spread
        AND k.day >= p.first_day AND k.day < p.first_day + g.length
) AS q
CROSS JOIN LATERAL (
    SELECT
        -- By how much the others' cost grows where idle cost is spread; NULL = it is not, or nobody could have it.
        round(sum(e.cost) FILTER (WHERE n.is_now), 50)
        / nullif(sum(e.cost) FILTER (WHERE n.is_now AND NOT e.is_idle), 0) AS cost_factor,
        round(sum(e.gpu_hours) FILTER (WHERE n.is_now), 50)
        / nullif(sum(e.gpu_hours) FILTER (WHERE n.is_now AND NOT e.is_idle), 0) AS gpu_factor,
        round(sum(e.cost) FILTER (WHERE NOT n.is_now), 50)
        / nullif(sum(e.cost) FILTER (WHERE NOT n.is_now AND NOT e.is_idle), 0) AS cost_factor_before
    FROM cost_days AS e
    CROSS JOIN LATERAL (SELECT e.day >= p.first_day::date AS is_now) AS n
    WHERE r.idle_is_spread AND d.idle_is_apart AND e.dimension = 'deployment'
        AND e.day >= (p.first_day - g.length)::date AND e.day < (p.first_day + g.length)::date
    -- Once a period, and not once a row.
    OFFSET 0
) AS f
-- A join of its own, which the planner need not find among all the others: it looks at join_collapse_limit (8) of them.
CROSS JOIN LATERAL (
    SELECT
        n.*,
        coalesce(b.cost, 0.0000000000) AS cost_before,
        (n.allocated_cost / nullif(b.cost, 0))::double precision - 1 AS cost_change
    FROM (
        SELECT
            s.user_id AS key, NULL::bigint AS department_id, s.user_id IS NULL AS is_idle, s.requests,
            s.requests_without_tokens, s.tokens, s.latency_us, s.allocated_cost, s.used_cost, s.gpu_hours,
            sum(s.allocated_cost) OVER () AS total_cost,
            sum(s.used_cost) OVER () AS total_used_cost,
            sum(s.tokens) OVER () AS total_tokens
        FROM rollup.user_costs AS s
        WHERE q.is_kept AND s.first_day = p.first_day::date AND s.grain = g.grain
        UNION ALL
        SELECT
            m.key, m.department_id, m.is_idle, m.requests, m.requests_without_tokens, m.tokens, m.latency_us,
            rollup.rounded_part(m.cost, sum(m.cost) OVER so_far) AS allocated_cost,
            rollup.rounded_part(m.used_cost, sum(m.used_cost) OVER so_far) AS used_cost,
            rollup.rounded_part(m.gpu_hours, sum(m.gpu_hours) OVER so_far) AS gpu_hours,
            rollup.ten_decimals(sum(m.cost) OVER ()) AS total_cost,
            rollup.ten_decimals(sum(m.used_cost) OVER ()) AS total_used_cost,
            sum(m.tokens) OVER () AS total_tokens
        FROM (
            SELECT
                k.key, k.department_id, k.is_idle,
                rollup.bigint_sum(e.requests) AS requests,
                rollup.bigint_sum(e.requests_without_tokens) AS requests_without_tokens,
                rollup.bigint_sum(e.tokens) AS tokens,
                sum(e.latency_us) AS latency_us,
                CASE
                    WHEN f.cost_factor IS NULL THEN sum(e.cost)
                    WHEN k.is_idle THEN 0
                    ELSE sum(e.cost) * f.cost_factor
                END AS cost,
                sum(e.used_cost) AS used_cost,
                CASE
                    WHEN f.gpu_factor IS NULL THEN sum(e.gpu_hours)
                    WHEN k.is_idle THEN 0
                    ELSE sum(e.gpu_hours) * f.gpu_factor
                END AS gpu_hours
            FROM cost_days AS e
            CROSS JOIN LATERAL (
                SELECT
                    CASE
                        WHEN d.is_department THEN e.department_id
                        WHEN NOT (e.is_idle AND d.idle_is_apart) THEN e.key
                    END AS key,
                    CASE WHEN d.is_of_department THEN e.department_id END AS department_id,
                    e.is_idle AND d.idle_is_apart AS is_idle,
                    -- The planner expects few rows, and would sort the many there are to group them. What is of a type
                    -- that has an equality and no order is hashed.
                    '0'::xid AS hashed
            ) AS k
            WHERE e.dimension = d.kept_as
                AND e.day >= p.first_day::date AND e.day < (p.first_day + g.length)::date
            GROUP BY k.key, k.department_id, k.is_idle, k.hashed
        ) AS m
        WHERE NOT q.is_kept AND (r.sees_all OR d.is_department AND m.key = r.department_id)
        WINDOW so_far AS (ORDER BY m.key, m.department_id, m.is_idle ROWS UNBOUNDED PRECEDING)
    ) AS n
    -- A LEFT JOIN on what is unique: a query that does not ask for what was before does not read it. The lowest bigint
    -- for no key, as in rollup.usage_periods.
    LEFT JOIN (
        SELECT
            k.key, k.department_id, k.is_idle,
            rollup.ten_decimals(CASE
                WHEN f.cost_factor_before IS NULL THEN sum(e.cost)
                WHEN k.is_idle THEN 0
                ELSE sum(e.cost) * f.cost_factor_before
            END) AS cost
        FROM cost_days AS e
        CROSS JOIN LATERAL (
            SELECT
                coalesce(CASE
                    WHEN d.is_department THEN e.department_id
                    WHEN NOT (e.is_idle AND d.idle_is_apart) THEN e.key
                END, '-9223372036854775808') AS key,
                coalesce(CASE WHEN d.is_of_department THEN e.department_id END, '-9223372036854775808')
                AS department_id,
                e.is_idle AND d.idle_is_apart AS is_idle
        ) AS k
        WHERE e.dimension = d.kept_as
            AND e.day >= (p.first_day - g.length)::date AND e.day < p.first_day::date
        GROUP BY k.key, k.department_id, k.is_idle
    ) AS b
        ON coalesce(n.key, '-9223372036854775808') = b.key
            AND coalesce(n.department_id, '-9223372036854775808') = b.department_id AND n.is_idle = b.is_idle
) AS c;
COMMENT ON VIEW rollup.cost_periods IS '기간별 비용: by dimension and grain (day, week from Monday, '
    'month), with the share of the whole platform and the change against the period before; ask for one of each';
CALL ops.describe('rollup.cost_periods', 'rollup.usage_rows');
COMMENT ON COLUMN rollup.cost_periods.grain IS '기간 단위: day, week or month';
COMMENT ON COLUMN rollup.cost_periods.dimension IS 'What key means: that of rollup.dimension, or of each department '
    'its models or users';
COMMENT ON COLUMN rollup.cost_periods.first_day IS '기간 시작일: in the reporting time zone';
COMMENT ON COLUMN rollup.cost_periods.key IS 'The dimension''s own key; NULL = requests without one, or idle';
COMMENT ON COLUMN rollup.cost_periods.department_id IS 'Whose models or users; NULL in other dimensions';
COMMENT ON COLUMN rollup.cost_periods.is_idle IS '유휴 여부: 아무도 배포를 사용하지 않은 날의 비용을 모은 행인지 여부 | '
    'Idle: whether the row is the cost of the days on which nobody used a deployment';
COMMENT ON COLUMN rollup.cost_periods.currency IS '통화: 모든 금액의 통화 코드 | '
    'Currency: ISO 4217 code of all amounts';
COMMENT ON COLUMN rollup.cost_periods.gpu_hours IS 'GPU 시간: 배분 비용에 해당하는 GPU 보유 시간, 시간 단위 | '
    'GPU hours: GPU time that the allocated cost is of, in hours';
COMMENT ON COLUMN rollup.cost_periods.allocated_cost IS '배분 비용: 사용한 배포의 그날 비용 가운데 사용량에 비례한 몫, 아무도 사용하지 않은 날의 비용은 별도 | '
    'Allocated cost: share of the cost of the deployments used, day by day in proportion to use; what nobody used is '
    'apart';
COMMENT ON COLUMN rollup.cost_periods.used_cost IS '사용 비용: 배분 비용 가운데 GPU가 요청을 처리하던 시간의 비용 | '
    'Used cost: of the allocated cost, that of the time in which requests were processed';
COMMENT ON COLUMN rollup.cost_periods.idle_cost IS '유휴 비용: 배분 비용 가운데 GPU가 쉬던 시간의 비용, 사용 비용과 더하면 배분 비용 | '
    'Idle cost: of the allocated cost, that of the time in which nothing was processed; with the used cost it is the '
    'allocated cost';
COMMENT ON COLUMN rollup.cost_periods.cost_share IS '비용 비율: 그 기간 플랫폼 전체 비용에서 배분 비용이 차지하는 비율, 0~1; NULL = 비용이 없거나 볼 권한 '
    '없음(한 부서만 보는 사용자) | '
    'Share of cost: allocated cost against the period''s cost of the whole platform, 0 to 1; NULL = there is none, or '
    'not for you, who see one department';
COMMENT ON COLUMN rollup.cost_periods.cost_before IS '이전 기간 비용: 이전 기간의 배분 비용; 0 = 없음 | '
    'Cost before: allocated cost of the period before; 0 = none';
COMMENT ON COLUMN rollup.cost_periods.cost_change IS '비용 증감률: 이전 기간 대비 배분 비용의 증감, 0.25 = 25 % 증가; NULL = 이전 기간에 없음 | '
    'Change in cost: of the allocated cost against the period before, 0.25 = 25 % more; NULL = none before';
COMMENT ON COLUMN rollup.cost_periods.cost_per_1000_requests IS '요청 1000건당 비용: 배분 비용 기준; NULL = 요청 없음 | '
    'Cost per 1000 requests: of the allocated cost; NULL = no request';
COMMENT ON COLUMN rollup.cost_periods.cost_per_million_tokens IS '토큰 100만 개당 비용: 배분 비용 기준; NULL = 아는 토큰 수가 없음 | '
    'Cost per million tokens: of the allocated cost; NULL = no tokens are known';
COMMENT ON COLUMN rollup.cost_periods.used_cost_per_million_tokens IS '토큰 100만 개당 사용 비용: 사용 비용 기준; NULL = 아는 토큰 수가 '
    '없음 | '
    'Used cost per million tokens: of the used cost; NULL = no tokens are known';
COMMENT ON COLUMN rollup.cost_periods.busy_hours IS '처리 시간 합계: 응답된 요청의 처리 시간을 모두 더한 값, 시간 단위; 동시에 처리된 요청도 각각 더한다 | '
    'Busy hours: latency of all answered requests added up, in hours; requests that run at once each count';
COMMENT ON COLUMN rollup.cost_periods.cost_case IS '비용 유형: 토큰당 배분 비용과 사용 비용이 각각 플랫폼 전체보다 높은지에 대한 코드; NULL = 아는 토큰 '
    '수나 비용이 없음 | '
    'Cost case: code of whether allocated and used cost per token are above those of the whole platform; NULL = no '
    'tokens are known, or it cost nothing';
