ALTER TABLE llm.session_logs DROP CONSTRAINT session_logs_times_are_finite;
