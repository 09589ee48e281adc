-- A rollback refuses while rows would be lost.
DO $$
BEGIN
    IF EXISTS (SELECT FROM llm.gpu_rates) THEN
        RAISE EXCEPTION 'not rolled back: llm.gpu_rates would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the table first and empty it. Where the rows must stay, migrate forward instead.';
    END IF;
    IF EXISTS (
        SELECT FROM llm.cost_settings
        WHERE (currency, apportioned_by, idle_is_spread) IS DISTINCT FROM ('KRW', 'tokens', false)
    ) THEN
        RAISE EXCEPTION 'not rolled back: llm.cost_settings would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Where reports of cost may count as at first: UPDATE llm.cost_settings SET currency = DEFAULT, '
                    'apportioned_by = DEFAULT, idle_is_spread = DEFAULT; and roll back again.';
    END IF;
    IF EXISTS (SELECT FROM llm.budgets) THEN
        RAISE EXCEPTION 'not rolled back: llm.budgets would lose rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the table first and empty it. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

-- These can be worked out again.
DROP TABLE rollup.priced_days;
DROP TABLE rollup.user_costs;
DROP TABLE rollup.costs;
DROP TABLE llm.budgets;
DROP TABLE llm.cost_settings;
DROP TABLE llm.gpu_rates;
