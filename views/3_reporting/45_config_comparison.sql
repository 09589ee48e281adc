CREATE OR REPLACE VIEW reporting.config_comparison AS
SELECT
    c.model_id,
    m.model_name,
    c.config_id,
    c.config_name,
    c.max_tokens,
    c.temperature::double precision AS temperature,
    c.top_p::double precision AS top_p,
    c.top_k,
    coalesce(l.requests, 0) AS requests,
    coalesce(l.answered_requests, 0) AS answered_requests,
    coalesce(l.requests_without_tokens, 0) AS requests_without_tokens,
    coalesce(l.tokens, 0) AS tokens,
    l.mean_tokens,
    coalesce(l.at_max_tokens_requests, 0) AS at_max_tokens_requests,
    CASE WHEN c.max_tokens IS NOT NULL THEN
        l.at_max_tokens_requests / nullif(l.requests - l.requests_without_tokens, 0)::double precision
    END AS at_max_tokens_share,
    l.latency_p50_ms,
    l.latency_p95_ms,
    l.latency_p99_ms,
    coalesce(l.last_30_days_requests, 0) AS last_30_days_requests,
    l.last_request_time
FROM llm.model_configs AS c
INNER JOIN llm.models AS m ON c.model_id = m.model_id
LEFT JOIN rollup.usage_totals AS l ON l.dimension = 'config' AND c.config_id = l.key;
COMMENT ON VIEW reporting.config_comparison IS '모델 설정 비교: 각 모델의 설정들과 전체 기간의 사용을 나란히 비교, 설정마다 한 행, 사용된 적 없어도 포함 | '
    'Comparison of presets: the presets of each model side by side with their use of all time; one row per preset, '
    'also when never used';
CALL ops.describe('reporting.config_comparison', 'reporting.requests', 'rollup.usage_totals');
COMMENT ON COLUMN reporting.config_comparison.config_name IS '설정명: 설정의 용도를 나타내는 이름, 같은 모델 안에서 유일 | '
    'Preset: what the preset is for, unique within its model';
COMMENT ON COLUMN reporting.config_comparison.max_tokens IS '최대 토큰 수: 응답의 최대 길이, 토큰 단위; NULL = 엔진 기본값 | '
    'Max tokens: longest answer, in tokens; NULL = engine default';
COMMENT ON COLUMN reporting.config_comparison.temperature IS '온도 파라미터: 0.0(일관성)~2.0(창의성); NULL = 엔진 기본값 | '
    'Temperature: 0.0 (consistent) to 2.0 (creative); NULL = engine default';
COMMENT ON COLUMN reporting.config_comparison.top_p IS '누적 확률 임계값: 누적 확률이 이 값이 될 때까지의 토큰에서 선택, 0 초과 1 이하; NULL = 엔진 '
    '기본값 | '
    'Top p: nucleus sampling, above 0 up to 1; NULL = engine default';
COMMENT ON COLUMN reporting.config_comparison.top_k IS '상위 k개 제한: 확률이 높은 상위 k개의 토큰에서 선택; NULL = 엔진 기본값 | '
    'Top k: sample from the k likeliest tokens; NULL = engine default';
COMMENT ON COLUMN reporting.config_comparison.model_id IS '모델 고유 식별자: 설정이 속한 모델 | '
    'Model ID: the model the preset is for';
COMMENT ON COLUMN reporting.config_comparison.config_id IS '설정 고유 식별자: 모델 설정 | Preset ID: the preset';
COMMENT ON COLUMN reporting.config_comparison.at_max_tokens_share IS '최대 토큰 도달 비율: token_used가 기록된 요청 가운데 '
    'at_max_tokens_requests의 비율, 0~1; NULL = max_tokens가 없거나 기록된 토큰 수가 없음. token_used는 입력과 출력의 합이고 max_tokens는 출력만 '
    '제한하므로, 실제로 잘린 응답은 이보다 많지 않고 더 적을 수 있다 | '
    'Share at max tokens: at_max_tokens_requests among those whose token_used is known, 0 to 1; NULL = no max_tokens, '
    'or none known. token_used is input plus output and max_tokens limits the output, so no more answers than this '
    'were cut off, but fewer may have been';

GRANT SELECT ON reporting.config_comparison TO llm_analyst;
