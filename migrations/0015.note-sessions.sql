-- depends: 0014.rollups

-- One table at a time, so that nobody who uses two can deadlock with us. Writers wait for moments.
CREATE TRIGGER sessions_additions_are_noted
AFTER INSERT ON llm.sessions
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_sessions();
COMMENT ON TRIGGER sessions_additions_are_noted ON llm.sessions IS 'A session that comes late is in the reports at '
    'once';

CREATE TRIGGER sessions_changes_are_noted
AFTER UPDATE ON llm.sessions
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_sessions();
COMMENT ON TRIGGER sessions_changes_are_noted ON llm.sessions IS 'So is a session that is corrected late';

CREATE TRIGGER sessions_removals_are_noted
AFTER DELETE ON llm.sessions
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_sessions();
COMMENT ON TRIGGER sessions_removals_are_noted ON llm.sessions IS 'A deleted session leaves the reports at once';
