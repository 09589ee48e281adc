-- needs: 0030.audit 0031.retention

-- Upkeep in one call: jobs of one step or many, of which one that fails stops none of the others.
CREATE OR REPLACE FUNCTION ops.maintain_step(job text, step jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep_months constant integer := (SELECT r.keep_months FROM llm.retention AS r WHERE r.what || ' retention' = job);
    month date;
    months date [];
    unusual text;
    many bigint;
BEGIN
    -- What is due is found in a transaction of its own: who changes months must not have read what it locks.
    IF job LIKE '% retention' AND step = '{}' THEN
        IF keep_months IS NULL OR NOT (
            CASE job
                WHEN 'sessions retention' THEN EXISTS (SELECT FROM ops.months_before(ops.retention_border(keep_months)))
                ELSE EXISTS (SELECT FROM audit.months AS m WHERE m.month < ops.retention_border(keep_months))
            END
        ) THEN
            RETURN NULL;
        END IF;
        -- What is dropped by a clock that is years ahead is gone.
        IF NOT EXISTS (
            SELECT 1 FROM llm.sessions AS s
            WHERE s.session_id >= llm.uuidv7_floor(now() - interval '1 month')
                AND s.session_id < llm.uuidv7_floor(now() + interval '1 day')
        ) THEN
            RAISE EXCEPTION 'nothing is dropped: no session began in the month before %, so the clock may be wrong',
                now()
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format(
                    'If the clock is right, %s(%s) drops what is past its retention.',
                    CASE job WHEN 'audit retention' THEN 'SELECT audit' ELSE 'CALL llm' END || '.drop_old_months',
                    keep_months
                );
        END IF;
        RETURN '{"month": "-infinity"}';
    END IF;
    CASE job
        WHEN 'months' THEN
            IF ops.create_next_month(
                ops.months_between(current_date, (current_date + interval '3 months')::date)
            ) THEN
                RETURN step;
            END IF;
        WHEN 'default rows' THEN
            IF step = '{}' THEN
                RETURN jsonb_build_object('months', ARRAY(SELECT d FROM ops.months_in_default() AS d));
            END IF;
            months := ARRAY(SELECT m::date FROM jsonb_array_elements_text(step -> 'months') AS m);
            IF ops.create_next_month(
                ARRAY(SELECT m FROM unnest(months) AS m WHERE llm.is_usual_month(m, current_date))
            ) THEN
                RETURN step;
            END IF;
            -- Nobody is there to ask whether years that nobody expects are meant.
            SELECT string_agg(to_char(m, 'YYYY-MM'), ', ') INTO unusual
            FROM unnest(months) AS m
            WHERE NOT llm.is_usual_month(m, current_date);
            IF unusual IS NOT NULL THEN
                RAISE EXCEPTION 'rows in DEFAULT are more than ten years old or more than one year ahead: %', unusual
                    USING ERRCODE = 'object_not_in_prerequisite_state',
                        HINT = 'If they are meant, CALL llm.move_default_rows() makes their months. If not, correct '
                            'their session_id, or delete them from llm.sessions.';
            END IF;
        WHEN 'refresh' THEN
            step := CASE step
                WHEN '{}' THEN ops.begin_refresh(now() - interval '5 minutes', interval '5 seconds', 200000)
                ELSE ops.refresh_step(step)
            END;
            IF step IS NULL THEN
                RAISE NOTICE 'rolled up until %', (SELECT s.closed_before FROM rollup.state AS s);
            END IF;
            RETURN step;
        WHEN 'template uses' THEN
            many := llm.fold_template_uses();
            IF many > 0 THEN
                RAISE NOTICE 'folded % counters of template uses', many;
            END IF;
        WHEN 'sessions retention' THEN
            month := ops.drop_next_month(keep_months, (step ->> 'month')::date);
            IF month IS NOT NULL THEN
                RETURN jsonb_build_object('month', month);
            END IF;
        WHEN 'audit months' THEN
            many := audit.create_months();
            IF many > 0 THEN
                RAISE NOTICE 'made % months of the audit', many;
            END IF;
        WHEN 'audit retention' THEN
            many := audit.drop_old_months(keep_months);
            IF many > 0 THEN
                RAISE NOTICE 'dropped % months of the audit', many;
            END IF;
    END CASE;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.maintain_step(text, jsonb) IS 'Does the next piece of a job of llm.maintain(), which begins it '
    'with {}, and returns what is to be handed to the one after it; NULL = nothing is left of the job. The caller '
    'commits after each';
REVOKE ALL ON FUNCTION ops.maintain_step(text, jsonb) FROM public;

CREATE OR REPLACE FUNCTION ops.at_work()
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT string_agg(DISTINCT coalesce('pid ' || k.pid, 'a prepared transaction'), ', ')
    FROM pg_catalog.pg_locks AS k
    WHERE k.granted AND k.pid IS DISTINCT FROM pg_backend_pid()
        AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
        -- The locks by which upkeep takes turns: of months, of rollups, and of the audit's months.
        AND (k.relation, k.mode) IN (
            ('llm.sessions_default'::regclass, 'ShareUpdateExclusiveLock'),
            ('rollup.state'::regclass, 'RowShareLock'),
            ('audit.changes'::regclass, 'ShareRowExclusiveLock'),
            ('audit.changes'::regclass, 'AccessExclusiveLock')
        );
END;
COMMENT ON FUNCTION ops.at_work() IS 'Which other sessions are at work on upkeep; NULL = none';
REVOKE ALL ON FUNCTION ops.at_work() FROM public;

-- Of its search_path: 11_create_months.sql.
CREATE OR REPLACE PROCEDURE llm.maintain()
LANGUAGE plpgsql
AS $$
DECLARE
    job pg_catalog.text;
    step pg_catalog.jsonb;
    message pg_catalog.text;
    hint pg_catalog.text;
    others pg_catalog.text;
    in_the_way boolean;
    tried boolean;
    failed pg_catalog.text [];
BEGIN
    SET LOCAL search_path = pg_catalog, pg_temp;
    -- Whoever calls it every minute may call it on both servers, and has nothing to change when the other one takes over.
    IF pg_is_in_recovery() THEN
        RAISE NOTICE 'this server is a standby: upkeep is done on its primary';
        COMMIT;
        RETURN;
    END IF;
    FOREACH job IN ARRAY ARRAY[
        'months', 'default rows', 'refresh', 'template uses', 'sessions retention', 'audit months', 'audit retention'
    ] LOOP
        step := '{}';
        tried := false;
        WHILE step IS NOT NULL LOOP
            BEGIN
                -- It is called again soon, so it waits for nobody for long.
                SET LOCAL lock_timeout = '5s';
                step := ops.maintain_step(job, step);
            EXCEPTION
                WHEN OTHERS THEN
                    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
                    in_the_way := SQLSTATE IN ('55P03', '40P01');
                    others := CASE WHEN in_the_way THEN ops.at_work() END;
                    IF others IS NOT NULL THEN
                        RAISE NOTICE '%: left to %, which is at work', job, others;
                        step := NULL;
                    ELSIF in_the_way AND NOT tried THEN
                        tried := true;  -- who was in the way may have ended just now
                    ELSE
                        RAISE WARNING '%: %', job, message
                            USING ERRCODE = SQLSTATE, HINT = coalesce(
                                nullif(hint, ''),
                                CASE WHEN in_the_way THEN 'pg_stat_activity and pg_prepared_xacts show whose. ' END
                                || 'End that transaction, and CALL llm.maintain() again.',
                                'Remove the cause, and CALL llm.maintain() again.'
                            );
                        failed := failed || job;
                        step := NULL;
                    END IF;
            END;
            COMMIT;
            SET LOCAL search_path = pg_catalog, pg_temp;
        END LOOP;
    END LOOP;
    IF failed <> '{}' THEN
        RAISE EXCEPTION 'jobs that failed: %', array_to_string(failed, ', ')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'A WARNING above says why of each. The other jobs are done.';
    END IF;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE llm.maintain() IS 'Does what is due: this month and the next three, rows in DEFAULT, a refresh of '
    'the rollups, folding of template uses, the months of the audit, and what llm.retention says. Run it every minute, '
    'from as many places as you like, outside of a transaction: what one is at work on, another leaves. A job that '
    'fails is told in a WARNING, the others go on, and the call ends with an error that names those that failed. On a '
    'standby it does nothing';
REVOKE ALL ON PROCEDURE llm.maintain() FROM public;
