-- needs: 0029.roles

-- Who writes requests, llm_app, also completes them: when one ended, its tokens, where its answer lies. It may update
-- these columns only, so it cannot move a session to another user; and by this trigger it fills them in and does not
-- write them over, also where an UPDATE has lost its WHERE. Whoever may correct a row can update the column that it
-- begins with too, and is let through: the owner, llm-db load, a role of the DBA's with UPDATE on the table.
CREATE OR REPLACE FUNCTION llm.refuse_rewriting()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF has_column_privilege(TG_ARGV[0], TG_ARGV[1], 'UPDATE') THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% may fill in what is not known yet of %, and not write over what is', current_user, TG_ARGV[0]
        USING ERRCODE = 'insufficient_privilege',
            DETAIL = format(
                'Of session %s%s it is known already.', OLD.session_id, ' log ' || (to_jsonb(OLD) ->> 'log_sequence')
            ),
            HINT = format(
                'Leave such rows out, with a WHERE such as end_time IS NULL or token_used IS NULL. Who corrects them '
                'needs UPDATE on %s.%s too.', TG_ARGV[0], TG_ARGV[1]
            );
END
$$;
COMMENT ON FUNCTION llm.refuse_rewriting() IS 'Trigger: refuses, with insufficient_privilege, that somebody who may '
    'update some columns only writes over what is known. Its arguments: the table, and the column whose UPDATE makes '
    'the difference. Runs as who updates';
REVOKE ALL ON FUNCTION llm.refuse_rewriting() FROM public;
