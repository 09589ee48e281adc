-- needs: 0036.dropped-months
CREATE OR REPLACE TRIGGER slowest_remember_their_month
BEFORE UPDATE OF month ON rollup.slowest
FOR EACH ROW WHEN (OLD.month IS NOT NULL AND NEW.month IS NULL)
EXECUTE FUNCTION ops.keep_dropped_month();
COMMENT ON TRIGGER slowest_remember_their_month ON rollup.slowest IS 'When the month comes back, its sums go';
