-- needs: 0027.turns-and-grants

-- A log without log_sequence gets the next number of its session, and no number twice: who appends locks the session's
-- row to the end of the transaction. For one session that is all. The rows of several sessions come in any order, and
-- two transactions that lock the same ones in opposite orders would wait for each other. So only one transaction at a
-- time may lock a second session, a third, ...: the one that has the turn, which is the lock of llm.append_turn.
--
-- Who waits for the turn has locked one session already, its first, and the one that has the turn may need that one. It
-- does not wait for it: whoever queues for the turn says up to which number its first session is taken, and the other
-- goes on from there. So who has the turn waits for those only who do not wait for anything of ours. If the one that
-- queued rolls back, the numbers it had taken stay free.
CREATE OR REPLACE FUNCTION llm.lock_another_session(first_session text, another uuid)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    timeout_before constant text := current_setting('lock_timeout');
    give_up_at constant timestamptz := clock_timestamp() + nullif(timeout_before, '0')::interval;
    patience_ms integer := 1;
    taken integer;
BEGIN
    -- What is not committed cannot be seen, but what is locked can: "this session, up to this number", as an advisory
    -- lock. It stops nobody, and is believed of those only who queue for the turn.
    IF first_session ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        PERFORM pg_try_advisory_xact_lock_shared(uuid_hash(l.session_id), max(l.log_sequence))
        FROM llm.session_logs AS l
        WHERE l.session_id = first_session::uuid
        GROUP BY l.session_id;
    END IF;
    LOCK TABLE llm.append_turn IN SHARE UPDATE EXCLUSIVE MODE;
    LOOP
        PERFORM FROM llm.sessions WHERE session_id = another FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            RETURN 0;
        END IF;
        -- One look at pg_locks. Between two, a process may end the transaction of which the first look has seen the
        -- number, and queue in its next one.
        taken := (
            SELECT max(q.taken)
            FROM (
                SELECT
                    max(k.objid::bigint) FILTER (
                        WHERE k.locktype = 'advisory' AND k.objsubid = 2
                            AND k.classid = (uuid_hash(another)::bigint & 4294967295)::oid
                    ) AS taken
                FROM pg_catalog.pg_locks AS k
                GROUP BY k.pid
                HAVING bool_or(
                    k.locktype = 'relation' AND k.relation = 'llm.append_turn'::regclass AND NOT k.granted
                    AND k.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
                )
            ) AS q
        );
        IF taken IS NOT NULL THEN
            RETURN taken;
        END IF;
        -- Somebody else has it, and may yet come to queue for the turn, behind us: whoever has waited for
        -- deadlock_timeout by then would take that for a deadlock if we waited too. So we look again and again, and only
        -- where the session is never free, as others queue for it, we queue for moments.
        IF patience_ms < 100 THEN
            PERFORM pg_sleep(patience_ms / 1000.0);
            patience_ms := 2 * patience_ms;
            IF clock_timestamp() > give_up_at THEN
                RAISE EXCEPTION 'session % is locked by another transaction', another
                    USING ERRCODE = 'lock_not_available';
            END IF;
            CONTINUE;
        END IF;
        BEGIN
            PERFORM set_config('lock_timeout', patience_ms || 'ms', true);
            PERFORM FROM llm.sessions WHERE session_id = another FOR NO KEY UPDATE;
            PERFORM set_config('lock_timeout', timeout_before, true);
            -- Or there is no such session, as the foreign key will say.
            RETURN 0;
        EXCEPTION
            WHEN lock_not_available THEN
                IF clock_timestamp() > give_up_at THEN
                    RAISE;
                END IF;
                patience_ms := 1;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION llm.lock_another_session(text, uuid) IS 'Locks a session for a transaction that has locked others, '
    'without ever being part of a deadlock of such transactions. Returns up to which number its logs are taken by one '
    'that is not committed; 0 = there is none';
REVOKE ALL ON FUNCTION llm.lock_another_session(text, uuid) FROM public;

CREATE OR REPLACE FUNCTION llm.assign_log_sequence()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Of this transaction: nothing, the one session it has locked, or "several".
    locked text := current_setting('llm.locked_sessions', true);
    taken integer := 0;
BEGIN
    -- Appends to one session take turns on its row; other sessions are not touched. The lock is held to the end of
    -- the transaction, so the statement below, with a snapshot of its own, sees every number given out before.
    IF locked <> '' AND locked <> NEW.session_id::text THEN
        taken := llm.lock_another_session(locked, NEW.session_id);
        locked := set_config('llm.locked_sessions', 'several', true);
    ELSE
        PERFORM FROM llm.sessions WHERE session_id = NEW.session_id FOR NO KEY UPDATE;
        locked := set_config('llm.locked_sessions', NEW.session_id::text, true);
    END IF;
    SELECT greatest(max(log_sequence), taken) INTO taken
    FROM llm.session_logs
    WHERE session_id = NEW.session_id;
    IF taken = 2147483647 THEN
        RAISE EXCEPTION 'session % has no log_sequence left after %', NEW.session_id, taken
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, SCHEMA = 'llm', TABLE = 'session_logs',
                HINT = 'Log into a new session, or give log_sequence, a number that is free.';
    END IF;
    NEW.log_sequence := taken + 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION llm.assign_log_sequence() IS 'Trigger: gives a log without log_sequence the next one of its '
    'session. Under REPEATABLE READ a concurrent append fails with a unique violation, to be retried, as its '
    'snapshot cannot see the other. Runs as its owner, to lock the session';
REVOKE ALL ON FUNCTION llm.assign_log_sequence() FROM public;
