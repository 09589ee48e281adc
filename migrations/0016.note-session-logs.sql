-- depends: 0015.note-sessions

-- One table at a time, so that nobody who uses two can deadlock with us. Writers wait for moments.
CREATE TRIGGER session_logs_additions_are_noted
AFTER INSERT ON llm.session_logs
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_logs();
COMMENT ON TRIGGER session_logs_additions_are_noted ON llm.session_logs IS 'A log that comes late is in the reports '
    'at once';

CREATE TRIGGER session_logs_changes_are_noted
AFTER UPDATE ON llm.session_logs
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_logs();
COMMENT ON TRIGGER session_logs_changes_are_noted ON llm.session_logs IS 'So is a log that is corrected late';

CREATE TRIGGER session_logs_removals_are_noted
AFTER DELETE ON llm.session_logs
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_logs();
COMMENT ON TRIGGER session_logs_removals_are_noted ON llm.session_logs IS 'A deleted log leaves the reports at once; '
    'dropping a month does not take it out';

CREATE TRIGGER session_logs_truncation_is_noted
AFTER TRUNCATE ON llm.session_logs
FOR EACH STATEMENT EXECUTE FUNCTION llm.note_all();
COMMENT ON TRIGGER session_logs_truncation_is_noted ON llm.session_logs IS 'TRUNCATE deletes; that of sessions has to '
    'take their logs along';
