CREATE OR REPLACE VIEW reporting.daily_sessions AS
SELECT
    s.session_day,
    s.session_type,
    st.label_ko AS session_type_ko,
    st.label_en AS session_type_en,
    s.department_id,
    d.department_name,
    s.sessions,
    s.running_sessions,
    s.completed_sessions,
    s.error_sessions,
    s.aborted_sessions,
    s.duration_us / 6e7 / nullif(s.sessions - s.running_sessions, 0) AS mean_duration_minutes,
    s.turns,
    s.turns / nullif(s.sessions, 0)::double precision AS mean_turns,
    s.requests_without_tokens,
    s.tokens,
    s.error_sessions / nullif(s.sessions - s.running_sessions, 0)::double precision AS error_rate,
    s.aborted_sessions / nullif(s.sessions - s.running_sessions, 0)::double precision AS abort_rate
FROM (
    SELECT
        r.day AS session_day,
        r.session_type,
        r.department_id,
        rollup.bigint_sum(r.sessions) AS sessions,
        coalesce(rollup.bigint_sum(r.sessions) FILTER (WHERE r.status = 'running'), 0) AS running_sessions,
        coalesce(rollup.bigint_sum(r.sessions) FILTER (WHERE r.status = 'completed'), 0) AS completed_sessions,
        coalesce(rollup.bigint_sum(r.sessions) FILTER (WHERE r.status = 'error'), 0) AS error_sessions,
        coalesce(rollup.bigint_sum(r.sessions) FILTER (WHERE r.status = 'aborted'), 0) AS aborted_sessions,
        sum(r.duration_us)::double precision AS duration_us,
        rollup.bigint_sum(r.requests) AS turns,
        rollup.bigint_sum(r.requests_without_tokens) AS requests_without_tokens,
        rollup.bigint_sum(r.tokens) AS tokens
    FROM rollup.session_rows AS r
    GROUP BY r.day, r.session_type, r.department_id
) AS s
LEFT JOIN llm.session_types AS st ON s.session_type = st.code
LEFT JOIN rollup.departments AS d ON s.department_id = d.department_id;
COMMENT ON VIEW reporting.daily_sessions IS '일별 세션: 시작된 세션의 수, 길이, 종료 상태; 전체 기간, 세션이 있는 일자, 세션 유형, 부서마다 한 행 | '
    'Daily sessions: how many sessions began, how long they were and how they ended; one row per day, session type and '
    'department with sessions, of all time';
CALL ops.describe('reporting.daily_sessions', 'reporting.session_summaries');
COMMENT ON COLUMN reporting.daily_sessions.session_day IS '일자: 세션이 시작된 일자, 보고 시간대 기준 | '
    'Day: the day the sessions began, in the reporting time zone';
COMMENT ON COLUMN reporting.daily_sessions.sessions IS '세션 수: 모든 세션, 상태와 무관 | '
    'Sessions: all sessions, whatever their status';
COMMENT ON COLUMN reporting.daily_sessions.running_sessions IS '진행중 세션 수: 종료되지 않은 세션 | '
    'Running sessions: those that have not ended';
COMMENT ON COLUMN reporting.daily_sessions.completed_sessions IS '완료 세션 수: 상태가 완료인 세션 | '
    'Completed sessions: those whose status is completed';
COMMENT ON COLUMN reporting.daily_sessions.error_sessions IS '오류 세션 수: 상태가 오류인 세션 | '
    'Sessions with errors: those whose status is error';
COMMENT ON COLUMN reporting.daily_sessions.aborted_sessions IS '중단 세션 수: 상태가 중단인 세션. 나중에 추가된 상태는 sessions에만 들어간다 | '
    'Aborted sessions: those whose status is aborted. A status added to the vocabulary later is in sessions only';
COMMENT ON COLUMN reporting.daily_sessions.mean_duration_minutes IS '평균 세션 지속 시간: 종료된 세션의 평균, 분 단위; NULL = 종료된 세션 없음 | '
    'Mean session duration: of the sessions that have ended, in minutes; NULL = none has';
COMMENT ON COLUMN reporting.daily_sessions.turns IS '턴 수: 이 세션들의 요청, 요청한 일자와 무관 | '
    'Turns: requests of these sessions, on whatever day they were made';
COMMENT ON COLUMN reporting.daily_sessions.mean_turns IS '세션당 평균 턴 수: turns를 sessions로 나눈 값 | '
    'Mean turns per session: turns / sessions';
COMMENT ON COLUMN reporting.daily_sessions.error_rate IS '오류율: 종료된 세션 가운데 error_sessions의 비율, 0~1; NULL = 종료된 세션 없음 | '
    'Error rate: error_sessions among the sessions that have ended, 0 to 1; NULL = none has';
COMMENT ON COLUMN reporting.daily_sessions.abort_rate IS '중단율: 종료된 세션 가운데 aborted_sessions의 비율, 0~1; NULL = 종료된 세션 '
    '없음 | '
    'Abort rate: aborted_sessions among the sessions that have ended, 0 to 1; NULL = none has';

GRANT SELECT ON reporting.daily_sessions TO llm_analyst;
