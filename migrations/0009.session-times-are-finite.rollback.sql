ALTER TABLE llm.sessions DROP CONSTRAINT sessions_times_are_finite;
