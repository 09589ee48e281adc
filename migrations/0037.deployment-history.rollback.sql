-- A rollback refuses while rows would be lost: what a deployment held before is known from here only.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM llm.deployment_history AS h GROUP BY h.deployment_id HAVING count(*) > 2
    ) THEN
        RAISE EXCEPTION 'not rolled back: llm.deployment_history would lose what deployments held before'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Export the table first and empty it. Where the rows must stay, migrate forward instead.';
    END IF;
END
$$;

DROP TABLE llm.deployment_history;
