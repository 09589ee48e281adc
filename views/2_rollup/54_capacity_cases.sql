-- The one place that says when a deployment has too much, or too little. A GPU that serves one request at a time is
-- full at 1, and requests wait for each other long before; one that serves several at once carries more.
CREATE OR REPLACE FUNCTION rollup.capacity_case(utilisation double precision)
RETURNS text
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN utilisation < 0.1 THEN 'idle'
    WHEN utilisation > 0.8 THEN 'overloaded'
    WHEN utilisation IS NOT NULL THEN 'fine'
END;
COMMENT ON FUNCTION rollup.capacity_case(double precision) IS 'Of busy hours against GPU hours: idle below 0.1, '
    'overloaded above 0.8, else fine; NULL = no GPU was held';
REVOKE ALL ON FUNCTION rollup.capacity_case(double precision) FROM public;
GRANT EXECUTE ON FUNCTION rollup.capacity_case(double precision) TO llm_analyst;

CREATE OR REPLACE VIEW rollup.capacity_cases AS
SELECT
    c.code,
    c.label_ko,
    c.label_en
FROM (
    VALUES
    ('idle', '유휴: GPU를 줄이거나 다른 모델과 함께 쓴다', 'Idle: fewer GPUs, or share them with another model'),
    ('fine', '적정', 'Fine'),
    (
        'overloaded', '과부하: 처리 시간을 확인하고 GPU나 배포를 늘린다',
        'Overloaded: look at latency, add GPUs or another deployment'
    )
) AS c (code, label_ko, label_en);
COMMENT ON VIEW rollup.capacity_cases IS '여유 유형: what rollup.capacity_case() tells, in words, and what to do';
COMMENT ON COLUMN rollup.capacity_cases.code IS '코드: of rollup.capacity_case()';
COMMENT ON COLUMN rollup.capacity_cases.label_ko IS '한국어 이름: what it means, and what to do';
COMMENT ON COLUMN rollup.capacity_cases.label_en IS '영어 이름: what it means, and what to do';
