-- How a script does what `llm-db migrate` does, in psql's one session: the work of objects.py, repeatables.py,
-- give_way.py, alone.py and of backend.py's attempts, as functions that end with the session. A test holds both to the
-- same end. What they ask of the catalog and write to the ledger are the runner's own queries (script.py), such as
-- llm_db_live().
CREATE TYPE pg_temp.llm_db_object AS (
    class_id oid, object_id oid, kind text, identity text, on_table text, described text, name text
);
CREATE TABLE pg_temp.llm_db_run (
    pid integer, os_user text, host text, version text, schemas text [], ledger text [], turn bigint,
    lock_timeout_ms integer, retries integer, wait_seconds integer, briefly_ms integer
);
CREATE TABLE pg_temp.llm_db_settings (name text, value text);
CREATE TABLE pg_temp.llm_db_migrations (
    number integer, id text, hash text, up_sha256 text, down_sha256 text, is_new boolean,
    up text, began_at timestamptz, was_begun boolean, is_done boolean,
    build text, index text, drops boolean, each text, parent text, attach text
);
CREATE TABLE pg_temp.llm_db_files (
    number integer, name text, path text, sha256 text, described_by text [], kind text, body text,
    is_todo boolean, is_later boolean, is_done boolean
);
CREATE TABLE pg_temp.llm_db_stale (name text);
CREATE TABLE pg_temp.llm_db_droppable (one pg_temp.llm_db_object, number bigint);
CREATE TABLE pg_temp.llm_db_built_on (name text, used text);

CREATE PROCEDURE pg_temp.llm_db_clean()
LANGUAGE plpgsql
AS $$
DECLARE
    setting record;
BEGIN
    RESET ALL;
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog', false);
    FOR setting IN SELECT s.name, s.value FROM pg_temp.llm_db_settings AS s LOOP
        -- Between two transactions too, names are looked up in pg_catalog, and psql reads the script by its encoding.
        PERFORM set_config(setting.name, setting.value, setting.name NOT IN ('search_path', 'client_encoding'));
    END LOOP;
    PERFORM set_config('lock_timeout', r.lock_timeout_ms::text, true) FROM pg_temp.llm_db_run AS r;
    PERFORM set_config('session_replication_role', 'origin', true)
    WHERE current_setting('session_replication_role') <> 'origin';
END
$$;

-- Between two files of a transaction: who keeps the locks of one while it waits for those of the next gives way.
CREATE PROCEDURE pg_temp.llm_db_wait_briefly()
LANGUAGE sql
AS $$
SELECT set_config('lock_timeout', least(nullif(r.lock_timeout_ms, 0), r.briefly_ms)::text, true)
FROM pg_temp.llm_db_run AS r
$$;

CREATE PROCEDURE pg_temp.llm_db_stop(message text, hint text)
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = message, HINT = hint, ERRCODE = 'object_not_in_prerequisite_state';
END
$$;

CREATE PROCEDURE pg_temp.llm_db_run_file(path text, body text)
LANGUAGE plpgsql
AS $$
DECLARE
    role_before constant text := current_setting('role');
    state text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE body;
    PERFORM pg_catalog.set_config('role', role_before, false);
    CALL pg_temp.llm_db_clean();
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION USING
        ERRCODE = state, MESSAGE = concat(path, ': ', message), DETAIL = concat_ws(chr(10), state, nullif(detail, '')),
        HINT = coalesce(nullif(hint, ''), 'nothing of this step was kept; correct the cause and run the script again');
END
$$;

-- A call in a transaction of its own, again while others are in its way; what it had locked is free meanwhile.
CREATE PROCEDURE pg_temp.llm_db_attempt(what text, work text)
LANGUAGE plpgsql
AS $$
DECLARE
    retries constant integer := (SELECT r.retries FROM pg_temp.llm_db_run AS r);
    tries integer := 0;
    pause double precision;
BEGIN
    LOOP
        tries := tries + 1;
        BEGIN
            EXECUTE work;
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF tries > retries THEN
                RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('%s (%s tries)', SQLERRM, tries),
                    HINT = 'nothing of it was kept; end the long transaction that pg_stat_activity shows and run this'
                        ' script again';
            END IF;
            -- Not in step with whatever it collides with.
            pause := least(0.1 * 2 ^ tries, 10) * (0.5 + random() / 2);
            RAISE INFO '%: %; trying again in % s (%/%)', what, SQLERRM, round(pause::numeric, 1), tries, retries;
        END;
        PERFORM pg_sleep(pause);
    END LOOP;
END
$$;

CREATE FUNCTION pg_temp.llm_db_objects(class_ids oid [], object_ids oid [])
RETURNS SETOF pg_temp.llm_db_object
LANGUAGE sql
AS $$
SELECT
    i.class_id, i.object_id, i.kind, i.identity, i.on_table, i.described, concat(i.kind, ' ', i.identity)
FROM pg_temp.llm_db_identified($1, $2) AS i
$$;

CREATE FUNCTION pg_temp.llm_db_there()
RETURNS SETOF pg_temp.llm_db_object
LANGUAGE sql
AS $$
SELECT o.*
FROM (SELECT array_agg(v.class_id) AS class_ids, array_agg(v.object_id) AS ids FROM pg_temp.llm_db_live() AS v) AS a
CROSS JOIN LATERAL pg_temp.llm_db_objects(a.class_ids, a.ids) AS o
$$;

CREATE FUNCTION pg_temp.llm_db_versions()
RETURNS text []
LANGUAGE sql
AS $$
SELECT coalesce(array_agg(concat_ws(' ', v.class_id, v.object_id, v.version)), '{}') FROM pg_temp.llm_db_live() AS v
$$;

-- In the order of their files.
CREATE FUNCTION pg_temp.llm_db_ours()
RETURNS text []
LANGUAGE sql
AS $$
SELECT array(
    SELECT u.name
    FROM llm_db.repeatables AS r
    CROSS JOIN LATERAL unnest(r.objects) AS u (name)
    ORDER BY string_to_array(r.name COLLATE "C", '/'), u.name COLLATE "C"
)
$$;

-- Drops these, and those of ours that are built on them. Returns the names of all.
CREATE FUNCTION pg_temp.llm_db_drop(names text [], ours text [])
RETURNS text []
LANGUAGE plpgsql
AS $$
DECLARE
    doomed text [];
    waiting text [];
    doing record;
    detail text;
BEGIN
    DELETE FROM pg_temp.llm_db_droppable;
    DELETE FROM pg_temp.llm_db_built_on;
    INSERT INTO pg_temp.llm_db_droppable (one, number)
    SELECT DISTINCT ON ((t.o).name) t.o, u.number
    FROM unnest(ours || names) WITH ORDINALITY AS u (name, number)
    INNER JOIN (SELECT o FROM pg_temp.llm_db_there() AS o) AS t ON (t.o).name = u.name
    ORDER BY (t.o).name, u.number;
    INSERT INTO pg_temp.llm_db_built_on (name, used)
    SELECT DISTINCT (a.one).name, (b.one).name
    FROM pg_temp.llm_db_dependencies() AS d
    INNER JOIN pg_temp.llm_db_droppable AS a ON (a.one).class_id = d.class_id AND (a.one).object_id = d.object_id
    INNER JOIN pg_temp.llm_db_droppable AS b
        ON (b.one).class_id = d.used_class_id AND (b.one).object_id = d.used_object_id
    WHERE (a.one).name <> (b.one).name;
    doomed := array(
        WITH RECURSIVE doomed AS (
            SELECT (a.one).name FROM pg_temp.llm_db_droppable AS a WHERE (a.one).name = ANY (names)
            UNION
            SELECT b.name FROM doomed AS d INNER JOIN pg_temp.llm_db_built_on AS b ON b.used = d.name
        )
        SELECT d.name FROM doomed AS d
    );
    IF doomed = '{}' THEN
        RETURN doomed;
    END IF;

    PERFORM pg_temp.llm_db_keep_grants(
        array_agg((a.one).name), array_agg((a.one).class_id), array_agg((a.one).object_id)
    )
    FROM pg_temp.llm_db_droppable AS a
    WHERE (a.one).name = ANY (doomed) AND (a.one).kind <> 'trigger';
    FOR doing IN
        SELECT (a.one).on_table AS name
        FROM pg_temp.llm_db_droppable AS a
        WHERE (a.one).name = ANY (doomed) AND (a.one).on_table IS NOT NULL
        GROUP BY (a.one).on_table
        ORDER BY min(a.number)
    LOOP
        CALL pg_temp.llm_db_wait_briefly();
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', doing.name);
    END LOOP;

    -- What is built on others goes before these.
    waiting := doomed;
    WHILE waiting <> '{}' LOOP
        SELECT (a.one).kind, (a.one).identity, (a.one).name INTO STRICT doing
        FROM pg_temp.llm_db_droppable AS a
        WHERE (a.one).name = ANY (waiting) AND NOT EXISTS (
            SELECT FROM pg_temp.llm_db_built_on AS b WHERE b.used = (a.one).name AND b.name = ANY (waiting)
        )
        ORDER BY a.number
        LIMIT 1;
        BEGIN
            EXECUTE format('DROP %s %s', upper(doing.kind), doing.identity);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
            RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'Something that is not ours is built on ours',
                DETAIL = detail,
                HINT = 'drop it, run the script again, and create it anew on what is there then';
        END;
        waiting := array_remove(waiting, doing.name);
    END LOOP;
    CALL pg_temp.llm_db_clean();
    RETURN doomed;
END
$$;

CREATE PROCEDURE pg_temp.llm_db_give(objects pg_temp.llm_db_object [])
LANGUAGE plpgsql
AS $$
DECLARE
    made pg_temp.llm_db_object;
    was record;
BEGIN
    FOREACH made IN ARRAY objects LOOP
        FOR was IN SELECT * FROM pg_temp.llm_db_give_back(made.name, made.object_id) LOOP
            EXECUTE CASE was.privilege
                WHEN 'OWNER' THEN format(
                    'ALTER %s %s OWNER TO %I',
                    CASE made.kind WHEN 'view' THEN 'VIEW' ELSE 'ROUTINE' END, made.identity, was.role_name
                )
                WHEN 'NOT PUBLIC' THEN format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', made.identity)
                ELSE format(
                    'GRANT %s%s ON %s %s TO %s%s',
                    was.privilege, ' (' || quote_ident(was.column_name) || ')',
                    CASE made.kind WHEN 'view' THEN 'TABLE' ELSE 'ROUTINE' END, made.identity,
                    coalesce(quote_ident(was.role_name), 'PUBLIC'),
                    CASE WHEN was.is_grantable THEN ' WITH GRANT OPTION' END
                )
            END;
        END LOOP;
    END LOOP;
END
$$;

-- A routine's name without its kind and its arguments; of another object, nothing.
CREATE FUNCTION pg_temp.llm_db_routine(name text)
RETURNS text
LANGUAGE sql
AS $$
SELECT CASE
    WHEN strpos($1, '(') > 0 THEN split_part(substr($1, strpos($1, ' ') + 1), '(', 1)
END
$$;

-- A routine whose arguments changed is another object. What was given on the old one is kept for it.
CREATE FUNCTION pg_temp.llm_db_inherit(gone text [], new text [])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    heir record;
BEGIN
    FOR heir IN
        SELECT old.name AS old, min(n.name) AS name
        FROM unnest(gone) AS old (name)
        INNER JOIN unnest(new) AS n (name) ON pg_temp.llm_db_routine(n.name) = pg_temp.llm_db_routine(old.name)
        GROUP BY old.name
        HAVING count(*) = 1
    LOOP
        PERFORM pg_temp.llm_db_keep_grants(array_agg(o.name), array_agg(o.class_id), array_agg(o.object_id))
        FROM pg_temp.llm_db_there() AS o
        WHERE o.name = heir.old;
        DELETE FROM llm_db.grants AS g WHERE g.object = heir.name;
        UPDATE llm_db.grants AS g SET object = heir.name WHERE g.object = heir.old;
    END LOOP;
END
$$;

-- The sum of a file's text and of what its sources' columns are called in this database.
CREATE FUNCTION pg_temp.llm_db_sum(file pg_temp.llm_db_files)
RETURNS text
LANGUAGE plpgsql
AS $$
BEGIN
    IF file.described_by = '{}' THEN
        RETURN file.sha256;
    END IF;
    RETURN encode(sha256(convert_to(concat(file.sha256, chr(10), (
        SELECT string_agg(coalesce(d.called, ''), chr(10) ORDER BY s.number)
        FROM unnest(file.described_by) WITH ORDINALITY AS s (name, number)
        LEFT JOIN pg_temp.llm_db_descriptions(array(SELECT DISTINCT unnest(file.described_by))) AS d
            ON d.name = s.name
    )), 'UTF8')), 'hex');
END
$$;

-- Runs a file. Returns what it made or replaced.
CREATE FUNCTION pg_temp.llm_db_make(file pg_temp.llm_db_files)
RETURNS pg_temp.llm_db_object []
LANGUAGE plpgsql
AS $$
DECLARE
    before constant text [] := array(
        SELECT concat_ws(' ', v.class_id, v.object_id, v.made) FROM pg_temp.llm_db_live() AS v
    );
    made pg_temp.llm_db_object [];
BEGIN
    IF file.kind = 'triggers' THEN
        CALL pg_temp.llm_db_wait_briefly();
    END IF;
    CALL pg_temp.llm_db_run_file(file.path, file.body);
    SELECT array_agg(o) INTO made
    FROM (
        SELECT array_agg(v.class_id) AS class_ids, array_agg(v.object_id) AS object_ids
        FROM pg_temp.llm_db_live() AS v
        WHERE concat_ws(' ', v.class_id, v.object_id, v.made) <> ALL (before)
    ) AS a
    CROSS JOIN LATERAL pg_temp.llm_db_objects(a.class_ids, a.object_ids) AS o;
    IF made IS NULL THEN
        CALL pg_temp.llm_db_stop(
            format('%s makes no view, routine or trigger in a schema of ours.', file.path), 'correct the file'
        );
    END IF;
    RETURN made;
END
$$;

CREATE FUNCTION pg_temp.llm_db_names(objects pg_temp.llm_db_object [])
RETURNS text []
LANGUAGE sql
AS $$
SELECT array(SELECT o.name FROM unnest($1) AS o ORDER BY o.name COLLATE "C")
$$;

-- Drops these, and has whatever else went with them made again. Whether there was anything to drop.
CREATE FUNCTION pg_temp.llm_db_clear(names text [])
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    dropped constant text [] := pg_temp.llm_db_drop(
        names, pg_temp.llm_db_ours() || array(SELECT s.name FROM pg_temp.llm_db_stale AS s)
    );
BEGIN
    UPDATE pg_temp.llm_db_files AS f SET is_todo = true, is_later = false
    FROM llm_db.repeatables AS r
    WHERE r.name = f.name AND r.objects && dropped;
    RETURN dropped <> '{}';
END
$$;

-- Reference data, and all repeatables that have changed but those of triggers; or one file of triggers.
CREATE PROCEDURE pg_temp.llm_db_refresh_once(triggers text)
LANGUAGE plpgsql
AS $$
DECLARE
    were_there text [];
    were_ours text [];
    were_adopted text [];
    file pg_temp.llm_db_files;
    was llm_db.repeatables;
    gone record;
    made pg_temp.llm_db_object [];
    names text [];
BEGIN
    IF triggers IS NULL THEN
        FOR file IN SELECT f.* FROM pg_temp.llm_db_files AS f WHERE f.kind = 'seeds' ORDER BY f.number LOOP
            CALL pg_temp.llm_db_run_file(file.path, file.body);
        END LOOP;
    END IF;
    were_there := array(SELECT o.name FROM pg_temp.llm_db_there() AS o);
    were_ours := pg_temp.llm_db_ours();
    were_adopted := array(SELECT unnest(r.adopted) FROM llm_db.repeatables AS r);
    UPDATE pg_temp.llm_db_files AS f
    SET is_todo = changed AND (f.kind = 'views' OR f.name = triggers),
        is_later = changed AND f.kind = 'triggers' AND f.name IS DISTINCT FROM triggers
    FROM (
        SELECT n.name, NOT EXISTS (
            SELECT FROM llm_db.repeatables AS r
            WHERE r.name = n.name AND r.sha256 = pg_temp.llm_db_sum(n) AND r.objects <@ were_there
        ) AS changed
        FROM pg_temp.llm_db_files AS n
        WHERE n.kind <> 'seeds'
    ) AS c
    WHERE c.name = f.name;
    DELETE FROM pg_temp.llm_db_stale;
    FOR gone IN
        DELETE FROM llm_db.repeatables AS r
        WHERE r.name NOT IN (SELECT f.name FROM pg_temp.llm_db_files AS f)
        RETURNING r.objects
    LOOP
        INSERT INTO pg_temp.llm_db_stale SELECT unnest(gone.objects);
    END LOOP;

    LOOP
        SELECT f.* INTO file FROM pg_temp.llm_db_files AS f WHERE f.is_todo ORDER BY f.number LIMIT 1;
        IF FOUND THEN
            SELECT r.* INTO was FROM llm_db.repeatables AS r WHERE r.name = file.name;
            was.objects := coalesce(was.objects, '{}');
            BEGIN
                made := pg_temp.llm_db_make(file);
            EXCEPTION WHEN
                invalid_function_definition OR invalid_table_definition OR wrong_object_type OR duplicate_object
                OR ambiguous_function
            THEN
                IF NOT pg_temp.llm_db_clear(array(SELECT s.name FROM pg_temp.llm_db_stale AS s) || was.objects) THEN
                    RAISE;
                END IF;
                made := pg_temp.llm_db_make(file);
            END;
            names := pg_temp.llm_db_names(made);
            UPDATE pg_temp.llm_db_files AS f SET is_todo = false, is_later = false, is_done = true
            WHERE f.number = file.number;
            SELECT r.name, u.name AS object INTO gone
            FROM llm_db.repeatables AS r
            INNER JOIN pg_temp.llm_db_files AS f ON f.name = r.name
            CROSS JOIN LATERAL unnest(r.objects) AS u (name)
            WHERE u.name = ANY (names) AND r.name <> file.name AND NOT (f.is_todo OR f.is_later)
            LIMIT 1;
            IF FOUND THEN
                CALL pg_temp.llm_db_stop(
                    format('views/%s.sql and %s both make the %s.', gone.name, file.path, gone.object),
                    'make it in one file; a GRANT on it stands beside it'
                );
            END IF;
            PERFORM pg_temp.llm_db_inherit(
                array(SELECT unnest(was.objects) EXCEPT SELECT unnest(names)),
                array(SELECT unnest(names) EXCEPT SELECT unnest(was.objects))
            );
            CALL pg_temp.llm_db_give(made);
            were_adopted := were_adopted || array(
                SELECT n.name FROM unnest(names) AS n (name)
                WHERE n.name = ANY (were_there) AND n.name <> ALL (were_ours)
            );
            were_ours := were_ours || names;
            PERFORM pg_temp.llm_db_record_repeatable(
                file.name, pg_temp.llm_db_sum(file), names,
                array(SELECT n.name FROM unnest(names) AS n (name) WHERE n.name = ANY (were_adopted))
            );
            INSERT INTO pg_temp.llm_db_stale SELECT unnest(was.objects);
            DELETE FROM pg_temp.llm_db_stale AS s WHERE s.name = ANY (pg_temp.llm_db_ours());
        ELSIF EXISTS (SELECT FROM pg_temp.llm_db_stale) THEN
            IF EXISTS (SELECT FROM pg_temp.llm_db_stale AS s WHERE starts_with(s.name, 'trigger ')) THEN
                -- It may have moved to another file, and is not to be missing meanwhile.
                UPDATE pg_temp.llm_db_files AS f SET is_todo = true, is_later = false WHERE f.is_later;
            END IF;
            IF NOT FOUND THEN
                PERFORM pg_temp.llm_db_clear(array(SELECT s.name FROM pg_temp.llm_db_stale AS s));
                DELETE FROM pg_temp.llm_db_stale;
            END IF;
        ELSE
            EXIT;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_temp.llm_db_files AS f WHERE f.is_todo) THEN
            -- What was made may describe others otherwise than before.
            UPDATE pg_temp.llm_db_files AS f SET is_todo = true
            FROM llm_db.repeatables AS r
            WHERE r.name = f.name AND f.described_by <> '{}' AND r.sha256 <> pg_temp.llm_db_sum(f);
        END IF;
    END LOOP;
    -- What is left was given on what is no more.
    DELETE FROM llm_db.grants;
END
$$;

CREATE PROCEDURE pg_temp.llm_db_refresh(triggers text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL pg_temp.llm_db_attempt(
        coalesce('views/' || triggers || '.sql', 'repeatables and reference data'),
        format('CALL pg_temp.llm_db_refresh_once(%L)', triggers)
    );
END
$$;

CREATE FUNCTION pg_temp.llm_db_marked()
RETURNS text []
LANGUAGE plpgsql
AS $$
BEGIN
    IF to_regclass('llm_db._yoyo_migration') IS NULL THEN
        RETURN '{}';
    END IF;
    RETURN array(SELECT m.migration_id::text FROM llm_db._yoyo_migration AS m);
END
$$;

CREATE FUNCTION pg_temp.llm_db_is_applied(id text)
RETURNS boolean
LANGUAGE sql
AS $$
SELECT $1 = ANY (pg_temp.llm_db_marked())
$$;

-- Marks it, as applied by this script.
CREATE PROCEDURE pg_temp.llm_db_mark(migration text, began_at timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    ms constant bigint := round(extract(EPOCH FROM clock_timestamp() - began_at) * 1000);
BEGIN
    PERFORM pg_temp.llm_db_write_mark(
        m.id, m.hash, m.up_sha256, m.down_sha256, ms, r.version, r.os_user, r.host
    )
    FROM pg_temp.llm_db_migrations AS m
    CROSS JOIN pg_temp.llm_db_run AS r
    WHERE m.id = migration;
    UPDATE pg_temp.llm_db_migrations AS m SET is_done = true WHERE m.id = migration;
END
$$;

-- The ledger after the work: a file is run again if something that it made is gone, or was replaced. Of a file of which
-- nothing is left there is nothing to know.
CREATE PROCEDURE pg_temp.llm_db_settle(before text [])
LANGUAGE plpgsql
AS $$
DECLARE
    made record;
BEGIN
    FOR made IN
        WITH there AS MATERIALIZED (
            SELECT o.name, concat_ws(' ', v.class_id, v.object_id, v.version) <> ALL (before) AS is_another
            FROM pg_temp.llm_db_there() AS o
            INNER JOIN pg_temp.llm_db_live() AS v ON v.class_id = o.class_id AND v.object_id = o.object_id
        )
        SELECT r.name, r.objects, r.adopted, count(t.name) AS left_over, bool_or(t.is_another) AS is_another
        FROM llm_db.repeatables AS r
        LEFT JOIN there AS t ON t.name = ANY (r.objects)
        GROUP BY r.name, r.objects, r.adopted
    LOOP
        IF made.left_over = 0 THEN
            DELETE FROM llm_db.repeatables AS r WHERE r.name = made.name;
        ELSIF made.left_over < cardinality(made.objects) OR made.is_another THEN
            PERFORM pg_temp.llm_db_record_repeatable(made.name, '', made.objects, made.adopted);
        END IF;
    END LOOP;
END
$$;

-- Where it fits what the work has left, and else not yet.
CREATE PROCEDURE pg_temp.llm_db_make_again(file_name text, objects text [], adopted text [])
LANGUAGE plpgsql
AS $$
DECLARE
    file pg_temp.llm_db_files;
    made pg_temp.llm_db_object [];
    left_over text [];
BEGIN
    SELECT f.* INTO STRICT file FROM pg_temp.llm_db_files AS f WHERE f.name = file_name;
    made := pg_temp.llm_db_make(file);
    CALL pg_temp.llm_db_give(made);
    -- What the file does not make any more goes at the end of the script.
    left_over := array(
        SELECT o.name FROM pg_temp.llm_db_there() AS o
        WHERE o.name = ANY (objects) AND o.name <> ALL (pg_temp.llm_db_names(made))
    );
    PERFORM pg_temp.llm_db_record_repeatable(
        file.name, CASE WHEN left_over = '{}' THEN pg_temp.llm_db_sum(file) ELSE '' END,
        array(SELECT u FROM unnest(left_over || pg_temp.llm_db_names(made)) AS u ORDER BY u COLLATE "C"), adopted
    );
EXCEPTION
    WHEN insufficient_privilege THEN
        -- The object would be lost for that.
        RAISE;
    WHEN syntax_error_or_access_rule_violation OR invalid_schema_name THEN
        NULL;
END
$$;

-- The migration, without those of ours that are in its way; they are made again where they still fit.
CREATE PROCEDURE pg_temp.llm_db_without(migration text, in_the_way text [])
LANGUAGE plpgsql
AS $$
DECLARE
    began_at constant timestamptz := clock_timestamp();
    file_up constant text := (SELECT m.up FROM pg_temp.llm_db_migrations AS m WHERE m.id = migration);
    dropped constant text [] := pg_temp.llm_db_drop(in_the_way, pg_temp.llm_db_ours());
    before constant text [] := pg_temp.llm_db_versions();
    was llm_db.repeatables [];
    made llm_db.repeatables;
    gone text [];
BEGIN
    SELECT coalesce(array_agg(r ORDER BY f.number), '{}') INTO was
    FROM llm_db.repeatables AS r
    INNER JOIN pg_temp.llm_db_files AS f ON f.name = r.name
    WHERE r.objects && dropped;
    CALL pg_temp.llm_db_run_file(format('migrations/%s.sql', migration), file_up);
    -- What it may break fails here, and not at COMMIT, when it has been told that it is applied.
    SET CONSTRAINTS ALL IMMEDIATE;
    CALL pg_temp.llm_db_mark(migration, began_at);
    CALL pg_temp.llm_db_settle(before);
    FOREACH made IN ARRAY was LOOP
        CALL pg_temp.llm_db_make_again(made.name, made.objects, made.adopted);
    END LOOP;
    gone := array(SELECT unnest(dropped) EXCEPT SELECT o.name FROM pg_temp.llm_db_there() AS o ORDER BY 1);
    IF EXISTS (SELECT FROM unnest(gone) AS g (name) WHERE starts_with(g.name, 'trigger ')) THEN
        CALL pg_temp.llm_db_stop(
            format('migrations/%s.sql takes away what a trigger is built on, and its file does not fit what is left.',
                migration),
            'writers need it all the time: change its file so that it fits, or make the change in two migrations'
        );
    END IF;
    IF gone <> '{}' THEN
        RAISE INFO 'dropped % of ours: %; the end of the script makes them again', cardinality(gone),
            array_to_string(gone, ', ');
    END IF;
END
$$;

CREATE PROCEDURE pg_temp.llm_db_apply(migration text, up text)
LANGUAGE plpgsql
AS $$
DECLARE
    in_the_way text [] := '{}';
    more text [];
    detail text;
BEGIN
    IF pg_temp.llm_db_is_applied(migration) THEN
        RETURN;
    END IF;
    UPDATE pg_temp.llm_db_migrations AS m SET up = llm_db_apply.up WHERE m.id = migration;
    LOOP
        BEGIN
            CALL pg_temp.llm_db_attempt(
                migration, format('CALL pg_temp.llm_db_without(%L, %L)', migration, in_the_way)
            );
            RAISE INFO '% applied', migration;
            RETURN;
        EXCEPTION WHEN dependent_objects_still_exist OR feature_not_supported THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
            -- What of ours the error says is in the way: in any language, as PostgreSQL describes it.
            more := array(
                SELECT o.name
                FROM pg_temp.llm_db_there() AS o
                WHERE o.name = ANY (pg_temp.llm_db_ours()) AND o.name <> ALL (in_the_way) AND detail ~ concat(
                    '(?<![[:alnum:]_.])', regexp_replace(o.described, '([^[:alnum:]_ ])', '[\1]', 'g'),
                    '(?![[:alnum:]_.])'
                )
            );
            IF more = '{}' THEN
                RAISE;
            END IF;
            in_the_way := in_the_way || more;
        END;
    END LOOP;
END
$$;

-- The words of a statement that have the name that stands for a partition.
CREATE FUNCTION pg_temp.llm_db_named(statement text, each text, leaf text)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    word text;
BEGIN
    FOR word IN
        SELECT w.word
        FROM regexp_matches(statement, concat('[[:alnum:]_]*', each, '[[:alnum:]_]*'), 'g') AS m (found)
        CROSS JOIN LATERAL unnest(m.found) AS w (word)
        WHERE each IS NOT NULL
        GROUP BY w.word
        -- One may begin like another.
        ORDER BY length(w.word) DESC
    LOOP
        statement := replace(statement, word, quote_ident(replace(word, each, leaf)));
    END LOOP;
    RETURN statement;
END
$$;

-- What a file outside a transaction is run for: once, or once for each partition; and what is there of its index.
CREATE FUNCTION pg_temp.llm_db_targets(work pg_temp.llm_db_migrations)
RETURNS TABLE (leaf text, index_name text, is_valid boolean)
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN QUERY
    SELECT l.leaf, n.name, (
        SELECT i.indisvalid AND i.indisready FROM pg_index AS i WHERE i.indexrelid = to_regclass(n.name)
    )
    FROM (
        SELECT NULL WHERE work.parent IS NULL
        UNION ALL
        SELECT p::text FROM pg_temp.llm_db_leaves(work.parent::regclass) AS p WHERE work.parent IS NOT NULL
    ) AS l (leaf)
    CROSS JOIN LATERAL pg_temp.llm_db_named(work.index, work.each, l.leaf) AS n (name);
END
$$;

-- A file outside a transaction begins: its statement or, for each partition of `parent`, its two statements, in which
-- `each` stands for the partition. `index` is what the first one makes or drops, where that is known.
CREATE PROCEDURE pg_temp.llm_db_start(
    migration text, build text, index text, drops boolean DEFAULT false, each text DEFAULT NULL,
    parent text DEFAULT NULL, attach text DEFAULT NULL
)
LANGUAGE plpgsql
AS $$
DECLARE
    begun boolean;
    work pg_temp.llm_db_migrations;
    there record;
BEGIN
    IF pg_temp.llm_db_is_applied(migration) THEN
        RETURN;
    END IF;
    begun := EXISTS (SELECT FROM llm_db.migrations AS m WHERE m.migration_id = migration);
    UPDATE pg_temp.llm_db_migrations AS m
    SET began_at = clock_timestamp(), was_begun = begun, build = llm_db_start.build, index = llm_db_start.index,
        drops = llm_db_start.drops, each = llm_db_start.each, parent = llm_db_start.parent, attach = llm_db_start.attach
    WHERE m.id = migration
    RETURNING m.* INTO STRICT work;
    IF begun AND index IS NULL THEN
        CALL pg_temp.llm_db_stop(
            format('%s began and was not seen to end, and what it left cannot be told from its statement.', migration),
            format('look at the database, then `llm-db repair --accept %s` if its work is all there, or undo what is'
                ' there and `llm-db repair --forget %s`', migration, migration)
        );
    END IF;
    IF begun THEN
        RETURN;
    END IF;
    -- What has the name already is not its work, and is not to be taken for it when it is looked for again. A partition
    -- may have come with its own; IF NOT EXISTS is content with what is there, but not with half an index.
    SELECT t.index_name, t.is_valid INTO there
    FROM pg_temp.llm_db_targets(work) AS t
    WHERE NOT work.drops AND to_regclass(t.index_name) IS NOT NULL
        AND (
            t.is_valid IS NOT TRUE
            OR (work.parent IS NULL AND work.build !~* 'IF[[:space:]]+NOT[[:space:]]+EXISTS')
        )
    LIMIT 1;
    IF FOUND THEN
        CALL pg_temp.llm_db_stop(
            format('migrations/%s.sql: %s exists already%s.', migration, there.index_name,
                CASE WHEN NOT there.is_valid THEN ', and is INVALID' END),
            'drop it, unless somebody is building it now, and run the script again'
        );
    END IF;
    PERFORM pg_temp.llm_db_write_start(work.id, work.up_sha256, work.down_sha256, r.version)
    FROM pg_temp.llm_db_run AS r;
END
$$;

-- What is left to do of it, for psql to run statement by statement.
CREATE FUNCTION pg_temp.llm_db_outside(migration text)
RETURNS SETOF text
LANGUAGE plpgsql
AS $$
DECLARE
    work pg_temp.llm_db_migrations;
    target record;
    waits text;
BEGIN
    IF pg_temp.llm_db_is_applied(migration) THEN
        RETURN;
    END IF;
    SELECT m.* INTO STRICT work FROM pg_temp.llm_db_migrations AS m WHERE m.id = migration;
    SELECT concat('SET lock_timeout = ', r.lock_timeout_ms) INTO STRICT waits FROM pg_temp.llm_db_run AS r;
    RETURN QUERY SELECT format('SET %I = %L', s.name, s.value) FROM pg_temp.llm_db_settings AS s;
    FOR target IN SELECT * FROM pg_temp.llm_db_targets(work) LOOP
        -- CONCURRENTLY holds up nobody while it waits, and would have to begin all over.
        RETURN NEXT 'SET lock_timeout = 0';
        IF NOT target.is_valid AND work.was_begun AND NOT work.drops THEN
            RETURN NEXT concat('DROP INDEX CONCURRENTLY ', target.index_name);
        END IF;
        IF (
            CASE
                WHEN work.drops AND work.was_begun THEN to_regclass(target.index_name) IS NOT NULL
                WHEN work.parent IS NULL AND NOT work.was_begun THEN true
                ELSE target.is_valid IS NOT TRUE
            END
        ) THEN
            RETURN NEXT pg_temp.llm_db_named(work.build, work.each, target.leaf);
        END IF;
        IF work.attach IS NOT NULL THEN
            RETURN NEXT waits;
            RETURN NEXT format(
                'CALL pg_temp.llm_db_attempt(%L, %L)',
                concat(migration, ': ', target.leaf), pg_temp.llm_db_named(work.attach, work.each, target.leaf)
            );
        END IF;
    END LOOP;
    RETURN QUERY VALUES ('RESET ALL'), ('SET search_path = pg_catalog'), ('SET client_encoding = ''UTF8''');
END
$$;

CREATE PROCEDURE pg_temp.llm_db_finish(migration text)
LANGUAGE plpgsql
AS $$
DECLARE
    began_at constant timestamptz := (SELECT m.began_at FROM pg_temp.llm_db_migrations AS m WHERE m.id = migration);
BEGIN
    IF NOT pg_temp.llm_db_is_applied(migration) THEN
        CALL pg_temp.llm_db_mark(migration, began_at);
        RAISE INFO '% applied', migration;
    END IF;
END
$$;

-- Another state than the one that the script begins with, or ends with, or one between them.
CREATE PROCEDURE pg_temp.llm_db_refuse()
LANGUAGE plpgsql
AS $$
DECLARE
    marked constant text [] := pg_temp.llm_db_marked();
    wrong record;
BEGIN
    SELECT m.id INTO wrong FROM unnest(marked) AS m (id)
    WHERE m.id NOT IN (SELECT k.id FROM pg_temp.llm_db_migrations AS k) ORDER BY m.id LIMIT 1;
    IF FOUND THEN
        CALL pg_temp.llm_db_stop(
            format('%s is applied, and this script does not know it.', wrong.id),
            'have a script written by the llm-db that has it'
        );
    END IF;
    SELECT k.id INTO wrong FROM pg_temp.llm_db_migrations AS k
    WHERE k.id <> ALL (marked) AND NOT k.is_new ORDER BY k.number LIMIT 1;
    IF FOUND THEN
        CALL pg_temp.llm_db_stop(
            format('%s is not applied, and this script goes on from later ones.', wrong.id),
            'have a script written for this database: llm-db plan --script, with its --dsn or another --from'
        );
    END IF;
    SELECT k.id INTO wrong FROM pg_temp.llm_db_migrations AS k
    WHERE k.id <> ALL (marked) AND k.number < (
        SELECT max(later.number) FROM pg_temp.llm_db_migrations AS later WHERE later.id = ANY (marked)
    )
    ORDER BY k.number LIMIT 1;
    IF FOUND THEN
        CALL pg_temp.llm_db_stop(
            format('%s is late: a migration after it is applied.', wrong.id), '`llm-db migrate --allow-late` runs it'
        );
    END IF;
    IF to_regclass('llm_db.migrations') IS NULL THEN
        RETURN;
    END IF;
    SELECT e.migration_id AS id INTO wrong
    FROM llm_db.migrations AS e
    INNER JOIN pg_temp.llm_db_migrations AS k ON k.id = e.migration_id
    WHERE (e.up_sha256 <> k.up_sha256 OR e.down_sha256 <> k.down_sha256)
        AND (e.migration_id = ANY (marked) OR e.state <> 'applied')
    ORDER BY k.number LIMIT 1;
    IF FOUND THEN
        CALL pg_temp.llm_db_stop(
            format('%s was applied from other files than this script knows.', wrong.id),
            'one of the two was edited: bring its files back, or `llm-db repair` shows the way out'
        );
    END IF;
    SELECT e.migration_id AS id INTO wrong
    FROM llm_db.migrations AS e
    LEFT JOIN pg_temp.llm_db_migrations AS k ON k.id = e.migration_id AND k.is_new
    WHERE e.state <> 'applied' AND (k.id IS NULL OR e.state <> 'started')
    ORDER BY e.migration_id LIMIT 1;
    IF FOUND THEN
        CALL pg_temp.llm_db_stop(
            format('%s began outside a transaction and was not seen to end.', wrong.id),
            '`llm-db repair` shows the way out'
        );
    END IF;
END
$$;

-- Nobody else is at work. Called outside a transaction, and waits in short ones: CREATE INDEX CONCURRENTLY, of the one
-- who is waited for, waits for every snapshot that is older.
CREATE PROCEDURE pg_temp.llm_db_queue()
LANGUAGE plpgsql
AS $$
DECLARE
    run constant pg_temp.llm_db_run := (SELECT r FROM pg_temp.llm_db_run AS r);
    began_at constant timestamptz := clock_timestamp();
    in_turn boolean;
    was_told boolean := false;
    holder record;
BEGIN
    LOOP
        in_turn := EXISTS (
            -- A script that was stopped in this session has it.
            SELECT FROM pg_locks AS l
            WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.objsubid = 1
                AND (l.classid::bigint << 32) + l.objid::bigint = run.turn
        );
        IF NOT in_turn THEN
            in_turn := pg_try_advisory_lock(run.turn);
        END IF;
        IF NOT in_turn THEN
            SELECT q.who, q.may_migrate INTO holder FROM pg_temp.llm_db_queued() AS q LIMIT 1;
            in_turn := NOT holder.may_migrate;
            IF in_turn AND NOT was_told THEN
                RAISE WARNING 'Not waited for, as it may not migrate: %, with our advisory lock', holder.who;
                was_told := true;
            END IF;
        END IF;
        IF in_turn THEN
            SELECT h.who INTO holder FROM pg_temp.llm_db_holder() AS h (who) LIMIT 1;
            EXIT WHEN NOT FOUND;
        END IF;
        IF clock_timestamp() > began_at + make_interval(secs => run.wait_seconds) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'lock_not_available',
                MESSAGE = format(
                    'Another llm-db, or script, is still at work on this database after %s s: %s.', run.wait_seconds,
                    holder.who
                ),
                HINT = 'run this script again when it is done';
        ELSIF NOT was_told THEN
            RAISE INFO 'Another llm-db, or script, is at work on this database; waiting for it (%) ...', holder.who;
            was_told := true;
        END IF;
        PERFORM pg_sleep(0.2);
        COMMIT;
    END LOOP;
END
$$;

-- Who may not do all of it.
CREATE PROCEDURE pg_temp.llm_db_refuse_role()
LANGUAGE plpgsql
AS $$
DECLARE
    run constant pg_temp.llm_db_run := (SELECT r FROM pg_temp.llm_db_run AS r);
    lacking text;
BEGIN
    CALL pg_temp.llm_db_clean();
    BEGIN
        -- The backend of a psql that is gone ends its statement and frees its locks. Not on every system.
        PERFORM set_config('client_connection_check_interval', '1s', true);
        INSERT INTO pg_temp.llm_db_settings (name, value) VALUES ('client_connection_check_interval', '1s');
    EXCEPTION WHEN invalid_parameter_value THEN
        NULL;
    END;
    SELECT string_agg(DISTINCT format('%I', pg_get_userbyid(o.owner)), ' and ') INTO lacking
    FROM (
        SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = ANY (run.schemas) OR n.nspname = 'llm_db'
        UNION ALL
        SELECT c.relowner FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('llm_db')
    ) AS o (owner)
    WHERE NOT pg_has_role(o.owner, 'USAGE');
    IF lacking IS NOT NULL THEN
        CALL pg_temp.llm_db_stop(
            format('%I does not own what is there.', current_user),
            format('connect as %s, or act as it: PGOPTIONS="-c role=..."', lacking)
        );
    END IF;
    IF to_regclass('llm_db._yoyo_migration') IS NULL THEN
        SELECT string_agg(l, '; ') INTO lacking FROM pg_temp.llm_db_rights() AS l;
        IF lacking IS NOT NULL THEN
            CALL pg_temp.llm_db_stop(format('%I lacks rights.', current_user), lacking);
        END IF;
    END IF;
END
$$;

-- At the beginning of each transaction that changes something.
CREATE PROCEDURE pg_temp.llm_db_begin()
LANGUAGE plpgsql
AS $$
BEGIN
    CALL pg_temp.llm_db_clean();
    IF pg_backend_pid() <> (SELECT r.pid FROM pg_temp.llm_db_run AS r) THEN
        CALL pg_temp.llm_db_stop(
            'A pooler in transaction mode stands between psql and the server.', 'connect to the server itself'
        );
    END IF;
    IF to_regclass('llm_db.turn') IS NOT NULL THEN
        BEGIN
            LOCK TABLE llm_db.turn IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
        EXCEPTION WHEN lock_not_available THEN
            CALL pg_temp.llm_db_stop(
                'Another llm-db has begun to work on this database.', 'run this script again when it is done'
            );
        END;
    END IF;
    CALL pg_temp.llm_db_refuse();
END
$$;

-- Makes what is missing. 0.1.0 may have applied some migrations, on a database that has this ledger by now.
CREATE PROCEDURE pg_temp.llm_db_ledger(schema text, tables text, turn text, old_views text)
LANGUAGE plpgsql
AS $$
DECLARE
    present constant text [] := array(
        SELECT t.tablename::text FROM pg_catalog.pg_tables AS t WHERE t.schemaname = 'llm_db'
    );
    lacks boolean := EXISTS (
        SELECT FROM pg_temp.llm_db_run AS r CROSS JOIN unnest(r.ledger) AS l (name) WHERE l.name <> ALL (present)
    );
BEGIN
    IF NOT lacks THEN
        lacks := EXISTS (SELECT FROM llm_db.views);
    END IF;
    IF NOT lacks THEN
        RETURN;
    END IF;
    IF present = '{}' THEN
        EXECUTE schema;
    END IF;
    EXECUTE tables;
    IF 'turn' <> ALL (present) THEN
        EXECUTE turn;
    END IF;
    IF EXISTS (SELECT FROM llm_db.views) THEN
        EXECUTE old_views;
    END IF;
    PERFORM pg_temp.llm_db_adopt(jsonb_agg(jsonb_build_object(
        'migration_id', m.id, 'up_sha256', m.up_sha256, 'down_sha256', m.down_sha256
    )))
    FROM pg_temp.llm_db_migrations AS m;
END
$$;

CREATE PROCEDURE pg_temp.llm_db_end()
LANGUAGE plpgsql
AS $$
DECLARE
    applied constant bigint := (SELECT count(*) FROM pg_temp.llm_db_migrations AS m WHERE m.is_done);
    made constant bigint := (SELECT count(*) FROM pg_temp.llm_db_files AS f WHERE f.is_done);
BEGIN
    IF applied + made = 0 THEN
        RAISE INFO 'There was nothing to do: every migration is applied already, every repeatable is as it should be.';
    ELSE
        RAISE INFO '% migrations applied, % repeatables made; reference data is in.', applied, made;
    END IF;
    PERFORM pg_advisory_unlock(l.id)
    FROM (
        SELECT (k.classid::bigint << 32) + k.objid::bigint AS id FROM pg_locks AS k
        WHERE k.locktype = 'advisory' AND k.pid = pg_backend_pid() AND k.objsubid = 1
    ) AS l
    INNER JOIN pg_temp.llm_db_run AS r ON r.turn = l.id;
END
$$;
