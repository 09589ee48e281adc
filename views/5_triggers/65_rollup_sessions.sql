-- needs: 0036.dropped-months
CREATE OR REPLACE TRIGGER sessions_remember_their_month
BEFORE UPDATE OF month ON rollup.sessions
FOR EACH ROW WHEN (OLD.month IS NOT NULL AND NEW.month IS NULL)
EXECUTE FUNCTION ops.keep_dropped_month();
COMMENT ON TRIGGER sessions_remember_their_month ON rollup.sessions IS 'When the month comes back, its sums go';
