DROP INDEX llm.session_logs_request_time_idx;
ALTER TABLE llm.session_logs
    DROP CONSTRAINT session_logs_token_used_at_most_100_million,
    DROP CONSTRAINT session_logs_response_within_a_week,
    DROP CONSTRAINT session_logs_request_time_within_2000_to_2099;
