CREATE OR REPLACE FUNCTION reporting.time_zone()
RETURNS text
LANGUAGE sql
STABLE
SECURITY DEFINER
RETURN coalesce((SELECT s.time_zone FROM rollup.state AS s), rollup.state_is_lost(NULL::text));
COMMENT ON FUNCTION reporting.time_zone() IS '보고 시간대: 보고서의 일자와 시간이 따르는 시간대 | '
    'Reporting time zone: whose days and hours the reports count in, such as Asia/Seoul';
REVOKE ALL ON FUNCTION reporting.time_zone() FROM public;
GRANT EXECUTE ON FUNCTION reporting.time_zone() TO llm_analyst;
