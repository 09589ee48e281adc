-- What 0.1.0 applied: its files never change, so their sums are those of the files at hand.
INSERT INTO llm_db.migrations (migration_id, state, up_sha256, down_sha256, applied_by, applied_at)
SELECT
    mark.migration_id, 'applied', file.up_sha256, file.down_sha256, coalesce(log.username, session_user),
    mark.applied_at_utc AT TIME ZONE 'UTC'
FROM jsonb_to_recordset(%(files)s) AS file (migration_id text, up_sha256 text, down_sha256 text)
INNER JOIN llm_db._yoyo_migration AS mark ON mark.migration_id = file.migration_id
LEFT JOIN LATERAL (
    SELECT entry.username
    FROM llm_db._yoyo_log AS entry
    WHERE entry.migration_id = mark.migration_id AND entry.operation = 'apply'
    ORDER BY entry.created_at_utc DESC
    LIMIT 1
) AS log ON true
ON CONFLICT (migration_id) DO NOTHING
