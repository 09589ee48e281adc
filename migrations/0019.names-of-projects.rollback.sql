ALTER TABLE llm.projects
    DROP CONSTRAINT projects_project_name_is_name,
    ADD CONSTRAINT projects_project_name_not_blank CHECK (btrim(project_name) <> '');
