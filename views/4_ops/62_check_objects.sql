-- Which triggers there should be is in the ledger of llm-db; where there is none, nobody knows.
CREATE OR REPLACE FUNCTION ops.check_missing_trigger()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('llm_db.repeatables') IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'error', split_part(o.name, ' on ', 2), format('the %s is missing', split_part(o.name, ' on ', 1)),
        'llm-db migrate'
    FROM llm_db.repeatables AS r
    CROSS JOIN unnest(r.objects) AS o (name)
    WHERE o.name LIKE 'trigger %' AND o.name NOT IN (
        SELECT 'trigger ' || i.identity
        FROM pg_trigger AS t
        CROSS JOIN pg_identify_object('pg_trigger'::regclass, t.oid, 0) AS i
        WHERE NOT t.tgisinternal AND t.tgparentid = 0
    );
END
$$;
COMMENT ON FUNCTION ops.check_missing_trigger() IS 'A trigger that llm-db has made is gone: error. Counts, histories '
    'and reports go wrong, and nobody sees it. If the rollups were refreshed meanwhile: SELECT ops.restart_rollups();';
REVOKE ALL ON FUNCTION ops.check_missing_trigger() FROM public;

CREATE OR REPLACE FUNCTION ops.check_disabled_trigger()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'error',
        c.oid::regclass::text,
        'disabled: ' || string_agg(DISTINCT CASE WHEN t.tgisinternal THEN 'foreign keys' ELSE t.tgname::text END, ', '),
        format(
            'ALTER TABLE %s ENABLE TRIGGER %s;',
            c.oid::regclass, CASE WHEN bool_or(t.tgisinternal) THEN 'ALL' ELSE 'USER' END
        )
    FROM pg_catalog.pg_trigger AS t
    INNER JOIN pg_catalog.pg_class AS c ON t.tgrelid = c.oid
    LEFT JOIN pg_catalog.pg_trigger AS p ON t.tgparentid = p.oid
    WHERE ops.is_ours(c.relnamespace) AND t.tgenabled IN ('D', 'R')
        -- A month is as its table is.
        AND p.tgenabled IS DISTINCT FROM t.tgenabled
    GROUP BY c.oid;
END;
COMMENT ON FUNCTION ops.check_disabled_trigger() IS 'A trigger or a foreign key does not fire, as after ALTER TABLE '
    '... DISABLE TRIGGER: error. What was written meanwhile was neither checked nor counted nor noted';
REVOKE ALL ON FUNCTION ops.check_disabled_trigger() FROM public;

CREATE OR REPLACE FUNCTION ops.check_invalid_index()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN i.indisunique THEN 'error' ELSE 'warning' END,
        c.oid::regclass::text,
        CASE WHEN i.indisunique THEN 'INVALID: its rows may have duplicates' ELSE 'INVALID: no query uses it' END,
        CASE
            -- What a REINDEX CONCURRENTLY that was cut off leaves behind.
            WHEN c.relname ~ '_cc(new|old)[0-9]*$' THEN format('DROP INDEX CONCURRENTLY %s;', c.oid::regclass)
            WHEN c.relkind = 'I' THEN format(
                'DROP INDEX %s; %s;', c.oid::regclass, replace(pg_get_indexdef(c.oid), ' ON ONLY ', ' ON ')
            )
            ELSE format('REINDEX INDEX CONCURRENTLY %s;', c.oid::regclass)
        END
    FROM pg_catalog.pg_index AS i
    INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
    WHERE ops.is_ours(c.relnamespace) AND NOT (i.indisvalid AND i.indisready AND i.indislive)
        AND NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_stat_progress_create_index AS p
            WHERE p.index_relid = i.indexrelid OR p.relid IN (SELECT t.relid FROM pg_partition_tree(i.indrelid) AS t)
        );
END;
COMMENT ON FUNCTION ops.check_invalid_index() IS 'An index is INVALID and nobody is building it: warning; error if it '
    'is to be unique. It costs every writer and serves no reader. REINDEX fails where there are duplicates: correct '
    'these first';
REVOKE ALL ON FUNCTION ops.check_invalid_index() FROM public;

CREATE OR REPLACE FUNCTION ops.check_unvalidated_constraint()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        c.conrelid::regclass::text,
        format('the old rows were never checked against %s', c.conname),
        format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', c.conrelid::regclass, c.conname)
    FROM pg_catalog.pg_constraint AS c
    -- A partition's copy is as valid as its parent's.
    WHERE ops.is_ours(c.connamespace) AND NOT c.convalidated AND c.conparentid = 0 AND c.coninhcount = 0;
END;
COMMENT ON FUNCTION ops.check_unvalidated_constraint() IS 'A constraint is NOT VALID: warning. Rows may break it that '
    'were there before it, and an UPDATE of one of them fails. VALIDATE says whether there are any, and readers and '
    'writers go on meanwhile';
REVOKE ALL ON FUNCTION ops.check_unvalidated_constraint() FROM public;

CREATE OR REPLACE FUNCTION ops.check_unindexed_foreign_key()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        c.conrelid::regclass::text,
        format('no index serves %s: a delete from %s reads all of this table', c.conname, c.confrelid::regclass),
        format(
            'CREATE INDEX%s ON %s (%s);', CASE WHEN t.relkind = 'p' THEN '' ELSE ' CONCURRENTLY' END, t.oid::regclass,
            (
                SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place)
                FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, place)
                INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
            )
        )
    FROM pg_catalog.pg_constraint AS c
    INNER JOIN pg_catalog.pg_class AS t ON c.conrelid = t.oid
    WHERE ops.is_ours(c.connamespace) AND c.contype = 'f' AND c.conparentid = 0 AND NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = c.conrelid AND (i.indkey::smallint [])[0:cardinality(c.conkey) - 1] @> c.conkey
            -- Whole, or leaving out nothing but NULLs, which no foreign key looks for.
            AND coalesce(pg_get_expr(i.indpred, i.indrelid) ~ '^\(\w+ IS NOT NULL\)$', true)
    );
END;
COMMENT ON FUNCTION ops.check_unindexed_foreign_key() IS 'No index begins with the columns of a foreign key: warning. '
    'Whoever deletes or renumbers what it refers to reads the whole table, once for each row';
REVOKE ALL ON FUNCTION ops.check_unindexed_foreign_key() FROM public;

CREATE OR REPLACE FUNCTION ops.check_unused_index()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        u.root::regclass::text,
        format('takes %s and was not used since %s', pg_size_pretty(u.bytes), u.counted_since),
        format('DROP INDEX %s; -- unless a standby uses it', u.root::regclass)
    FROM (
        SELECT
            coalesce(pg_partition_root(s.indexrelid), s.indexrelid) AS root,
            sum(pg_relation_size(s.indexrelid)) AS bytes,
            sum(s.idx_scan) AS scans,
            coalesce(min(d.stats_reset), pg_postmaster_start_time()) AS counted_since
        FROM pg_catalog.pg_stat_user_indexes AS s
        INNER JOIN pg_catalog.pg_stat_database AS d ON d.datname = current_database()
        WHERE ops.is_ours(s.schemaname::regnamespace)
        GROUP BY root
    ) AS u
    INNER JOIN pg_catalog.pg_index AS i ON u.root = i.indexrelid
    WHERE u.scans = 0 AND u.bytes > pg_size_bytes('100 MB') AND u.counted_since < now() - interval '30 days'
        AND NOT i.indisunique AND NOT i.indisreplident AND NOT pg_is_in_recovery()
        -- Those of foreign keys are for the day on which somebody deletes.
        AND NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_constraint AS c
            WHERE c.conrelid = i.indrelid AND c.contype = 'f' AND c.conkey[1] = i.indkey[0]
        );
END;
COMMENT ON FUNCTION ops.check_unused_index() IS 'An index of over 100 MB, in all months together, was not used for 30 '
    'days of counting: warning. It costs every writer. Those that are unique or serve a foreign key are left out. The '
    'counts are this server''s: a standby has its own';
REVOKE ALL ON FUNCTION ops.check_unused_index() FROM public;

CREATE OR REPLACE FUNCTION ops.check_duplicate_index()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    WITH indexes AS (
        SELECT
            i.indexrelid,
            i.indrelid,
            c.relkind,
            row(
                i.indrelid, i.indkey::text, i.indclass::text, i.indcollation::text, i.indoption::text, c.relam,
                pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)
            )::text AS indexed,
            n.oid IS NOT NULL AS is_constraint,
            row_number() OVER (
                ORDER BY n.oid IS NULL ASC, i.indisunique DESC, i.indisreplident DESC, i.indexrelid ASC
            ) AS place
        FROM pg_catalog.pg_index AS i
        INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
        LEFT JOIN pg_catalog.pg_constraint AS n ON i.indexrelid = n.conindid AND n.contype IN ('p', 'u', 'x')
        -- A month's are as its table's.
        WHERE ops.is_ours(c.relnamespace) AND NOT c.relispartition
    )

    SELECT
        'warning',
        d.indexrelid::regclass::text,
        format('indexes the same as %s', min(k.indexrelid::regclass::text)),
        format('DROP INDEX%s %s;', CASE WHEN d.relkind = 'I' THEN '' ELSE ' CONCURRENTLY' END, d.indexrelid::regclass)
    FROM indexes AS d
    INNER JOIN indexes AS k ON d.indexed = k.indexed AND d.place > k.place
    WHERE NOT d.is_constraint
    GROUP BY d.indexrelid, d.relkind;
END;
COMMENT ON FUNCTION ops.check_duplicate_index() IS 'Two indexes have the same columns, operators, order and condition: '
    'warning for the one that no constraint needs, or the younger one. It costs every writer and is never needed';
REVOKE ALL ON FUNCTION ops.check_duplicate_index() FROM public;

-- A sequence whose column is narrower than itself ends where the column does.
CREATE OR REPLACE FUNCTION ops.keys()
RETURNS TABLE (table_oid regclass, column_name name, sequence_oid regclass, last_key bigint, catch_up text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        c.oid::regclass AS table_oid,
        a.attname AS column_name,
        s.seqrelid::regclass AS sequence_oid,
        least(s.seqmax, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END)
        AS last_key,
        format(
            'SELECT setval(%L, (SELECT max(%I) FROM %s));', s.seqrelid::regclass, a.attname, c.oid::regclass
        ) AS catch_up
    FROM pg_catalog.pg_sequence AS s
    INNER JOIN pg_catalog.pg_depend AS d
        ON s.seqrelid = d.objid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.deptype IN ('a', 'i')
    INNER JOIN pg_catalog.pg_class AS c ON d.refobjid = c.oid
    INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND d.refobjsubid = a.attnum
    WHERE ops.is_ours(c.relnamespace);
END;
COMMENT ON FUNCTION ops.keys() IS 'For checks: the columns that are numbered by a sequence of their own, the largest '
    'number that both can hold, and the statement that has the sequence go on after the largest key';
REVOKE ALL ON FUNCTION ops.keys() FROM public;

CREATE OR REPLACE FUNCTION ops.check_key_near_end()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN u.used > 0.9 * k.last_key THEN 'error' ELSE 'warning' END,
        format('%s.%I', k.table_oid, k.column_name),
        format('its keys have reached %s of %s', u.used, k.last_key),
        CASE
            -- Nobody writes as many rows: a number was set.
            WHEN k.last_key = 9223372036854775807 THEN k.catch_up
            ELSE format(
                'ALTER TABLE %s ALTER COLUMN %I TYPE bigint; ALTER SEQUENCE %s AS bigint;',
                k.table_oid, k.column_name, k.sequence_oid
            )
        END
    FROM ops.keys() AS k
    CROSS JOIN LATERAL (SELECT pg_sequence_last_value(k.sequence_oid) AS used) AS u
    WHERE u.used > 0.75 * k.last_key;
END;
COMMENT ON FUNCTION ops.check_key_near_end() IS 'A key that is numbered has used 75 % of its numbers: warning; 90 %: '
    'error. Ours are bigint and get there only by a setval; ALTER TABLE rewrites the table, so it is to be planned';
REVOKE ALL ON FUNCTION ops.check_key_near_end() FROM public;

CREATE OR REPLACE FUNCTION ops.check_key_behind()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key record;
    highest bigint;
BEGIN
    FOR key IN
        SELECT k.table_oid, k.column_name, k.sequence_oid, k.catch_up
        FROM ops.keys() AS k
        INNER JOIN pg_attribute AS a ON k.table_oid = a.attrelid AND k.column_name = a.attname
        -- Whose highest one is found without reading them all.
        WHERE EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum)
    LOOP
        -- First what is there, then what was given out: a row that comes in between does no harm.
        EXECUTE format('SELECT max(%I) FROM %s', key.column_name, key.table_oid) INTO highest;
        IF highest > coalesce(pg_sequence_last_value(key.sequence_oid), 0) THEN
            RETURN QUERY SELECT
                'error',
                format('%s.%I', key.table_oid, key.column_name),
                format('%s is in use, but the next number comes after %s', highest,
                    coalesce(pg_sequence_last_value(key.sequence_oid), 0)),
                key.catch_up;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.check_key_behind() IS 'Rows came with numbers of their own, and the sequence does not know of '
    'them: error. An INSERT will fail with a duplicate key when it gets there';
REVOKE ALL ON FUNCTION ops.check_key_behind() FROM public;
