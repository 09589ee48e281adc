-- depends: 0010.log-times
-- transactional: false
-- each-partition-of: llm.session_logs
-- squawk-ignore ban-concurrent-index-creation-in-transaction, prefer-robust-stmts
CREATE INDEX CONCURRENTLY session_logs_each_request_time_idx ON llm.session_logs_each (request_time);
ALTER INDEX llm.session_logs_request_time_idx ATTACH PARTITION llm.session_logs_each_request_time_idx;
