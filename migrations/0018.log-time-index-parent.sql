-- depends: 0014.rollups

-- What is open, and which days were touched, is looked up by time. Nothing is built here; months made from now on come
-- with an index of their own.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX session_logs_request_time_idx ON ONLY llm.session_logs (request_time);
