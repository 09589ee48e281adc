-- On a cluster only. A trigger of llm.sessions or llm.session_logs runs on a worker, on one shard, and can use neither
-- what lies on the coordinator nor the distributed tables by their names. What lies beside its shard it names itself.
CREATE OR REPLACE FUNCTION cluster.beside(shard oid, of_table regclass)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remembered constant text := format('llm.beside_%s_%s', shard, of_table::oid);
    found_number text := current_setting(remembered, true);
BEGIN
    -- What a session remembers its user may change, and the name is used with the owner's rights: so it is a number.
    IF found_number IS NULL OR found_number !~ '^[0-9]+$' THEN
        SELECT theirs.shardid INTO STRICT found_number
        FROM pg_dist_shard AS ours
        INNER JOIN pg_dist_shard AS theirs
            ON theirs.logicalrelid = of_table AND ours.shardminvalue = theirs.shardminvalue
        WHERE ours.shardid = substring(shard::regclass::text FROM '[0-9]+$')::bigint;
        PERFORM set_config(remembered, found_number, false);
    END IF;
    RETURN of_table::text || '_' || found_number;
END
$$;
COMMENT ON FUNCTION cluster.beside(oid, regclass) IS 'The shard of a table that lies beside a shard of another, as SQL '
    'names it';
REVOKE ALL ON FUNCTION cluster.beside(oid, regclass) FROM public;

CREATE OR REPLACE FUNCTION cluster.keep_keys()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys constant text := format('cluster.%I', TG_TABLE_NAME);
BEGIN
    -- A key that sessions or logs refer to cannot go: their foreign keys refuse it.
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        EXECUTE format('INSERT INTO %s VALUES (%L)', keys, to_jsonb(NEW) ->> TG_ARGV[0]);
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        EXECUTE format('DELETE FROM %s WHERE %I = %L', keys, TG_ARGV[0], to_jsonb(OLD) ->> TG_ARGV[0]);
    ELSIF TG_OP = 'TRUNCATE' THEN
        EXECUTE 'DELETE FROM ' || keys;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION cluster.keep_keys() IS 'Trigger, with the column of the key: keeps the keys of a table the same on '
    'every server. Runs as its owner, so that who may write the table need not write there';
REVOKE ALL ON FUNCTION cluster.keep_keys() FROM public;

CREATE OR REPLACE PROCEDURE cluster.watch_keys(of_table regclass, key_column name)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event text;
    trigger_name text;
BEGIN
    FOREACH event IN ARRAY ARRAY['additions', 'changes', 'removals', 'truncation'] LOOP
        trigger_name := format('%s_key_%s', (SELECT c.relname FROM pg_class AS c WHERE c.oid = of_table), event);
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %I AFTER %s ON %s FOR EACH %s EXECUTE FUNCTION cluster.keep_keys(%L)',
            trigger_name,
            CASE event
                WHEN 'additions' THEN 'INSERT'
                WHEN 'changes' THEN 'UPDATE OF ' || quote_ident(key_column)
                WHEN 'removals' THEN 'DELETE'
                ELSE 'TRUNCATE'
            END,
            of_table,
            CASE event
                WHEN 'changes' THEN format('ROW WHEN (OLD.%I <> NEW.%1$I)', key_column)
                WHEN 'truncation' THEN 'STATEMENT'
                ELSE 'ROW'
            END,
            key_column
        );
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', trigger_name, of_table, 'Every server has the keys');
    END LOOP;
END
$$;
COMMENT ON PROCEDURE cluster.watch_keys(regclass, name) IS 'Makes the triggers that keep the keys of a table the same '
    'on every server';
REVOKE ALL ON PROCEDURE cluster.watch_keys(regclass, name) FROM public;
