DROP TRIGGER sessions_removals_are_noted ON llm.sessions;
DROP TRIGGER sessions_changes_are_noted ON llm.sessions;
DROP TRIGGER sessions_additions_are_noted ON llm.sessions;

-- From here on changes go unnoticed, so what is rolled up must not be taken for right.
SELECT llm.restart_rollups();
