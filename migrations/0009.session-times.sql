-- depends: 0008.months

-- One table a file: who locks one table at a time cannot deadlock with a writer that uses both. No row is looked at, so
-- the lock, which stops reading and writing sessions, is held for moments.
ALTER TABLE llm.sessions
    -- A clock that is wrong, or a zero that stands for "not known": no report can count in it. Reports go day by day.
    ADD CONSTRAINT sessions_times_within_2000_to_2099 CHECK (
        start_time >= '2000-01-01 00:00Z' AND start_time < '2100-01-01 00:00Z'
        AND end_time >= '2000-01-01 00:00Z' AND end_time < '2100-01-01 00:00Z'
    ) NOT VALID;
-- CHECKs are tried in the order of their names, and one random UUID in ten also lies beyond the year 9999. By its new
-- name this one comes after sessions_session_id_is_uuidv7, which says what is wrong with all of them. It says the same
-- as before, by a literal: to plan for all months the server works out what a CHECK calls, once for each month.
ALTER TABLE llm.sessions
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT sessions_session_id_before_year_10000,
    ADD CONSTRAINT sessions_session_id_within_year_9999
    CHECK (session_id < 'e677d21f-dc00-0000-0000-000000000000') NOT VALID;
-- What is open, and which days were noted, is looked up by time. Nothing is built here; months made from now on come
-- with indexes of their own, and 0015 and 0016 build those of the others.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX sessions_start_time_idx ON ONLY llm.sessions (start_time);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX sessions_end_time_idx ON ONLY llm.sessions (end_time);
