-- depends: 0009.session-times
-- transactional: false
-- each-partition-of: llm.sessions
-- squawk-ignore ban-concurrent-index-creation-in-transaction, prefer-robust-stmts
CREATE INDEX CONCURRENTLY sessions_each_start_time_idx ON llm.sessions_each (start_time);
ALTER INDEX llm.sessions_start_time_idx ATTACH PARTITION llm.sessions_each_start_time_idx;
