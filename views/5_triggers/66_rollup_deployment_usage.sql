-- needs: 0038.deployment-usage
CREATE OR REPLACE TRIGGER deployment_usage_remember_their_month
BEFORE UPDATE OF month ON rollup.deployment_usage
FOR EACH ROW WHEN (OLD.month IS NOT NULL AND NEW.month IS NULL)
EXECUTE FUNCTION ops.keep_dropped_month();
COMMENT ON TRIGGER deployment_usage_remember_their_month ON rollup.deployment_usage IS 'When the month comes back, its '
    'sums go';
