-- depends: 0009.session-times 0010.log-times

-- Every row of both tables is read, while others read and write them as before. Only changes of months wait: for up to
-- 60 seconds, then they give up and can be called again. Old rows that break a rule stay as they are, and the rule
-- stays NOT VALID: nothing new breaks it, reports take such a number for not known, and `llm-db check` goes on naming
-- it.
DO $$
DECLARE
    rule record;
BEGIN
    FOR rule IN
        SELECT c.conname, c.conrelid::regclass AS entity, pg_get_expr(c.conbin, c.conrelid) AS claim
        FROM pg_constraint AS c
        WHERE c.conrelid IN ('llm.sessions'::regclass, 'llm.session_logs'::regclass) AND NOT c.convalidated
            AND c.conname IN (
                'sessions_session_id_within_year_9999', 'sessions_times_within_2000_to_2099',
                'session_logs_request_time_within_2000_to_2099',
                'session_logs_response_within_a_week', 'session_logs_token_used_at_most_100_million'
            )
        -- In one order with every writer of both tables: sessions first.
        ORDER BY c.conrelid = 'llm.session_logs'::regclass, c.conname
    LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', rule.entity, rule.conname);
        EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'rows of % break %; they stay, and the rule is not validated', rule.entity, rule.conname
                USING HINT = format(
                    'SELECT * FROM %s WHERE NOT (%s) lists them. Correct them, then ALTER TABLE %1$s VALIDATE CONSTRAINT %I',
                    rule.entity, rule.claim, rule.conname
                );
        END;
    END LOOP;
END
$$;
