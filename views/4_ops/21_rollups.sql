-- Whether the upkeep of the reports runs, and what it has to do.
CREATE OR REPLACE VIEW ops.rollups AS
SELECT
    s.time_zone,
    s.closed_before,
    CASE WHEN isfinite(s.closed_before) THEN now() - s.closed_before END AS open_time,
    cardinality(l.days) AS noted_log_days,
    cardinality(e.days) AS noted_session_days,
    (SELECT count(*) FROM rollup.notes) AS notes,
    s.refreshed_at
FROM rollup.noted('logs') AS l
CROSS JOIN rollup.noted('sessions') AS e
-- They raise where there is no row, and are asked first.
LEFT JOIN rollup.state AS s ON true;
COMMENT ON VIEW ops.rollups IS '집계 상태: how far the rollups are and what the next CALL ops.refresh_rollups() has to do; '
    'one row';
COMMENT ON COLUMN ops.rollups.time_zone IS '보고 시간대: whose days and hours the reports count in';
COMMENT ON COLUMN ops.rollups.closed_before IS '집계 경계: requests before this time are summed up; -infinity = none yet';
COMMENT ON COLUMN ops.rollups.open_time IS '미집계 시간: how long ago that is, read from the logs by every '
    'report; NULL = none is summed up';
COMMENT ON COLUMN ops.rollups.noted_log_days IS '재집계 대상 일수: days on which logs of closed time have changed, which '
    'reports read from the logs';
COMMENT ON COLUMN ops.rollups.noted_session_days IS '세션 재집계 대상 일수: the same for sessions';
COMMENT ON COLUMN ops.rollups.notes IS '변경 기록 수: rows of rollup.notes';
COMMENT ON COLUMN ops.rollups.refreshed_at IS '마지막 집계 시간: when ops.refresh_rollups() last ended; NULL = never';
