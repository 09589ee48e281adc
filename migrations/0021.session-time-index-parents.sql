-- depends: 0014.rollups

-- As in 0018. One table at a time, so that nobody who uses two can deadlock with us.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX sessions_start_time_idx ON ONLY llm.sessions (start_time);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX sessions_end_time_idx ON ONLY llm.sessions (end_time);
