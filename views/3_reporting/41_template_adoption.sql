CREATE OR REPLACE VIEW reporting.template_adoption AS
SELECT
    r.day AS request_day,
    t.template_name,
    t.newest_version,
    rollup.bigint_sum(r.requests) AS requests,
    coalesce(rollup.bigint_sum(r.requests) FILTER (WHERE t.is_newest), 0) AS newest_requests,
    coalesce(rollup.bigint_sum(r.requests) FILTER (WHERE t.is_newest), 0)::double precision
    / rollup.bigint_sum(r.requests) AS newest_share
FROM rollup.usage_rows AS r
INNER JOIN rollup.template_versions AS t ON r.key = t.template_id
WHERE r.dimension = 'template'
GROUP BY r.day, t.template_name, t.newest_version;
COMMENT ON VIEW reporting.template_adoption IS '최신 템플릿 채택: 템플릿의 사용 가운데 최신 버전의 비중; 요청이 있는 일자와 템플릿마다 한 행. 최신은 지금의 최신이므로 '
    '그 버전 이전의 날은 0이다 | '
    'Adoption of the newest template: how much of a template''s use is of its newest version; one row per day and '
    'template with requests. Newest is what is newest now, so the days before it show 0';
CALL ops.describe('reporting.template_adoption', 'rollup.template_versions', 'reporting.requests');
COMMENT ON COLUMN reporting.template_adoption.requests IS '요청 수: 템플릿의 어느 버전이든 사용한 요청 | '
    'Requests: requests that used any version of the template';
COMMENT ON COLUMN reporting.template_adoption.newest_requests IS '최신 버전 요청 수: newest_version을 사용한 요청 | '
    'Requests of newest version: those that used newest_version';
COMMENT ON COLUMN reporting.template_adoption.newest_share IS '최신 버전 비율: newest_requests를 requests로 나눈 값, 0~1 | '
    'Share of newest version: newest_requests / requests, 0 to 1';

GRANT SELECT ON reporting.template_adoption TO llm_analyst;
