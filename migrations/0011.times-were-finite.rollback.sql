-- Nothing takes "valid" back, hence new constraints for the old. In one order with every writer of both tables:
-- sessions first.
ALTER TABLE llm.sessions
    DROP CONSTRAINT sessions_times_are_finite,
    ADD CONSTRAINT sessions_times_are_finite CHECK (isfinite(start_time) AND isfinite(end_time)) NOT VALID;
ALTER TABLE llm.session_logs
    DROP CONSTRAINT session_logs_times_are_finite,
    ADD CONSTRAINT session_logs_times_are_finite CHECK (isfinite(request_time) AND isfinite(response_time)) NOT VALID;
