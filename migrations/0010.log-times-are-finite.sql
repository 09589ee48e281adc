-- depends: 0008.months

-- As 0009, for session_logs.
ALTER TABLE llm.session_logs
    ADD CONSTRAINT session_logs_times_are_finite CHECK (isfinite(request_time) AND isfinite(response_time)) NOT VALID;
