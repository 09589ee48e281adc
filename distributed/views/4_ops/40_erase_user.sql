-- instead of: views/4_ops/40_erase_user.sql

-- A row as text is not the same for every session, and Citus changes rows of shards by what is the same only. Of a log,
-- its texts are enough.
DO $$
DECLARE
    ours constant text := pg_get_functiondef('ops.erase_person(bigint, text[])'::regprocedure);
    changed constant text := replace(
        ours,
        '''(%s OR position($4 IN t::text) > 0)'', coalesce(place.of_user, ''false'')',
        '''(%s OR position($4 IN %s) > 0)'', coalesce(place.of_user, ''false''), CASE place.relation::text '
        'WHEN ''llm.session_logs'' THEN '
        '''coalesce(t.request_prompt_s3_path, '''''''') || '''' '''' || coalesce(t.response_s3_path, '''''''')'' '
        'ELSE ''t::text'' END'
    );
BEGIN
    IF changed = ours THEN
        RAISE EXCEPTION 'ops.erase_person() of one node has changed' USING HINT = 'Change this file with it.';
    END IF;
    EXECUTE changed;
END
$$;
