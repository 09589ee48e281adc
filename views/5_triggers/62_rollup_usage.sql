-- needs: 0036.dropped-months
CREATE OR REPLACE TRIGGER usage_remember_their_month
BEFORE UPDATE OF month ON rollup.usage
FOR EACH ROW WHEN (OLD.month IS NOT NULL AND NEW.month IS NULL)
EXECUTE FUNCTION ops.keep_dropped_month();
COMMENT ON TRIGGER usage_remember_their_month ON rollup.usage IS 'When the month comes back, its sums go';
