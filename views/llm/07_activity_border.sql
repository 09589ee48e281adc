CREATE OR REPLACE VIEW llm.activity_border AS
SELECT least(s.activity_before, (SELECT min(t.day) FROM llm.touched_days('logs') AS t)) AS from_day
FROM llm.rollup_state AS s;
COMMENT ON VIEW llm.activity_border IS '활동 집계 경계: from which day on llm.rollup_activity may not be right';
COMMENT ON COLUMN llm.activity_border.from_day IS '일자: the first such day, in the reporting time zone';
