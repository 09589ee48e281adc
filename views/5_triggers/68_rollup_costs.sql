-- needs: 0039.rates-and-budgets
-- Each with a name for the rows that rollup.forget_costs() looks at.
CREATE OR REPLACE TRIGGER deployment_usage_additions_forget_costs
AFTER INSERT ON rollup.deployment_usage
REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION rollup.forget_costs();
COMMENT ON TRIGGER deployment_usage_additions_forget_costs ON rollup.deployment_usage IS 'The costs of these days are '
    'worked out again';
CREATE OR REPLACE TRIGGER deployment_usage_changes_forget_costs
AFTER UPDATE ON rollup.deployment_usage
REFERENCING OLD TABLE AS changed NEW TABLE AS changed_to
FOR EACH STATEMENT EXECUTE FUNCTION rollup.forget_costs();
COMMENT ON TRIGGER deployment_usage_changes_forget_costs ON rollup.deployment_usage IS 'The costs of these days are '
    'worked out again';
CREATE OR REPLACE TRIGGER deployment_usage_removals_forget_costs
AFTER DELETE ON rollup.deployment_usage
REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION rollup.forget_costs();
COMMENT ON TRIGGER deployment_usage_removals_forget_costs ON rollup.deployment_usage IS 'The costs of these days are '
    'worked out again';
CREATE OR REPLACE TRIGGER deployment_usage_truncation_forgets_costs
AFTER TRUNCATE ON rollup.deployment_usage
FOR EACH STATEMENT EXECUTE FUNCTION rollup.forget_costs();
COMMENT ON TRIGGER deployment_usage_truncation_forgets_costs ON rollup.deployment_usage IS 'The costs of all days are '
    'worked out again';
CREATE OR REPLACE TRIGGER costs_truncation_forgets_costs
AFTER TRUNCATE ON rollup.costs
FOR EACH STATEMENT EXECUTE FUNCTION rollup.forget_costs();
COMMENT ON TRIGGER costs_truncation_forgets_costs ON rollup.costs IS 'The costs of all days are worked out again';
CREATE OR REPLACE TRIGGER user_costs_truncation_forgets_costs
AFTER TRUNCATE ON rollup.user_costs
FOR EACH STATEMENT EXECUTE FUNCTION rollup.forget_costs();
COMMENT ON TRIGGER user_costs_truncation_forgets_costs ON rollup.user_costs IS 'The costs of all days are worked out '
    'again';
