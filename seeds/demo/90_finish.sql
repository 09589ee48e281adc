-- What only the whole history tells, and what the next user of the database needs.

-- People log in shortly before they begin; whoever did nothing yet never did.
UPDATE llm.users AS u
SET last_login = a.last_login
FROM (
    SELECT t.user_id, max(t.at) AS last_login
    FROM (
        SELECT user_id, start_time - floor(1200000 * pg_temp.uniform(user_id, 95)) * interval '1 millisecond' AS at
        FROM (SELECT user_id, max(start_time) AS start_time FROM llm.sessions GROUP BY user_id) AS s
        UNION ALL
        SELECT created_by, created_at - interval '10 minutes' FROM llm.projects
        UNION ALL
        SELECT created_by, created_at - interval '10 minutes' FROM llm.prompt_templates_base
    ) AS t
    GROUP BY t.user_id
) AS a
WHERE u.user_id = a.user_id;

-- Keys were given, so the sequences are behind them.
SELECT setval('llm.departments_department_id_seq', max(department_id)) FROM llm.departments;
SELECT setval('llm.users_user_id_seq', max(user_id)) FROM llm.users;
SELECT setval('llm.projects_project_id_seq', max(project_id)) FROM llm.projects;
SELECT setval('llm.models_model_id_seq', max(model_id)) FROM llm.models;
SELECT setval('llm.model_configs_config_id_seq', max(config_id)) FROM llm.model_configs;
SELECT setval('llm.datasets_dataset_id_seq', max(dataset_id)) FROM llm.datasets;
SELECT setval('llm.deployments_deployment_id_seq', max(deployment_id)) FROM llm.deployments;
SELECT setval('llm.prompt_templates_base_template_id_seq', max(template_id)) FROM llm.prompt_templates_base;

DROP FUNCTION pg_temp.uuidv7(timestamptz, bigint);
DROP FUNCTION pg_temp.normal(bigint, bigint);
DROP FUNCTION pg_temp.uniform(bigint, bigint);

-- Checked now and not at commit: ANALYZE refuses tables that still have checks to do.
SET CONSTRAINTS ALL IMMEDIATE;
ANALYZE llm.departments, llm.users, llm.projects, llm.models, llm.model_configs, llm.datasets, llm.deployments,
llm.prompt_templates_base, llm.prompt_template_uses, llm.sessions, llm.session_logs;
