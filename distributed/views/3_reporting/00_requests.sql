-- instead of: views/3_reporting/00_requests.sql

-- Citus joins logs with what lies on the coordinator when that is a table or a view, not for each row anew.
CREATE OR REPLACE VIEW reporting.requests AS
SELECT
    l.session_id,
    l.log_sequence,
    l.request_time,
    l.response_time,
    (rollup.known_time(l.request_time) AT TIME ZONE z.time_zone)::date AS request_day,
    date_trunc('hour', rollup.known_time(l.request_time) AT TIME ZONE z.time_zone) AS request_hour,
    (extract(EPOCH FROM l.latency) * 1000)::double precision AS latency_ms,
    l.token_used,
    s.session_type,
    st.label_ko AS session_type_ko,
    st.label_en AS session_type_en,
    s.status AS session_status,
    ss.label_ko AS session_status_ko,
    ss.label_en AS session_status_en,
    s.user_id,
    u.user_name || shown.yes AS user_name,
    u.user_email || shown.yes AS user_email,
    u.role AS user_role,
    ur.label_ko AS user_role_ko,
    ur.label_en AS user_role_en,
    h.department_id,
    hd.department_name,
    s.project_id,
    p.project_name,
    p.department_id AS project_department_id,
    pd.department_name AS project_department_name,
    l.deployment_id,
    e.server_name,
    e.environment,
    en.label_ko AS environment_ko,
    en.label_en AS environment_en,
    e.status AS deployment_status,
    ds.label_ko AS deployment_status_ko,
    ds.label_en AS deployment_status_en,
    e.dataset_id,
    e.model_id,
    m.model_name,
    m.model_type,
    mt.label_ko AS model_type_ko,
    mt.label_en AS model_type_en,
    l.config_id,
    c.config_name,
    l.template_id,
    pt.template_name,
    pt.version AS template_version,
    pt.task_category,
    tc.label_ko AS task_category_ko,
    tc.label_en AS task_category_en,
    u.department_id AS current_department_id,
    d.department_name AS current_department_name
FROM llm.session_logs AS l
CROSS JOIN (
    -- As on one node: no time zone is called that.
    SELECT coalesce(
        (SELECT s.time_zone FROM rollup.state AS s), 'of rollup.state, whose row llm-db migrate puts back,'
    ) AS time_zone
    LIMIT 1
) AS z
LEFT JOIN (SELECT '' AS yes WHERE reporting.may_read_people() LIMIT 1) AS shown ON true
LEFT JOIN llm.sessions AS s ON l.session_id = s.session_id
LEFT JOIN llm.session_types AS st ON s.session_type = st.code
LEFT JOIN llm.session_statuses AS ss ON s.status = ss.code
LEFT JOIN llm.users AS u ON s.user_id = u.user_id
LEFT JOIN llm.roles AS ur ON u.role = ur.code
LEFT JOIN llm.departments AS d ON u.department_id = d.department_id
LEFT JOIN rollup.department_spans AS h
    ON s.user_id = h.user_id AND h.since <= l.request_time AND h.until_time > l.request_time
LEFT JOIN llm.departments AS hd ON h.department_id = hd.department_id
LEFT JOIN llm.projects AS p ON s.project_id = p.project_id
LEFT JOIN llm.departments AS pd ON p.department_id = pd.department_id
LEFT JOIN llm.deployments AS e ON l.deployment_id = e.deployment_id
LEFT JOIN llm.environments AS en ON e.environment = en.code
LEFT JOIN llm.deployment_statuses AS ds ON e.status = ds.code
LEFT JOIN llm.models AS m ON e.model_id = m.model_id
LEFT JOIN llm.model_types AS mt ON m.model_type = mt.code
LEFT JOIN llm.model_configs AS c ON l.config_id = c.config_id
LEFT JOIN llm.prompt_templates_base AS pt ON l.template_id = pt.template_id
LEFT JOIN llm.task_categories AS tc ON pt.task_category = tc.code;
-- A worker knows nothing of the view, and asks who reads it for rights on what it is sent. This is what the views on
-- logs and sessions show anyway.
GRANT USAGE ON SCHEMA llm, rollup TO llm_analyst;
GRANT SELECT (
    session_id, request_time, response_time, latency, deployment_id, config_id, template_id, token_used, log_sequence
) ON llm.session_logs TO llm_analyst;
GRANT SELECT (session_id, user_id, project_id, start_time, end_time, session_type, status)
ON llm.sessions TO llm_analyst;
