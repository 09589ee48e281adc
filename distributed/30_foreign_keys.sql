-- The foreign keys of one node, those of the catalogs to their keys on every server. Each is proven for all rows.
ALTER TABLE llm.sessions ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES cluster.users (user_id);
ALTER TABLE llm.sessions ADD CONSTRAINT sessions_project_id_fkey FOREIGN KEY (project_id)
REFERENCES cluster.projects (project_id);
ALTER TABLE llm.sessions ADD CONSTRAINT sessions_session_type_fkey FOREIGN KEY (session_type)
REFERENCES cluster.session_types (code);
ALTER TABLE llm.sessions ADD CONSTRAINT sessions_status_fkey FOREIGN KEY (status)
REFERENCES cluster.session_statuses (code);
ALTER TABLE llm.session_logs ADD CONSTRAINT session_logs_deployment_id_fkey FOREIGN KEY (deployment_id)
REFERENCES cluster.deployments (deployment_id);
ALTER TABLE llm.session_logs ADD CONSTRAINT session_logs_config_id_fkey FOREIGN KEY (config_id)
REFERENCES cluster.model_configs (config_id);
ALTER TABLE llm.session_logs ADD CONSTRAINT session_logs_template_id_fkey FOREIGN KEY (template_id)
REFERENCES cluster.prompt_templates_base (template_id);
-- A template that was used stays, as on one node.
ALTER TABLE cluster.template_uses ADD CONSTRAINT prompt_template_uses_template_id_fkey FOREIGN KEY (template_id)
REFERENCES cluster.prompt_templates_base (template_id);
