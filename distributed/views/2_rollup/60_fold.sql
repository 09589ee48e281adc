-- instead of: views/2_rollup/60_fold.sql

CREATE OR REPLACE FUNCTION cluster.collect_notes()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    note record;
BEGIN
    FOR note IN
        SELECT n.note_id, n.entity, n.from_time, n.until_time, n.session_id FROM cluster.notes AS n
    LOOP
        INSERT INTO cluster.collected (note_id) VALUES (note.note_id) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            INSERT INTO rollup.notes (entity, from_time, until_time, session_id)
            VALUES (note.entity, note.from_time, note.until_time, note.session_id);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION cluster.collect_notes() IS 'Copies the shards'' notes to rollup.notes, each once';
REVOKE ALL ON FUNCTION cluster.collect_notes() FROM public;

-- What one node does, once the notes are here.
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('rollup.cut_notes()'::regprocedure), ' rollup.cut', ' cluster.cut');
END
$$;
COMMENT ON FUNCTION cluster.cut_notes() IS 'rollup.cut_notes() of one node';
REVOKE ALL ON FUNCTION cluster.cut_notes() FROM public;
CREATE OR REPLACE FUNCTION rollup.cut_notes()
RETURNS TABLE (entity text, day date)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cluster.collect_notes();
    RETURN QUERY SELECT c.entity, c.day FROM cluster.cut_notes() AS c;
END
$$;
