-- Every user looks up the newest day of their own, so that years of days cost no more than one.
CREATE OR REPLACE VIEW reporting.dormant_accounts AS
WITH noted AS MATERIALIZED (
    SELECT n.days, n.spans FROM rollup.noted('logs') AS n
), open AS MATERIALIZED (
    SELECT o.key, max(o.last_request_time) AS last_request_time
    FROM noted AS n
    CROSS JOIN LATERAL rollup.open_usage(n.spans) AS o
    WHERE o.dimension = 'user'
    GROUP BY o.key
)

SELECT
    u.user_id,
    u.user_name || (SELECT '' WHERE reporting.may_read_people()) AS user_name,
    u.user_email || (SELECT '' WHERE reporting.may_read_people()) AS user_email,
    u.role AS user_role,
    ur.label_ko AS user_role_ko,
    ur.label_en AS user_role_en,
    u.department_id,
    d.department_name,
    u.is_active,
    CASE
        WHEN NOT u.is_active THEN '퇴사'
        WHEN s.last_seen IS NULL THEN '접속 기록 없음'
        ELSE '90일간 미접속'
    END AS reason_ko,
    CASE
        WHEN NOT u.is_active THEN 'Left'
        WHEN s.last_seen IS NULL THEN 'Never seen'
        ELSE 'Not seen for 90 days'
    END AS reason_en,
    u.last_login,
    l.last_request_time,
    extract(DAY FROM now() - s.last_seen)::integer AS inactive_days
FROM llm.users AS u
INNER JOIN llm.roles AS ur ON u.role = ur.code
INNER JOIN llm.departments AS d ON u.department_id = d.department_id
LEFT JOIN open AS o ON u.user_id = o.key
LEFT JOIN LATERAL (
    SELECT r.last_request_time
    FROM rollup.usage AS r
    WHERE r.dimension = 'user' AND r.key = u.user_id
        AND (r.month IS NULL OR r.day <> all((SELECT n.days FROM noted AS n)::date []))
    ORDER BY r.day DESC, r.last_request_time DESC
    LIMIT 1
) AS c ON true
CROSS JOIN LATERAL (SELECT greatest(o.last_request_time, c.last_request_time) AS last_request_time) AS l
CROSS JOIN LATERAL (SELECT greatest(u.last_login, l.last_request_time) AS last_seen) AS s
WHERE NOT u.is_active OR s.last_seen IS NULL OR s.last_seen < now() - interval '90 days';
COMMENT ON VIEW reporting.dormant_accounts IS '휴면 계정: 떠난 사용자, 그리고 90일 동안 또는 한 번도 접속과 요청이 없는 계정; 사용자마다 한 행 | '
    'Dormant accounts: people who left, and accounts with neither a login nor a request for 90 days, or ever; one row '
    'per user';
CALL ops.describe(
    'reporting.dormant_accounts', 'reporting.requests', 'reporting.daily_usage_by_user', 'rollup.usage_totals'
);
COMMENT ON COLUMN reporting.dormant_accounts.last_login IS '마지막 접속 시간: 처음 접속하기 전에는 NULL | '
    'Last login: NULL until the first login';
COMMENT ON COLUMN reporting.dormant_accounts.user_id IS '사용자 고유 식별자: 사용자 | User ID: the user';
COMMENT ON COLUMN reporting.dormant_accounts.department_id IS '부서 고유 식별자: 사용자가 지금 소속되었거나 마지막으로 소속된 부서 | '
    'Department ID: the department the user works for now, or last did';
COMMENT ON COLUMN reporting.dormant_accounts.reason_ko IS '사유: 계정이 여기 있는 이유(한국어) | '
    'Reason: why the account is here, in Korean';
COMMENT ON COLUMN reporting.dormant_accounts.reason_en IS '사유: 계정이 여기 있는 이유(영어). 접속한 적이 없으면 새 사용자일 수도 있다: 계정이 만들어진 시간은 '
    '기록되지 않는다 | '
    'Reason: why the account is here, in English. Never seen may be somebody new: when an account was made is not kept';
COMMENT ON COLUMN reporting.dormant_accounts.inactive_days IS '미활동 일수: last_login과 last_request_time 가운데 나중 시간 이후 지난 '
    '일수, 만으로 센다; NULL = 둘 다 없음 | '
    'Inactive days: whole days since the later of last_login and last_request_time; NULL = neither ever';

GRANT SELECT ON reporting.dormant_accounts TO llm_analyst;
