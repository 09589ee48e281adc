CREATE SCHEMA IF NOT EXISTS llm_db;
COMMENT ON SCHEMA llm_db IS 'The ledger of llm-db: which migrations, repeatables and files of logs this database has';
