-- The foreign keys of one node, as schema/50_sessions.sql and schema/51_session_logs.sql have them.
ALTER TABLE llm.sessions ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES llm.users (user_id);
ALTER TABLE llm.sessions ADD CONSTRAINT sessions_project_id_fkey FOREIGN KEY (project_id)
REFERENCES llm.projects (project_id);
ALTER TABLE llm.sessions ADD CONSTRAINT sessions_session_type_fkey FOREIGN KEY (session_type)
REFERENCES llm.session_types (code);
ALTER TABLE llm.sessions ADD CONSTRAINT sessions_status_fkey FOREIGN KEY (status)
REFERENCES llm.session_statuses (code);
ALTER TABLE llm.session_logs ADD CONSTRAINT session_logs_deployment_id_fkey FOREIGN KEY (deployment_id)
REFERENCES llm.deployments (deployment_id);
ALTER TABLE llm.session_logs ADD CONSTRAINT session_logs_config_id_fkey FOREIGN KEY (config_id)
REFERENCES llm.model_configs (config_id);
ALTER TABLE llm.session_logs ADD CONSTRAINT session_logs_template_id_fkey FOREIGN KEY (template_id)
REFERENCES llm.prompt_templates_base (template_id);
