-- depends: 0018.names-of-users
-- squawk-ignore-file ban-drop-constraint

-- As 0018.
ALTER TABLE llm.projects
    DROP CONSTRAINT projects_project_name_not_blank,
    ADD CONSTRAINT projects_project_name_is_name CHECK (llm.is_name(project_name)) NOT VALID;
