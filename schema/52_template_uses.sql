-- usage_count, kept by two statement triggers: a transition table gives all rows of an INSERT, COPY or UPDATE at
-- once, over all partitions. There is none on DELETE: the count is of uses over all time. Alternatives are measured
-- in docs/usage-count.md.
CREATE FUNCTION llm.take_usage_slot()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counters constant integer := 'llm.prompt_template_uses'::regclass::oid::integer;
    slot integer := coalesce(nullif(current_setting('llm.usage_slot', true), '')::integer, 1);
BEGIN
    -- Above READ COMMITTED, a counter that another transaction changed since our snapshot could not be updated
    -- without a serialization failure. Such a transaction writes counters of its own; llm.fold_template_uses() adds
    -- them up later.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN -(pg_current_xact_id()::text::bigint);
    END IF;
    -- A try-lock cannot wait, so it cannot deadlock. It is released after commit has made our counters visible. A
    -- backend remembers its slot: the first try nearly always succeeds, and there are about as many slots as
    -- concurrent writers.
    IF pg_try_advisory_xact_lock(counters, slot) THEN
        RETURN slot;
    END IF;
    slot := 1;
    WHILE NOT pg_try_advisory_xact_lock(counters, slot) LOOP
        slot := slot + 1;
    END LOOP;
    PERFORM set_config('llm.usage_slot', slot::text, false);
    RETURN slot;
END
$$;
COMMENT ON FUNCTION llm.take_usage_slot() IS 'A slot of llm.prompt_template_uses that no other transaction writes '
    'to until this one ends';

CREATE FUNCTION llm.add_template_uses(used_template bigint, more bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    my_slot constant bigint := llm.take_usage_slot();
BEGIN
    -- The slot is ours, so a row that is not there cannot appear in between.
    UPDATE llm.prompt_template_uses SET uses = uses + more WHERE template_id = used_template AND slot = my_slot;
    IF NOT FOUND THEN
        INSERT INTO llm.prompt_template_uses (template_id, slot, uses) VALUES (used_template, my_slot, more);
    END IF;
END
$$;
COMMENT ON FUNCTION llm.add_template_uses(bigint, bigint) IS 'Adds to the usage_count of one template, without '
    'waiting for any other transaction';

CREATE FUNCTION llm.count_template_uses()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM llm.add_template_uses(a.template_id, count(*))
        FROM added AS a
        WHERE a.template_id IS NOT NULL
        GROUP BY a.template_id;
    ELSE
        PERFORM llm.add_template_uses(c.template_id, sum(c.uses))
        FROM (
            SELECT a.template_id, 1 AS uses FROM added AS a WHERE a.template_id IS NOT NULL
            UNION ALL
            SELECT r.template_id, -1 FROM removed AS r WHERE r.template_id IS NOT NULL
        ) AS c
        GROUP BY c.template_id
        HAVING sum(c.uses) <> 0;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION llm.count_template_uses() IS 'Trigger: adds the uses of templates in new logs to their '
    'counters; a corrected template_id moves the use from the old template to the new. Runs as its owner, so that '
    'who may write logs need not, and cannot, write counters';

CREATE TRIGGER session_logs_uses_are_counted
AFTER INSERT ON llm.session_logs
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.count_template_uses();
COMMENT ON TRIGGER session_logs_uses_are_counted ON llm.session_logs IS 'usage_count counts every use. Rows written '
    'to a partition by its own name are not seen: write to llm.session_logs';

CREATE TRIGGER session_logs_corrections_are_counted
AFTER UPDATE ON llm.session_logs
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION llm.count_template_uses();
COMMENT ON TRIGGER session_logs_corrections_are_counted ON llm.session_logs IS 'usage_count follows a corrected '
    'template_id';

CREATE FUNCTION llm.fold_template_uses()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    folded bigint;
BEGIN
    -- Negative slots are written by one transaction only, and slot 0 only here: no writer can be waiting for either.
    PERFORM pg_advisory_xact_lock('llm.prompt_template_uses'::regclass::oid::integer, 0);
    WITH gone AS (
        DELETE FROM llm.prompt_template_uses WHERE slot < 0 RETURNING template_id, uses
    ), sums AS (
        INSERT INTO llm.prompt_template_uses AS u (template_id, slot, uses)
        SELECT template_id, 0, sum(uses) FROM gone GROUP BY template_id
        ON CONFLICT (template_id, slot) DO UPDATE SET uses = u.uses + excluded.uses
    )
    SELECT count(*) INTO folded FROM gone;
    RETURN folded;
END
$$;
COMMENT ON FUNCTION llm.fold_template_uses() IS 'Folds the counters that REPEATABLE READ and SERIALIZABLE '
    'transactions wrote into one row per template and returns how many it folded. Run it daily where such '
    'transactions write logs';
