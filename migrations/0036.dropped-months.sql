-- depends: 0035.s3-paths-at-once

-- A month that was dropped may come back, from an archive: then its sums must go, or it would count twice.
ALTER TABLE rollup.usage ADD COLUMN dropped_month date NULL;
COMMENT ON COLUMN rollup.usage.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored, or went before migration 0036';
ALTER TABLE rollup.hours ADD COLUMN dropped_month date NULL;
COMMENT ON COLUMN rollup.hours.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored, or went before migration 0036';
ALTER TABLE rollup.slowest ADD COLUMN dropped_month date NULL;
COMMENT ON COLUMN rollup.slowest.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored, or went before migration 0036';
ALTER TABLE rollup.sessions ADD COLUMN dropped_month date NULL;
COMMENT ON COLUMN rollup.sessions.dropped_month IS 'The month (UTC) that was dropped with what this sums up, '
    'and may come back; NULL = that is stored, or went before migration 0036';
