CREATE OR REPLACE VIEW reporting.unused_template_versions AS
SELECT
    t.template_id,
    t.template_name,
    t.version,
    t.is_newest,
    t.task_category,
    t.task_category_ko,
    t.task_category_en,
    t.created_at,
    t.created_by,
    t.created_by_name,
    CASE WHEN t.usage_count = 0 THEN '사용된 적 없음' ELSE '90일간 미사용' END AS reason_ko,
    CASE WHEN t.usage_count = 0 THEN 'Never used' ELSE 'Not used for 90 days' END AS reason_en,
    t.usage_count,
    t.last_request_time,
    extract(DAY FROM now() - coalesce(t.last_request_time, t.created_at))::integer AS unused_days
FROM reporting.template_usage AS t
WHERE t.last_request_time IS NULL OR t.last_request_time < now() - interval '90 days';
COMMENT ON VIEW reporting.unused_template_versions IS '미사용 템플릿 버전: 90일 동안 또는 한 번도 사용되지 않은 버전; 버전마다 한 행. 최신 버전도 있을 수 '
    '있다: created_at 참고 | '
    'Unused template versions: versions that nobody has used for 90 days, or ever; one row per version. The newest '
    'version may be among them: see created_at';
CALL ops.describe('reporting.unused_template_versions', 'reporting.template_usage');
COMMENT ON COLUMN reporting.unused_template_versions.reason_ko IS '사유: 여기 있는 이유(한국어) | '
    'Reason: why it is here, in Korean';
COMMENT ON COLUMN reporting.unused_template_versions.reason_en IS '사유: 여기 있는 이유(영어) | '
    'Reason: why it is here, in English';
COMMENT ON COLUMN reporting.unused_template_versions.last_request_time IS '마지막 요청 시간: 마지막 사용; NULL = 없거나 삭제됨 | '
    'Last request: last use; NULL = none, or deleted';
COMMENT ON COLUMN reporting.unused_template_versions.unused_days IS '미사용 일수: last_request_time 이후, 없으면 created_at 이후 '
    '지난 일수, 만으로 센다 | '
    'Unused days: whole days since last_request_time, or since created_at where there is none';

GRANT SELECT ON reporting.unused_template_versions TO llm_analyst;
