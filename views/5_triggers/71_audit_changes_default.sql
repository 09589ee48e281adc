-- By its own name, too; each month gets its own from audit.create_month().
CREATE OR REPLACE TRIGGER changes_are_not_truncated
BEFORE TRUNCATE ON audit.changes_default
FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
COMMENT ON TRIGGER changes_are_not_truncated ON audit.changes_default IS 'The audit is append-only';
