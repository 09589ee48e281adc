-- needs: 0013.rollups

-- Backfill: months that are new are filled beside llm.sessions and llm.session_logs, where a row costs neither an index
-- nor a trigger, and are attached when they are full. What a row goes through otherwise is done here for all rows at
-- once: keys, indexes, foreign keys, uses of templates, notes for the rollups. Nothing is believed of whoever filled
-- them: the server proves it on the tables.
CREATE OR REPLACE FUNCTION ops.require_new_month(month date, look_in_default boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low uuid;
    high uuid;
    is_there boolean := ops.month_exists(month);
BEGIN
    -- Rows that come with a table are not told to subscribers.
    IF EXISTS (SELECT FROM pg_publication) THEN
        RAISE EXCEPTION 'where there is a publication, months are not filled beside the others'
            USING ERRCODE = 'serialization_failure', HINT = 'Write to llm.sessions and llm.session_logs.';
    END IF;
    IF look_in_default AND NOT is_there THEN
        low := llm.uuidv7_floor(date_trunc('month', month::timestamp) AT TIME ZONE 'UTC');
        high := llm.uuidv7_floor((date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC');
        is_there := EXISTS (SELECT 1 FROM llm.sessions_default AS s WHERE s.session_id >= low AND s.session_id < high)
            OR EXISTS (SELECT 1 FROM llm.session_logs_default AS l WHERE l.session_id >= low AND l.session_id < high);
    END IF;
    IF is_there THEN
        -- A serialization failure, as it may have come while the month was filled.
        RAISE EXCEPTION 'the month % is not new: it is there, or rows of it are in DEFAULT', to_char(month, 'YYYY-MM')
            USING ERRCODE = 'serialization_failure', HINT = 'Write to llm.sessions and llm.session_logs.';
    END IF;
END
$$;
COMMENT ON FUNCTION ops.require_new_month(date, boolean) IS 'Raises serialization_failure where a month, given by any '
    'day of it, has its partitions or, if that is asked for, rows in DEFAULT; also where there is a publication';
REVOKE ALL ON FUNCTION ops.require_new_month(date, boolean) FROM public;

CREATE OR REPLACE FUNCTION llm.begin_months(months date [])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entity text;
    beside text;
    writers text;
    month date;
    part text;
    low uuid;
    high uuid;
BEGIN
    FOREACH entity IN ARRAY ARRAY['sessions', 'session_logs'] LOOP
        beside := entity || '_beside';
        EXECUTE format(
            'CREATE TABLE llm.%I (LIKE llm.%I INCLUDING DEFAULTS INCLUDING GENERATED) PARTITION BY RANGE (session_id)',
            beside, entity
        );
        EXECUTE format('COMMENT ON TABLE llm.%I IS %L', beside, format(
            'Rows of months that llm.attach_months() makes partitions of llm.%s', entity
        ));
        -- Whoever may write to the one may write to the other.
        writers := (
            SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'public' ELSE a.grantee::regrole::text END, ', ')
            FROM pg_catalog.pg_class AS c
            CROSS JOIN aclexplode(c.relacl) AS a
            WHERE c.oid = to_regclass(format('llm.%I', entity)) AND a.privilege_type = 'INSERT'
        );
        IF writers IS NOT NULL THEN
            EXECUTE format('GRANT INSERT ON llm.%I TO %s', beside, writers);
        END IF;
    END LOOP;
    FOREACH month IN ARRAY months LOOP
        PERFORM ops.require_month(month);
        -- Whoever has looked into DEFAULT is in the way of all who make months, and we are only about to begin.
        PERFORM ops.require_new_month(month, false);
    END LOOP;
    FOR month IN SELECT DISTINCT date_trunc('month', m::timestamp)::date FROM unnest(months) AS m LOOP
        low := llm.uuidv7_floor(month::timestamp AT TIME ZONE 'UTC');
        high := llm.uuidv7_floor((month + interval '1 month') AT TIME ZONE 'UTC');
        FOREACH entity IN ARRAY ARRAY['sessions', 'session_logs'] LOOP
            -- With a hyphen where its own name has an underscore: an index gets the name it is to have, but for that.
            part := entity || to_char(month, '_YYYY-MM');
            -- The CHECK says what the bounds will say, so that attaching has nothing to look through.
            EXECUTE format(
                'CREATE TABLE llm.%I (LIKE llm.%I INCLUDING ALL EXCLUDING INDEXES, '
                'CONSTRAINT lies_in_its_month CHECK (session_id >= %L AND session_id < %L))',
                part, entity, low, high
            );
            EXECUTE format(
                'ALTER TABLE llm.%I ATTACH PARTITION llm.%I FOR VALUES FROM (%L) TO (%L)', entity || '_beside', part,
                low, high
            );
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION llm.begin_months(date []) IS 'Makes llm.sessions_beside and llm.session_logs_beside, which take '
    'the rows of these months (UTC), each given by any day of it, until llm.attach_months() makes them part of '
    'llm.sessions and llm.session_logs. Raises where a month is there already. Whoever may INSERT there may INSERT '
    'here. Until the transaction ends nobody else makes or drops a month';
REVOKE ALL ON FUNCTION llm.begin_months(date []) FROM public;

CREATE OR REPLACE FUNCTION ops.index_beside(entity text, part text)
RETURNS void
LANGUAGE plpgsql
-- A million logs are sorted in memory.
SET maintenance_work_mem = '256MB'
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        -- Keys first, in their index they read the rows in the order in which they lie.
        SELECT CASE
            WHEN k.oid IS NOT NULL THEN format('ALTER TABLE llm.%I ADD %s', part, pg_get_constraintdef(k.oid))
            ELSE regexp_replace(
                pg_get_indexdef(i.indexrelid), '^(CREATE (?:UNIQUE )?INDEX) .*? USING ',
                format('\1 ON llm.%I USING ', part)
            )
        END
        FROM pg_catalog.pg_index AS i
        LEFT JOIN pg_catalog.pg_constraint AS k ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
        WHERE i.indrelid = to_regclass(format('llm.%I', entity))
        ORDER BY k.oid, i.indexrelid
    LOOP
        EXECUTE statement;
    END LOOP;
    EXECUTE format('ANALYZE llm.%I', part);
END
$$;
COMMENT ON FUNCTION ops.index_beside(text, text) IS 'Gives a table beside llm.sessions or llm.session_logs the keys '
    'and indexes of these, and statistics';
REVOKE ALL ON FUNCTION ops.index_beside(text, text) FROM public;

CREATE OR REPLACE FUNCTION ops.refer_beside(entity text, part text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER TABLE llm.%I ADD CONSTRAINT %I %s', part, k.conname, pg_get_constraintdef(k.oid))
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = to_regclass(format('llm.%I', entity)) AND k.contype = 'f' AND k.conparentid = 0
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.refer_beside(text, text) IS 'Gives a table beside llm.sessions or llm.session_logs their '
    'foreign keys, each proven for all rows at once';
REVOKE ALL ON FUNCTION ops.refer_beside(text, text) FROM public;

CREATE OR REPLACE FUNCTION ops.note_beside()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before timestamptz;
BEGIN
    -- As a writer's statement does: first its lock, by which a refresh knows of it, and then the look at what is closed.
    LOCK TABLE ONLY llm.sessions, ONLY llm.session_logs IN ROW EXCLUSIVE MODE;
    before := rollup.noted_before();
    PERFORM rollup.note_quarters('logs', ARRAY(
        SELECT DISTINCT rollup.quarter(l.request_time) FROM llm.session_logs_beside AS l WHERE l.request_time < before
    ));
    -- A session is in the rollups from its end on.
    PERFORM rollup.note_quarters('sessions', ARRAY(
        SELECT DISTINCT rollup.quarter(s.start_time) FROM llm.sessions_beside AS s WHERE s.end_time < before
    ));
    PERFORM llm.add_template_uses(u.template_id, u.uses)
    FROM (
        SELECT l.template_id, count(*) AS uses
        FROM llm.session_logs_beside AS l
        WHERE l.template_id IS NOT NULL
        GROUP BY l.template_id
    ) AS u;
END
$$;
COMMENT ON FUNCTION ops.note_beside() IS 'Notes for the rollups, and counts the uses of templates, of all rows beside: '
    'what the triggers on llm.sessions and llm.session_logs do';
REVOKE ALL ON FUNCTION ops.note_beside() FROM public;

CREATE OR REPLACE FUNCTION llm.attach_months()
RETURNS date []
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    months constant date [] := ARRAY(
        SELECT to_date(right(c.relname, 7), 'YYYY-MM')
        FROM pg_catalog.pg_inherits AS i
        INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
        WHERE i.inhparent = to_regclass('llm.sessions_beside')
        ORDER BY c.relname
    );
    entities constant text [] := ARRAY['sessions', 'session_logs'];
    month date;
    entity text;
    part text;
    own text;
    statement text;
BEGIN
    IF months = '{}' THEN
        RAISE EXCEPTION 'no month was begun'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'SELECT llm.begin_months(...) begins with them.';
    END IF;
    -- What takes long comes first, and nobody waits for it.
    FOREACH month IN ARRAY months LOOP
        FOREACH entity IN ARRAY entities LOOP
            PERFORM ops.index_beside(entity, entity || to_char(month, '_YYYY-MM'));
        END LOOP;
    END LOOP;
    FOREACH month IN ARRAY months LOOP
        PERFORM ops.refer_to_sessions(
            'session_logs' || to_char(month, '_YYYY-MM'), 'sessions' || to_char(month, '_YYYY-MM')
        );
    END LOOP;
    PERFORM ops.note_beside();
    -- Foreign keys lock what they refer to: who writes to these tables waits from here on, who refers to them does not.
    PERFORM ops.lock_giving_way(ARRAY(SELECT r || ' IN SHARE ROW EXCLUSIVE MODE' FROM unnest(ops.referred_to()) AS r));
    FOREACH month IN ARRAY months LOOP
        FOREACH entity IN ARRAY entities LOOP
            PERFORM ops.refer_beside(entity, entity || to_char(month, '_YYYY-MM'));
        END LOOP;
    END LOOP;
    PERFORM llm.lock_for_month_change('SHARE ROW EXCLUSIVE', NULL);
    FOREACH month IN ARRAY months LOOP
        PERFORM ops.require_new_month(month, true);
        FOREACH entity IN ARRAY entities LOOP
            part := entity || to_char(month, '_YYYY-MM');
            own := entity || to_char(month, '_YYYY_MM');
            EXECUTE format('ALTER TABLE llm.%I DETACH PARTITION llm.%I', entity || '_beside', part);
            -- Names last: who makes the same month meanwhile is not held up by ours, and the month is not new then.
            EXECUTE format('ALTER TABLE llm.%I RENAME TO %I', part, own);
            FOR statement IN
                SELECT format('ALTER %s llm.%I RENAME TO %I', n.kind, n.name, replace(n.name, part, own))
                FROM (
                    SELECT 'INDEX', c.relname
                    FROM pg_catalog.pg_index AS i
                    INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
                    WHERE i.indrelid = to_regclass(format('llm.%I', own))
                    UNION ALL
                    SELECT 'STATISTICS', e.stxname
                    FROM pg_catalog.pg_statistic_ext AS e
                    WHERE e.stxrelid = to_regclass(format('llm.%I', own))
                ) AS n (kind, name)
            LOOP
                EXECUTE statement;
            END LOOP;
            PERFORM ops.attach_month(entity, month);
            EXECUTE format('ALTER TABLE llm.%I DROP CONSTRAINT lies_in_its_month', own);
        END LOOP;
    END LOOP;
    DROP TABLE llm.session_logs_beside, llm.sessions_beside;
    RETURN months;
END
$$;
COMMENT ON FUNCTION llm.attach_months() IS 'Makes the months that llm.begin_months() began, with the rows that are in'
    ' them, part of llm.sessions and llm.session_logs, as if they had been inserted there: keys, foreign keys and '
    'CHECKs hold, uses of templates are counted, reports are right. Returns the months. Raises, and changes nothing, '
    'where a row breaks a rule, and with serialization_failure where a month is new no longer. Who reads or writes '
    'sessions and logs waits for moments at the end, who writes to users, deployments and the like while foreign keys '
    'are proven';
REVOKE ALL ON FUNCTION llm.attach_months() FROM public;
