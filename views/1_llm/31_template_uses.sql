-- usage_count, kept by two statement triggers: a transition table gives all rows of an INSERT, COPY or UPDATE at
-- once, over all partitions. There is none on DELETE: the count is of uses over all time. Alternatives are measured
-- in docs/usage-count.md.
CREATE OR REPLACE FUNCTION llm.take_usage_slot()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counters constant integer := 'llm.prompt_template_uses'::regclass::oid::integer;
    slots constant integer := 1000;
    -- Anybody can set this to anything. A slot of others is tried, not taken; what is no slot is not even tried.
    remembered constant text := current_setting('llm.usage_slot', true);
    slot integer := CASE WHEN remembered ~ '^[1-9][0-9]{0,2}$' THEN remembered::integer ELSE 1 END;
BEGIN
    -- A try-lock cannot wait, so it cannot deadlock. It is released after commit has made our counters visible. A
    -- backend remembers its slot: the first try nearly always succeeds, and there are about as many slots as
    -- concurrent writers.
    IF current_setting('transaction_isolation') = 'read committed' THEN
        IF pg_try_advisory_xact_lock(counters, slot) THEN
            RETURN slot;
        END IF;
        FOR other IN 1..slots LOOP
            IF pg_try_advisory_xact_lock(counters, other) THEN
                PERFORM set_config('llm.usage_slot', other::text, false);
                RETURN other;
            END IF;
        END LOOP;
    END IF;
    -- Above READ COMMITTED, a counter that another transaction changed since our snapshot could not be updated
    -- without a serialization failure. Such a transaction writes counters of its own; llm.fold_template_uses() adds
    -- them up later. So does one that finds no slot: any login can take advisory locks, but so it holds up nobody.
    RETURN -(pg_current_xact_id()::text::bigint);
END
$$;
COMMENT ON FUNCTION llm.take_usage_slot() IS 'A slot of llm.prompt_template_uses that no other transaction writes '
    'to until this one ends';
REVOKE ALL ON FUNCTION llm.take_usage_slot() FROM public;

CREATE OR REPLACE FUNCTION llm.add_template_uses(used_template bigint, more bigint)
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
REVOKE ALL ON FUNCTION llm.add_template_uses(bigint, bigint) FROM public;

CREATE OR REPLACE FUNCTION llm.count_template_uses()
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
REVOKE ALL ON FUNCTION llm.count_template_uses() FROM public;

CREATE OR REPLACE FUNCTION llm.fold_template_uses()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    folded bigint;
BEGIN
    -- Negative slots are written by one transaction only, and slot 0 only here: no writer can be waiting for either.
    -- Two that fold at once share the work, and come to the rows of slot 0 in one order.
    WITH gone AS (
        DELETE FROM llm.prompt_template_uses AS u
        USING (
            SELECT template_id, slot FROM llm.prompt_template_uses WHERE slot < 0 FOR UPDATE SKIP LOCKED
        ) AS mine
        WHERE u.template_id = mine.template_id AND u.slot = mine.slot
        RETURNING u.template_id, u.uses
    ), sums AS (
        INSERT INTO llm.prompt_template_uses AS u (template_id, slot, uses)
        SELECT template_id, 0, sum(uses) FROM gone GROUP BY template_id ORDER BY template_id
        ON CONFLICT (template_id, slot) DO UPDATE SET uses = u.uses + excluded.uses
    )
    SELECT count(*) INTO folded FROM gone;
    RETURN folded;
END
$$;
COMMENT ON FUNCTION llm.fold_template_uses() IS 'Folds the counters that REPEATABLE READ and SERIALIZABLE '
    'transactions wrote into one row per template and returns how many it folded. Run it daily where such '
    'transactions write logs';
REVOKE ALL ON FUNCTION llm.fold_template_uses() FROM public;
