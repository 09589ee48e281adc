-- depends: 0009.session-times-are-finite 0010.log-times-are-finite

-- Every row of both tables is read, while others read and write them as before. Only changes of months wait: for up to
-- 60 seconds, then they give up and can be called again.
-- Where this fails, rows have such times: SELECT session_id FROM llm.sessions WHERE NOT isfinite(start_time). Correct
-- them and migrate again; nothing new comes in meanwhile.
ALTER TABLE llm.sessions VALIDATE CONSTRAINT sessions_times_are_finite;
ALTER TABLE llm.session_logs VALIDATE CONSTRAINT session_logs_times_are_finite;
