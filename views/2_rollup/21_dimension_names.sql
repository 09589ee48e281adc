CREATE OR REPLACE VIEW rollup.dimension_names AS
SELECT
    'config'::rollup.dimension AS dimension,
    c.config_id AS key,
    m.model_name || ' ' || c.config_name AS name
FROM llm.model_configs AS c
INNER JOIN llm.models AS m ON c.model_id = m.model_id
UNION ALL
SELECT 'department', d.department_id, d.department_name FROM llm.departments AS d
UNION ALL
SELECT 'deployment', e.deployment_id, e.server_name FROM llm.deployments AS e
UNION ALL
SELECT 'model', m.model_id, m.model_name FROM llm.models AS m
UNION ALL
SELECT 'project', p.project_id, p.project_name FROM llm.projects AS p
UNION ALL
SELECT 'template', t.template_id, t.template_name || ' ' || t.version FROM llm.prompt_templates_base AS t;
COMMENT ON VIEW rollup.dimension_names IS '이름: what the keys of rollup.usage are called where reports mix dimensions';
COMMENT ON COLUMN rollup.dimension_names.dimension IS '구분: what key means';
COMMENT ON COLUMN rollup.dimension_names.key IS '고유 식별자: the dimension''s own key, such as model_id';
COMMENT ON COLUMN rollup.dimension_names.name IS '이름: of a preset with its model, of a template with its version';

-- Versions are compared part by part as numbers: as text, 1.9 would come after 1.10.
CREATE OR REPLACE VIEW rollup.template_versions AS
SELECT
    t.template_id,
    t.template_name,
    first_value(t.version) OVER newest_first AS newest_version,
    row_number() OVER newest_first = 1 AS is_newest
FROM llm.prompt_templates_base AS t
WINDOW newest_first AS (
    PARTITION BY t.template_name
    ORDER BY string_to_array(t.version, '.')::numeric [] DESC, t.template_id DESC
);
COMMENT ON VIEW rollup.template_versions IS '템플릿 버전: which version of a template is the newest; one row per version';
COMMENT ON COLUMN rollup.template_versions.template_id IS '템플릿 고유 식별자: 템플릿의 버전 | '
    'Template ID: the version of the template';
COMMENT ON COLUMN rollup.template_versions.template_name IS '템플릿명: 템플릿의 용도를 나타내는 이름, 모든 버전이 같다 | '
    'Template: what the template is for; the same in all versions';
COMMENT ON COLUMN rollup.template_versions.newest_version IS '최신 버전: 지금 가장 높은 버전, 마디마다 숫자로 비교 | '
    'Newest version: the highest version there is now, compared part by part as numbers';
COMMENT ON COLUMN rollup.template_versions.is_newest IS '최신 버전 여부: 템플릿의 가장 높은 버전인지. 버전은 마디마다 숫자로 비교한다: 1.10은 1.9보다 높다. '
    'template_name마다 정확히 하나 | '
    'Newest version: whether this is the highest version of the template, compared part by part as numbers: 1.10 is '
    'newer than 1.9. Exactly one per template_name';
