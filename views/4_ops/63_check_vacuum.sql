-- Thresholds are where autovacuum, as it is set by default, should long have been at work.
CREATE OR REPLACE FUNCTION ops.check_autovacuum_off()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'error',
        s.name,
        'it is off: dead rows stay and statistics grow old',
        format('ALTER SYSTEM SET %I = on; SELECT pg_reload_conf();', s.name)
    FROM pg_catalog.pg_settings AS s
    WHERE s.name IN ('autovacuum', 'track_counts') AND s.setting = 'off'
    UNION ALL
    SELECT
        'error',
        c.oid::regclass::text,
        'autovacuum is off for this table',
        format('ALTER TABLE %s RESET (autovacuum_enabled);', c.oid::regclass)
    FROM pg_catalog.pg_class AS c
    CROSS JOIN LATERAL pg_options_to_table(c.reloptions) AS o
    WHERE ops.is_ours(c.relnamespace)
        AND CASE WHEN o.option_name = 'autovacuum_enabled' THEN NOT o.option_value::boolean END;
END;
COMMENT ON FUNCTION ops.check_autovacuum_off() IS 'autovacuum or track_counts is off, or autovacuum is off for a '
    'table: error. Nothing else takes dead rows away, and without counts the checks of dead rows, statistics and '
    'indexes see nothing';
REVOKE ALL ON FUNCTION ops.check_autovacuum_off() FROM public;

CREATE OR REPLACE FUNCTION ops.check_dead_rows()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        s.relid::regclass::text,
        format(
            '%s dead rows beside %s; last vacuum: %s', s.n_dead_tup, s.n_live_tup,
            coalesce(greatest(s.last_vacuum, s.last_autovacuum)::text, 'never')
        ),
        format('VACUUM (ANALYZE) %s;', s.relid::regclass)
    FROM pg_catalog.pg_stat_user_tables AS s
    WHERE ops.is_ours(s.schemaname::regnamespace) AND s.n_dead_tup > 100000 AND s.n_dead_tup > 0.4 * s.n_live_tup;
END;
COMMENT ON FUNCTION ops.check_dead_rows() IS 'Over 100,000 dead rows, and over 40 % of the live ones: warning. '
    'Autovacuum comes at 20 %, so it does not keep up, or an old transaction, a prepared one or a slot keeps the rows '
    'from it';
REVOKE ALL ON FUNCTION ops.check_dead_rows() FROM public;

CREATE OR REPLACE FUNCTION ops.check_old_statistics()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        'warning',
        s.relid::regclass::text,
        format(
            '%s rows changed since the last analyze: %s', s.n_mod_since_analyze,
            coalesce(greatest(s.last_analyze, s.last_autoanalyze)::text, 'never')
        ),
        format('ANALYZE %s;', s.relid::regclass)
    FROM pg_catalog.pg_stat_user_tables AS s
    WHERE ops.is_ours(s.schemaname::regnamespace)
        AND s.n_mod_since_analyze > 100000 AND s.n_mod_since_analyze > 0.5 * s.n_live_tup;
END;
COMMENT ON FUNCTION ops.check_old_statistics() IS 'Over 100,000 rows, and over half of the table, changed since the '
    'last ANALYZE: warning. Autovacuum comes at 10 %. Plans are made for a table that is no more; seen for a minute '
    'after a large load, it means nothing';
REVOKE ALL ON FUNCTION ops.check_old_statistics() FROM public;

-- Whose turn it is: in this database the table that is oldest, in another one all of it.
CREATE OR REPLACE FUNCTION ops.freeze_statement(database name, by_multixacts boolean)
RETURNS text
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN database <> current_database() THEN format('VACUUM (FREEZE); -- in database %I', database)
        ELSE (
            SELECT format('VACUUM (FREEZE) %s;', c.oid::regclass)
            FROM pg_catalog.pg_class AS c
            LEFT JOIN pg_catalog.pg_class AS t ON c.reltoastrelid = t.oid
            WHERE c.relkind IN ('r', 'm')
            ORDER BY CASE
                WHEN by_multixacts THEN greatest(mxid_age(c.relminmxid), mxid_age(t.relminmxid))
                ELSE greatest(age(c.relfrozenxid), age(t.relfrozenxid))
            END DESC
            LIMIT 1
        )
    END;
END;
COMMENT ON FUNCTION ops.freeze_statement(name, boolean) IS 'The VACUUM that makes a database''s oldest transaction (or '
    'multixact) a younger one: of the table that holds it, or of all tables in another database';
REVOKE ALL ON FUNCTION ops.freeze_statement(name, boolean) FROM public;

CREATE OR REPLACE FUNCTION ops.check_xid_age()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN age(d.datfrozenxid) > 1600000000 THEN 'error' ELSE 'warning' END,
        format('database %I', d.datname),
        format('its oldest transaction is %s ago; at 2144483647 the server refuses to write', age(d.datfrozenxid)),
        ops.freeze_statement(d.datname, false)
    FROM pg_catalog.pg_database AS d
    WHERE age(d.datfrozenxid)
        > least(1.5 * current_setting('autovacuum_freeze_max_age')::bigint, 1600000000);
END;
COMMENT ON FUNCTION ops.check_xid_age() IS 'The oldest transaction of a database is 1.5 times '
    'autovacuum_freeze_max_age (200,000,000) ago: warning; 1,600,000,000, where VACUUM drops all else: error. '
    'Autovacuum should have frozen it; an old transaction, a prepared one or a slot may keep it from that';
REVOKE ALL ON FUNCTION ops.check_xid_age() FROM public;

CREATE OR REPLACE FUNCTION ops.check_multixact_age()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN mxid_age(d.datminmxid) > 1600000000 THEN 'error' ELSE 'warning' END,
        format('database %I', d.datname),
        format('its oldest multixact is %s ago; at 2144483647 the server refuses to write', mxid_age(d.datminmxid)),
        ops.freeze_statement(d.datname, true)
    FROM pg_catalog.pg_database AS d
    WHERE mxid_age(d.datminmxid)
        > least(1.5 * current_setting('autovacuum_multixact_freeze_max_age')::bigint, 1600000000);
END;
COMMENT ON FUNCTION ops.check_multixact_age() IS 'The oldest multixact of a database is 1.5 times '
    'autovacuum_multixact_freeze_max_age (400,000,000) ago: warning; 1,600,000,000: error. As with transactions';
REVOKE ALL ON FUNCTION ops.check_multixact_age() FROM public;

-- No function of PostgreSQL 15 to 18 says how many members are kept. But of multixacts it is known, and the pages that
-- were begun say how many members there are to each: 1636 members, or the offsets of 2048 multixacts, fill a page of
-- 8 kB. A multixact has two members at least.
CREATE OR REPLACE FUNCTION ops.multixact_members()
RETURNS bigint
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT (
        (SELECT max(mxid_age(d.datminmxid)) FROM pg_catalog.pg_database AS d) * greatest(2, (
            SELECT
                1636.0 * sum(s.blks_zeroed) FILTER (WHERE s.name ILIKE 'multixact%member')
                / nullif(2048 * sum(s.blks_zeroed) FILTER (WHERE s.name ILIKE 'multixact%offset'), 0)
            FROM pg_catalog.pg_stat_slru AS s
        ))
    )::bigint;
END;
COMMENT ON FUNCTION ops.multixact_members() IS 'About how many members of multixacts the server keeps, of 4294967296';
REVOKE ALL ON FUNCTION ops.multixact_members() FROM public;

CREATE OR REPLACE FUNCTION ops.check_multixact_members()
RETURNS TABLE (level text, object text, detail text, what_to_do text)
LANGUAGE sql
STABLE
BEGIN ATOMIC
    SELECT
        CASE WHEN m.members > 3221225472 THEN 'error' ELSE 'warning' END,
        'the server',
        format('about %s members of multixacts are kept; at 4294967296 what needs another one fails', m.members),
        (
            SELECT ops.freeze_statement(d.datname, true)
            FROM pg_catalog.pg_database AS d
            ORDER BY mxid_age(d.datminmxid) DESC, d.datname <> current_database()
            LIMIT 1
        )
    FROM (SELECT ops.multixact_members() AS members) AS m
    WHERE m.members > 2147483648;
END;
COMMENT ON FUNCTION ops.check_multixact_members() IS 'About half of the 4,294,967,296 members of multixacts are kept: '
    'warning, autovacuum freezes every table now to get rid of them; three quarters: error. At the end every INSERT '
    'that shares a deployment, a preset or a template with another one fails';
REVOKE ALL ON FUNCTION ops.check_multixact_members() FROM public;
