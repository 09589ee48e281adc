ALTER TABLE llm.deployments
    DROP CONSTRAINT deployments_server_name_is_name,
    ADD CONSTRAINT deployments_server_name_not_blank CHECK (btrim(server_name) <> '');
