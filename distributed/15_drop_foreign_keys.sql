-- A table goes, there or back, without the foreign keys it has or that lead to it. 30_foreign_keys.sql, or
-- 50_foreign_keys.sql, puts them back, and 55_foreign_keys_of_months.sql those of each month.
ALTER TABLE llm.sessions DROP CONSTRAINT sessions_user_id_fkey;
ALTER TABLE llm.sessions DROP CONSTRAINT sessions_project_id_fkey;
ALTER TABLE llm.sessions DROP CONSTRAINT sessions_session_type_fkey;
ALTER TABLE llm.sessions DROP CONSTRAINT sessions_status_fkey;
ALTER TABLE llm.session_logs DROP CONSTRAINT session_logs_deployment_id_fkey;
ALTER TABLE llm.session_logs DROP CONSTRAINT session_logs_config_id_fkey;
ALTER TABLE llm.session_logs DROP CONSTRAINT session_logs_template_id_fkey;
DO $$
DECLARE
    logs regclass;
BEGIN
    FOR logs IN SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = 'llm.session_logs'::regclass LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT session_logs_session_id_fkey', logs);
    END LOOP;
END
$$;
