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

-- TRUNCATE ... CASCADE takes the months of session_logs along by their own names, of which its triggers know nothing.
CREATE OR REPLACE TRIGGER sessions_truncation_is_noted
AFTER TRUNCATE ON llm.sessions
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_all();
COMMENT ON TRIGGER sessions_truncation_is_noted ON llm.sessions IS 'An emptied table is summed up again';

-- After the row is written, and not before: a BEFORE trigger would lock each row once more, whoever updates it.
CREATE OR REPLACE TRIGGER sessions_are_not_written_over
AFTER UPDATE OF end_time, status ON llm.sessions
FOR EACH ROW WHEN (
    OLD.end_time IS NOT NULL AND (OLD.end_time, OLD.status) IS DISTINCT FROM (NEW.end_time, NEW.status)
)
EXECUTE FUNCTION llm.refuse_rewriting('llm.sessions', 'start_time');
COMMENT ON TRIGGER sessions_are_not_written_over ON llm.sessions IS 'How a session ended is corrected only by who may '
    'correct when it began';

-- Before, as the foreign key's own delete comes after.
CREATE OR REPLACE TRIGGER sessions_take_their_logs_along
BEFORE DELETE ON llm.sessions
FOR EACH ROW EXECUTE FUNCTION llm.delete_logs();
COMMENT ON TRIGGER sessions_take_their_logs_along ON llm.sessions IS 'Logs that go with their session leave the '
    'reports at once';

CREATE OR REPLACE TRIGGER sessions_keep_their_month
AFTER UPDATE ON llm.sessions
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.refuse_another_month();
COMMENT ON TRIGGER sessions_keep_their_month ON llm.sessions IS 'A new session_id lies in the month of the old one, so '
    'that logs never lose their session';
