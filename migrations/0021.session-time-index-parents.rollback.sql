DROP INDEX llm.sessions_end_time_idx;
DROP INDEX llm.sessions_start_time_idx;
