CREATE OR REPLACE TRIGGER changes_stay_as_they_are
BEFORE UPDATE OR DELETE ON audit.changes
FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
COMMENT ON TRIGGER changes_stay_as_they_are ON audit.changes IS 'The audit is append-only';

CREATE OR REPLACE TRIGGER changes_are_not_truncated
BEFORE TRUNCATE ON audit.changes
FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
COMMENT ON TRIGGER changes_are_not_truncated ON audit.changes IS 'The audit is append-only';
