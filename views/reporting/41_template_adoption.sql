CREATE OR REPLACE VIEW reporting.template_adoption AS
SELECT
    r.day AS request_day,
    t.template_name,
    n.version AS newest_version,
    sum(r.requests)::bigint AS requests,
    coalesce(sum(r.requests) FILTER (WHERE t.is_newest), 0)::bigint AS newest_requests,
    coalesce(sum(r.requests) FILTER (WHERE t.is_newest), 0)::double precision / sum(r.requests)::double precision
    AS newest_share
FROM llm.usage_rows AS r
INNER JOIN reporting.template_usage AS t ON r.key = t.template_id
INNER JOIN reporting.template_usage AS n ON t.template_name = n.template_name AND n.is_newest
WHERE r.dimension = 'template'
GROUP BY r.day, t.template_name, n.version;
COMMENT ON VIEW reporting.template_adoption IS '최신 템플릿 채택: how much of a template''s use is of its newest version; one '
    'row per day and template with requests. Newest is what is newest now, so the days before it show 0';
COMMENT ON COLUMN reporting.template_adoption.request_day IS '일자: the day in the reporting time zone';
COMMENT ON COLUMN reporting.template_adoption.template_name IS '템플릿명: what the template is for; the same in all '
    'versions';
COMMENT ON COLUMN reporting.template_adoption.newest_version IS '최신 버전: the highest version there is now, compared '
    'part by part as numbers';
COMMENT ON COLUMN reporting.template_adoption.requests IS '요청 수: requests that used any version of the template';
COMMENT ON COLUMN reporting.template_adoption.newest_requests IS '최신 버전 요청 수: those that used newest_version';
COMMENT ON COLUMN reporting.template_adoption.newest_share IS '최신 버전 비율: newest_requests / requests, 0 to 1';

GRANT SELECT ON reporting.template_adoption TO llm_analyst;
