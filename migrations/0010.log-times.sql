-- depends: 0008.months

-- As 0009, for session_logs; 0014 builds the index.
ALTER TABLE llm.session_logs
    ADD CONSTRAINT session_logs_request_time_within_2000_to_2099 CHECK (
        request_time >= '2000-01-01 00:00Z' AND request_time < '2100-01-01 00:00Z'
    ) NOT VALID,
    -- With response_not_before_request it holds the answer's time as well.
    ADD CONSTRAINT session_logs_response_within_a_week
        CHECK (response_time - request_time <= interval '168 hours') NOT VALID,
    -- Ten times the longest context there is. A sum of tokens is a bigint, which holds 92,000,000,000 requests of this
    -- size: at a thousand a second, day and night, the work of three years, and 12 TB of logs.
    ADD CONSTRAINT session_logs_token_used_at_most_100_million CHECK (token_used <= 100000000) NOT VALID;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX session_logs_request_time_idx ON ONLY llm.session_logs (request_time);
