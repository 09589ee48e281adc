-- depends: 0021.labels-of-session-statuses
-- squawk-ignore-file ban-drop-constraint

-- As 0018.
ALTER TABLE llm.deployments
    DROP CONSTRAINT deployments_server_name_not_blank,
    ADD CONSTRAINT deployments_server_name_is_name CHECK (llm.is_name(server_name)) NOT VALID;
