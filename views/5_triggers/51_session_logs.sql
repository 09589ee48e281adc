CREATE OR REPLACE TRIGGER session_logs_have_a_sequence
BEFORE INSERT ON llm.session_logs
FOR EACH ROW WHEN (NEW.log_sequence IS NULL)
EXECUTE FUNCTION llm.assign_log_sequence();
COMMENT ON TRIGGER session_logs_have_a_sequence ON llm.session_logs IS 'log_sequence counts 1, 2, 3... where left '
    'out';

CREATE OR REPLACE TRIGGER session_logs_uses_are_counted
AFTER INSERT ON llm.session_logs
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.count_template_uses();
COMMENT ON TRIGGER session_logs_uses_are_counted ON llm.session_logs IS 'usage_count counts every use. Rows written '
    'to a partition by its own name are not seen: write to llm.session_logs';

CREATE OR REPLACE TRIGGER session_logs_corrections_are_counted
AFTER UPDATE ON llm.session_logs
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.count_template_uses();
COMMENT ON TRIGGER session_logs_corrections_are_counted ON llm.session_logs IS 'usage_count follows a corrected '
    'template_id';

CREATE OR REPLACE TRIGGER session_logs_additions_are_noted
AFTER INSERT ON llm.session_logs
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_logs();
COMMENT ON TRIGGER session_logs_additions_are_noted ON llm.session_logs IS 'A log that comes late is in the reports '
    'at once';

CREATE OR REPLACE TRIGGER session_logs_changes_are_noted
AFTER UPDATE ON llm.session_logs
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_logs();
COMMENT ON TRIGGER session_logs_changes_are_noted ON llm.session_logs IS 'So is a log that is corrected late';

CREATE OR REPLACE TRIGGER session_logs_removals_are_noted
AFTER DELETE ON llm.session_logs
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_logs();
COMMENT ON TRIGGER session_logs_removals_are_noted ON llm.session_logs IS 'A deleted log leaves the reports at once; '
    'dropping a month does not take it out';

CREATE OR REPLACE TRIGGER session_logs_truncation_is_noted
AFTER TRUNCATE ON llm.session_logs
FOR EACH STATEMENT EXECUTE FUNCTION rollup.note_all();
COMMENT ON TRIGGER session_logs_truncation_is_noted ON llm.session_logs IS 'TRUNCATE deletes; that of sessions has to '
    'take their logs along';

-- After the row is written, and not before: as in 50_sessions.sql.
CREATE OR REPLACE TRIGGER session_logs_are_not_written_over
AFTER UPDATE OF response_time, token_used, request_prompt_s3_path, response_s3_path ON llm.session_logs
FOR EACH ROW WHEN (
    (NEW.response_time, NEW.token_used, NEW.request_prompt_s3_path, NEW.response_s3_path) IS DISTINCT FROM (
        coalesce(OLD.response_time, NEW.response_time),
        coalesce(OLD.token_used, NEW.token_used),
        coalesce(OLD.request_prompt_s3_path, NEW.request_prompt_s3_path),
        coalesce(OLD.response_s3_path, NEW.response_s3_path)
    )
)
EXECUTE FUNCTION llm.refuse_rewriting('llm.session_logs', 'request_time');
COMMENT ON TRIGGER session_logs_are_not_written_over ON llm.session_logs IS 'What is known of a request is corrected '
    'only by who may correct when it was made';
