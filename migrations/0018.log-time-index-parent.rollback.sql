DROP INDEX llm.session_logs_request_time_idx;
