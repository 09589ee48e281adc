CREATE OR REPLACE TRIGGER sessions_additions_are_noted
AFTER INSERT ON llm.sessions
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_sessions();
COMMENT ON TRIGGER sessions_additions_are_noted ON llm.sessions IS 'A session that comes late is in the reports at '
    'once';

CREATE OR REPLACE TRIGGER sessions_changes_are_noted
AFTER UPDATE ON llm.sessions
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_sessions();
COMMENT ON TRIGGER sessions_changes_are_noted ON llm.sessions IS 'So is a session that is corrected late';

CREATE OR REPLACE TRIGGER sessions_removals_are_noted
AFTER DELETE ON llm.sessions
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_sessions();
COMMENT ON TRIGGER sessions_removals_are_noted ON llm.sessions IS 'A deleted session leaves the reports at once';
