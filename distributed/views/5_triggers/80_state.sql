-- On a cluster only.
CREATE OR REPLACE TRIGGER state_is_told_to_shards
AFTER UPDATE OF noted_before ON rollup.state
FOR EACH ROW WHEN (OLD.noted_before IS DISTINCT FROM NEW.noted_before)
EXECUTE FUNCTION cluster.tell_shards();
COMMENT ON TRIGGER state_is_told_to_shards ON rollup.state IS 'Writers look at it on their own server';
