-- A rollback refuses while rows would be lost.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.gpu_rates) THEN
        RAISE EXCEPTION 'not rolled back: llm.gpu_rates would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the table first and empty it. Where the rows must stay, migrate forward instead.';
    END IF;
    IF EXISTS (SELECT FROM llm.budgets) THEN
        RAISE EXCEPTION 'not rolled back: llm.budgets would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the table first and empty it. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP TABLE llm.budgets;
DROP TABLE llm.cost_settings;
DROP TABLE llm.gpu_rates;
