-- instead of: views/4_ops/11_create_months.sql

-- Citus looks for deadlocks every other second, and ends a writer also for one that would be over in 50 ms. So who
-- holds a lock does not wait for the next. At sessions_default others wait for their turn, which NOWAIT would yield to
-- although this transaction has it.
DO $$
BEGIN
    EXECUTE cluster.changed(
        pg_get_functiondef('ops.lock_giving_way(text[])'::regprocedure), '''LOCK TABLE '' || lock',
        '''LOCK TABLE '' || lock || CASE
            WHEN lock <> wanted[1] AND lock NOT LIKE ''llm.sessions_default %'' THEN '' NOWAIT'' ELSE '''' END'
    );
END
$$;

-- A month is distributed before it takes rows, beside sessions, so that these move within their shards. Citus knows no
-- DELETE whose rows are inserted by the same statement; the locks that are held make two of it the same.
CREATE OR REPLACE FUNCTION ops.make_month(month date)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day constant timestamp := date_trunc('month', month::timestamp);
    suffix constant text := to_char(first_day, 'YYYY_MM');
    low constant uuid := llm.uuidv7_floor(first_day AT TIME ZONE 'UTC');
    high constant uuid := llm.uuidv7_floor((first_day + interval '1 month') AT TIME ZONE 'UTC');
    unattached text [] := '{}';
    foreign_key name;
    entity text;
    part text;
    columns text;
    moved bigint;
BEGIN
    IF EXISTS (SELECT 1 FROM llm.sessions_default AS s WHERE s.session_id >= low AND s.session_id < high) THEN
        RAISE NOTICE 'moving the rows of % out of DEFAULT', to_char(first_day, 'YYYY-MM');
    END IF;
    -- As on one node: a foreign key to all sessions would delete logs when their sessions leave DEFAULT.
    IF EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass('llm.session_logs_' || suffix)) THEN
        EXECUTE format('ALTER TABLE llm.session_logs DETACH PARTITION llm.%I', 'session_logs_' || suffix);
    END IF;
    FOR foreign_key IN
        SELECT conname
        FROM pg_constraint
        WHERE conrelid = to_regclass('llm.session_logs_' || suffix) AND contype = 'f' AND conkey = ARRAY[1::smallint]
    LOOP
        EXECUTE format('ALTER TABLE llm.%I DROP CONSTRAINT %I', 'session_logs_' || suffix, foreign_key);
    END LOOP;
    -- Logs leave DEFAULT before their sessions do: the cascade of the sessions' delete must find none.
    FOREACH entity IN ARRAY ARRAY['session_logs', 'sessions'] LOOP
        part := entity || '_' || suffix;
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass('llm.' || part));
        unattached := unattached || entity;
        IF to_regclass('llm.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE llm.%I (LIKE llm.%I INCLUDING ALL)', part, entity);
            PERFORM create_distributed_table(format('llm.%I', part), 'session_id', colocate_with => 'llm.sessions');
        END IF;
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute
        WHERE attrelid = format('llm.%I', entity)::regclass
            AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        EXECUTE format(
            'INSERT INTO llm.%I (%s) SELECT %2$s FROM llm.%I WHERE session_id >= %L AND session_id < %L',
            part, columns, entity || '_default', low, high
        );
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved > 0 THEN
            EXECUTE format(
                'DELETE FROM llm.%I WHERE session_id >= %L AND session_id < %L', entity || '_default', low, high
            );
            RAISE NOTICE 'moved % rows from %_default to %', moved, entity, part;
        END IF;
    END LOOP;

    -- Sessions first: what logs refer to is looked for when they are attached.
    FOR entity IN SELECT u FROM unnest(unattached) AS u ORDER BY u DESC LOOP
        PERFORM ops.attach_month(entity, month);
    END LOOP;
    PERFORM ops.refer_to_sessions('session_logs_' || suffix, 'sessions_' || suffix);
END
$$;
