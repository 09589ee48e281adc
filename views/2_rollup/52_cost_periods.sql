-- needs: 0039.rates-and-budgets

-- What deployments cost, by day, week and month, and whose it is. Exact until the last step: an amount is a price of an
-- hour times microseconds, and is divided by 3,600,000,000 at the end. docs/costs.md has a worked example.
--
-- A deployment's cost of a day goes to who used it that day, by what they used: of a measure (tokens, or busy time)
-- whose known amounts are T of K requests, a request whose measure is not known counts as the mean of those, T / K. Of
-- N requests, a row with the measure t and u requests of unknown measure has t * K / (T * N) + u / N of the day; where
-- T is 0, each request counts alike. A day on which nobody used it is idle, and is a row of its own; by deployment and
-- by model it is theirs.
--
-- Each period is worked out together with the one before it, of which no more is asked than what it allocates.
--
-- Rounding: the rows of a period are rounded one after the other to 10 decimals so that their sum is that of the exact
-- amounts, rounded (cumulative rounding).
CREATE OR REPLACE FUNCTION rollup.per_hour(hourly_us numeric)
RETURNS numeric
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
-- A division has the decimals of what it divides, or few. And sums that should be equal may differ behind the 20th.
RETURN round(round(round(hourly_us, 30) / 3600000000, 20), 10);
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
    SELECT o.*
    FROM noted AS n
    CROSS JOIN LATERAL rollup.open_deployment_usage(n.spans) AS o
), usage AS NOT MATERIALIZED (
    SELECT
        r.dimension, r.day, r.deployment_id, r.model_id, r.key, r.department_id, r.requests, r.answered_requests,
        r.requests_without_tokens, r.tokens, r.latency_us
    FROM rollup.deployment_usage AS r
    WHERE r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date [])
    UNION ALL
    SELECT
        o.dimension, o.day, o.deployment_id, o.model_id, o.key, o.department_id, o.requests, o.answered_requests,
        o.requests_without_tokens, o.tokens, o.latency_us
    FROM open AS o
), today AS MATERIALIZED (
    -- A LEFT JOIN, so that rollup.noted(), which raises where rollup.state has no row, is asked first.
    SELECT (now() AT TIME ZONE s.time_zone)::date AS day, s.time_zone
    FROM noted AS n
    LEFT JOIN rollup.state AS s ON n.days IS NOT NULL
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
        (SELECT array_agg(h) FROM rollup.gpu_spans AS h WHERE h.gpus > 0) AS spans
    FROM today AS t
), later AS MATERIALIZED (
    -- As in rollup.usage_periods.
    SELECT r.day
    FROM rollup.deployment_usage AS r
    WHERE r.dimension = 'department' AND r.day > (SELECT t.day FROM today AS t)
    UNION
    SELECT o.day FROM open AS o WHERE o.day > (SELECT t.day FROM today AS t)
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
    (c.allocated_cost / nullif(c.cost_before, 0))::double precision - 1 AS cost_change,
    c.requests,
    c.requests_without_tokens,
    c.tokens,
    c.allocated_cost * 1000 / nullif(c.requests, 0) AS cost_per_1000_requests,
    c.allocated_cost * 1000000 / nullif(c.tokens, 0) AS cost_per_million_tokens,
    c.used_cost * 1000000 / nullif(c.tokens, 0) AS used_cost_per_million_tokens,
    c.busy_hours,
    CASE
        WHEN d.dimension IN ('deployment', 'model') THEN rollup.cost_case(
            c.requests, c.tokens, c.allocated_cost, c.used_cost, c.total_tokens, c.total_cost, c.total_used_cost
        )
    END AS cost_case
FROM reader AS r
CROSS JOIN (VALUES ('day', interval '1 day'), ('week', '1 week'), ('month', '1 month')) AS g (grain, length)
CROSS JOIN (
    VALUES
    ('department', 'department'::rollup.dimension), ('deployment', 'department'), ('model', 'department'),
    ('project', 'project'), ('template', 'template'), ('user', 'user'),
    ('model of department', 'department'), ('user of department', 'user')
) AS d (dimension, kept_by)
CROSS JOIN days
CROSS JOIN LATERAL (
    SELECT s.first_day
    FROM generate_series(
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
        FROM usage AS w
        WHERE w.dimension = 'department' AND w.day >= s.first_day::date AND w.day < (s.first_day + g.length)::date
    )
    UNION
    SELECT date_trunc(g.grain, x.day::timestamp) FROM later AS x
) AS p
CROSS JOIN LATERAL (
    WITH held AS MATERIALIZED (
        SELECT h.*, h.day >= p.first_day::date AS is_now
        FROM rollup.gpu_days(
            days.spans, days.time_zone, (p.first_day - g.length)::date, (p.first_day + g.length)::date - 1
        ) AS h
    ), had AS MATERIALIZED (
        SELECT
            u.day, u.deployment_id,
            sum(u.requests) AS requests,
            sum(CASE WHEN r.by_tokens THEN u.requests_without_tokens ELSE u.requests - u.answered_requests END)
            AS unknown,
            sum(CASE WHEN r.by_tokens THEN u.tokens ELSE u.latency_us END) AS measure,
            sum(u.latency_us) AS latency_us
        FROM usage AS u
        WHERE u.dimension = 'department'
            AND u.day >= (p.first_day - g.length)::date AND u.day < (p.first_day + g.length)::date
        GROUP BY u.day, u.deployment_id
    ), prices AS MATERIALIZED (
        -- Of one unit of the measure, and of one request. 30 decimals: what is left of 20 does not matter.
        SELECT
            x.day, x.deployment_id, x.is_by_request,
            x.amount * x.known / x.units AS amount_per_unit,
            x.amount / x.requests AS amount_per_request,
            x.gpu_us * x.known / x.units AS us_per_unit,
            x.gpu_us / x.requests AS us_per_request,
            x.amount * x.known / x.units * x.busy AS used_per_unit,
            x.amount / x.requests * x.busy AS used_per_request
        FROM (
            SELECT
                a.day, a.deployment_id, a.requests,
                a.requests - a.unknown AS known,
                a.measure = 0 AS is_by_request,
                coalesce(nullif(a.measure, 0), 1) * a.requests AS units,
                c.amount, c.gpu_us,
                least(round(a.latency_us, 30) / c.gpu_us, 1) AS busy
            FROM had AS a
            INNER JOIN (
                SELECT h.day, h.deployment_id, round(sum(h.gpu_us), 30) AS gpu_us, round(sum(h.amount), 30) AS amount
                FROM held AS h
                GROUP BY h.day, h.deployment_id
            ) AS c ON a.day = c.day AND a.deployment_id = c.deployment_id
        ) AS x
    ), unused AS MATERIALIZED (
        SELECT h.is_now, h.deployment_id, h.model_id, h.amount, h.gpu_us
        FROM held AS h
        LEFT JOIN had AS a ON h.day = a.day AND h.deployment_id = a.deployment_id
        WHERE a.day IS NULL
    ), parts AS (
        SELECT
            u.key, u.department_id, false AS is_idle, u.is_now, u.requests, u.requests_without_tokens, u.tokens,
            u.measure * x.amount_per_unit + n.requests * x.amount_per_request AS amount,
            CASE WHEN u.is_now THEN u.measure * x.used_per_unit + n.requests * x.used_per_request END AS used,
            CASE WHEN u.is_now THEN u.measure * x.us_per_unit + n.requests * x.us_per_request END AS gpu_us,
            u.latency_us
        FROM (
            SELECT
                w.day, w.deployment_id, w.requests, w.requests_without_tokens, w.tokens, w.latency_us,
                w.day >= p.first_day::date AS is_now,
                CASE d.dimension
                    WHEN 'deployment' THEN w.deployment_id
                    WHEN 'model' THEN w.model_id
                    WHEN 'model of department' THEN w.model_id
                    ELSE w.key
                END AS key,
                CASE d.dimension
                    WHEN 'model of department' THEN w.key
                    WHEN 'user of department' THEN w.department_id
                END AS department_id,
                CASE WHEN r.by_tokens THEN w.tokens ELSE w.latency_us END AS measure,
                CASE WHEN r.by_tokens THEN w.requests_without_tokens ELSE w.requests - w.answered_requests END
                AS unknown
            FROM usage AS w
            WHERE w.dimension = d.kept_by
                AND w.day >= (p.first_day - g.length)::date AND w.day < (p.first_day + g.length)::date
                AND (r.sees_all OR d.dimension = 'department' AND w.key = r.department_id)
        ) AS u
        -- FULL, as there is no nested loop for it: the planner expects one price, and there are thousands. A price that
        -- nothing here has is left out below, in a way that does not make it a LEFT JOIN again.
        FULL JOIN prices AS x ON u.day = x.day AND u.deployment_id = x.deployment_id
        CROSS JOIN LATERAL (SELECT CASE WHEN x.is_by_request THEN u.requests ELSE u.unknown END) AS n (requests)
        WHERE coalesce(u.requests, 0) > 0
        UNION ALL
        SELECT
            CASE d.dimension WHEN 'deployment' THEN i.deployment_id WHEN 'model' THEN i.model_id END,
            NULL,
            d.dimension NOT IN ('deployment', 'model'),
            i.is_now, 0, 0, 0, i.amount, 0, CASE WHEN i.is_now THEN i.gpu_us END, 0
        FROM unused AS i
        WHERE r.sees_all
    ), sums AS (
        SELECT
            a.key, a.department_id, a.is_idle,
            rollup.bigint_sum(a.requests) FILTER (WHERE a.is_now) AS requests,
            rollup.bigint_sum(a.requests_without_tokens) FILTER (WHERE a.is_now) AS requests_without_tokens,
            rollup.bigint_sum(a.tokens) FILTER (WHERE a.is_now) AS tokens,
            coalesce(sum(a.amount) FILTER (WHERE a.is_now), 0) AS amount,
            coalesce(sum(a.used), 0) AS used,
            coalesce(sum(a.gpu_us), 0) AS gpu_us,
            coalesce(sum(a.latency_us) FILTER (WHERE a.is_now), 0) AS latency_us,
            coalesce(sum(a.amount) FILTER (WHERE NOT a.is_now), 0) AS amount_before,
            count(*) FILTER (WHERE a.is_now) > 0 AS is_now
        FROM parts AS a
        GROUP BY a.key, a.department_id, a.is_idle
    ), spread AS MATERIALIZED (
        -- By how much the others' cost grows where idle cost is spread; NULL = there is nobody who could have it.
        SELECT
            h.is_now,
            sum(h.amount) / nullif(sum(h.amount) - i.amount, 0) AS amount_factor,
            sum(h.gpu_us) / nullif(sum(h.gpu_us) - i.gpu_us, 0) AS gpu_factor
        FROM held AS h
        INNER JOIN (
            SELECT u.is_now, round(sum(u.amount), 30) AS amount, round(sum(u.gpu_us), 30) AS gpu_us
            FROM unused AS u
            GROUP BY u.is_now
        ) AS i ON h.is_now = i.is_now
        WHERE r.idle_is_spread AND d.dimension NOT IN ('deployment', 'model')
        GROUP BY h.is_now, i.amount, i.gpu_us
    ), shares AS (
        SELECT
            m.key, m.department_id, m.is_idle, m.requests, m.requests_without_tokens, m.tokens, m.used, m.latency_us,
            CASE WHEN f.amount_factor IS NULL THEN m.amount WHEN m.is_idle THEN 0 ELSE m.amount * f.amount_factor END
            AS amount,
            CASE WHEN f.gpu_factor IS NULL THEN m.gpu_us WHEN m.is_idle THEN 0 ELSE m.gpu_us * f.gpu_factor END
            AS gpu_us,
            CASE
                WHEN b.amount_factor IS NULL THEN m.amount_before
                WHEN m.is_idle THEN 0
                ELSE m.amount_before * b.amount_factor
            END AS amount_before
        FROM sums AS m
        LEFT JOIN spread AS f ON f.is_now
        LEFT JOIN spread AS b ON NOT b.is_now
        WHERE m.is_now
    )

    SELECT
        h.key, h.department_id, h.is_idle, h.requests, h.requests_without_tokens, h.tokens,
        rollup.per_hour(sum(h.amount) OVER so_far) - rollup.per_hour(sum(h.amount) OVER so_far - h.amount)
        AS allocated_cost,
        rollup.per_hour(sum(h.used) OVER so_far) - rollup.per_hour(sum(h.used) OVER so_far - h.used) AS used_cost,
        rollup.per_hour(sum(h.gpu_us) OVER so_far) - rollup.per_hour(sum(h.gpu_us) OVER so_far - h.gpu_us) AS gpu_hours,
        h.latency_us::double precision / 3.6e9 AS busy_hours,
        rollup.per_hour(sum(h.amount) OVER ()) AS total_cost,
        rollup.per_hour(sum(h.used) OVER ()) AS total_used_cost,
        sum(h.tokens) OVER () AS total_tokens,
        rollup.per_hour(h.amount_before) AS cost_before
    FROM shares AS h
    WINDOW so_far AS (ORDER BY h.is_idle, h.key, h.department_id ROWS UNBOUNDED PRECEDING)
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
