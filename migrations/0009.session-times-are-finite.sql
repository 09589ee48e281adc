-- depends: 0008.months

-- 'infinity' is a timestamptz, but no time of day: durations with it fail, and reports show a day that never comes.
-- NOT VALID looks at no row, so the lock, which stops reading and writing sessions, is held for moments; 0011 looks at
-- the rows. session_logs has a migration of its own: who locks one table at a time cannot deadlock with a writer that
-- uses both.
ALTER TABLE llm.sessions
    ADD CONSTRAINT sessions_times_are_finite CHECK (isfinite(start_time) AND isfinite(end_time)) NOT VALID;
