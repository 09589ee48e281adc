DROP TRIGGER session_logs_truncation_is_noted ON llm.session_logs;
DROP TRIGGER session_logs_removals_are_noted ON llm.session_logs;
DROP TRIGGER session_logs_changes_are_noted ON llm.session_logs;
DROP TRIGGER session_logs_additions_are_noted ON llm.session_logs;

-- From here on changes go unnoticed, so what is rolled up must not be taken for right.
SELECT llm.restart_rollups();
