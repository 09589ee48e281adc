-- A rollback drops tables, never rows.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.sessions) THEN
        RAISE EXCEPTION 'not rolled back: sessions would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Empty or move them first. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP TABLE llm.session_logs;
DROP TABLE llm.sessions;
DROP FUNCTION llm.fold_template_uses();
DROP FUNCTION llm.count_template_uses();
DROP FUNCTION llm.add_template_uses(bigint, bigint);
DROP FUNCTION llm.take_usage_slot();
DROP FUNCTION llm.assign_log_sequence();
