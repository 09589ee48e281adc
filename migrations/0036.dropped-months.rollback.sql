ALTER TABLE rollup.sessions DROP COLUMN dropped_month;
ALTER TABLE rollup.slowest DROP COLUMN dropped_month;
ALTER TABLE rollup.hours DROP COLUMN dropped_month;
ALTER TABLE rollup.usage DROP COLUMN dropped_month;
