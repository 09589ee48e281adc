-- Each name or key that is given must fit. Deployments first, since load_keyed asks for their models.
-- A file's names are compared as the tables store names: llm.as_name() takes away the blanks around them, whatever
-- blanks these are, and composes what is written in parts. Once for each key, hence OFFSET 0.
INSERT INTO pg_temp.load_found (entity, key, columns, given, id)
SELECT
    'deployment', k.deployment_key, '{deployment_id,server_name,model_name,environment}',
    ARRAY[k.deployment_id::text, k.server_name, k.model_name, k.environment], d.deployment_id
FROM (
    SELECT
        deployment_key, deployment_id, llm.as_name(server_name) AS server_name, llm.as_name(model_name) AS model_name,
        environment
    FROM (
        SELECT DISTINCT deployment_key, deployment_id, server_name, model_name, environment
        FROM pg_temp.load_keyed
        WHERE deployment_key IS NOT NULL
    ) AS g
    OFFSET 0
) AS k
LEFT JOIN (llm.deployments AS d INNER JOIN llm.models AS m ON d.model_id = m.model_id) -- noqa: ST11
    ON (k.deployment_id IS NULL OR d.deployment_id = k.deployment_id)
    AND (k.server_name IS NULL OR d.server_name = k.server_name)
    AND (k.model_name IS NULL OR m.model_name = k.model_name)
    AND (k.environment IS NULL OR d.environment = k.environment);

INSERT INTO pg_temp.load_found (entity, key, columns, given, id)
SELECT 'config', k.config_key, '{config_id,config_name}', ARRAY[k.config_id::text, k.config_name], c.config_id
FROM (
    SELECT config_key, config_id, llm.as_name(config_name) AS config_name, model_id
    FROM (
        SELECT DISTINCT config_key, config_id, config_name, model_id
        FROM pg_temp.load_keyed
        WHERE config_key IS NOT NULL
    ) AS g
    OFFSET 0
) AS k
LEFT JOIN llm.model_configs AS c
    ON (k.config_id IS NULL OR c.config_id = k.config_id)
    AND (k.config_name IS NULL OR c.config_name = k.config_name)
    -- A log may have a configuration of another model than its deployment's; then only its key tells which.
    AND (k.config_id IS NOT NULL OR c.model_id = k.model_id);

INSERT INTO pg_temp.load_found (entity, key, columns, given, id)
SELECT
    'template', k.template_key, '{template_id,template_name,version}',
    ARRAY[k.template_id::text, k.template_name, k.version], t.template_id
FROM (
    SELECT template_key, template_id, llm.as_name(template_name) AS template_name, version
    FROM (
        SELECT DISTINCT template_key, template_id, template_name, version
        FROM pg_temp.load_keyed
        WHERE template_key IS NOT NULL
    ) AS g
    OFFSET 0
) AS k
LEFT JOIN llm.prompt_templates_base AS t
    ON (k.template_id IS NULL OR t.template_id = k.template_id)
    AND (k.template_name IS NULL OR t.template_name = k.template_name)
    AND (k.version IS NULL OR t.version = k.version);

-- The one entity of which a file and the database may both have very many: an equality, which can be hashed. No address
-- with an @ before it is a number.
INSERT INTO pg_temp.load_found (entity, key, columns, given, id)
SELECT 'user', k.user_key, '{user_id,user_email}', ARRAY[k.user_id::text, k.user_email], u.user_id
FROM (
    SELECT user_key, user_id, llm.as_name(user_email) AS user_email
    FROM (
        SELECT DISTINCT user_key, user_id, user_email
        FROM pg_temp.load_keyed
        WHERE user_key IS NOT NULL
    ) AS g
    OFFSET 0
) AS k
LEFT JOIN ( -- noqa: ST11
    llm.users AS u
    CROSS JOIN LATERAL (VALUES ('@' || lower(u.user_email COLLATE "C")), (u.user_id::text)) AS called (name)
)
    ON called.name = coalesce('@' || lower(k.user_email COLLATE "C"), k.user_id::text)
    AND (k.user_id IS NULL OR u.user_id = k.user_id);

INSERT INTO pg_temp.load_found (entity, key, columns, given, id)
SELECT
    'project', k.project_key, '{project_id,project_name}', ARRAY[k.project_id::text, k.project_name],
    p.project_id
FROM (
    SELECT project_key, project_id, llm.as_name(project_name) AS project_name
    FROM (
        SELECT DISTINCT project_key, project_id, project_name
        FROM pg_temp.load_keyed
        WHERE project_key IS NOT NULL
    ) AS g
    OFFSET 0
) AS k
LEFT JOIN llm.projects AS p
    ON (k.project_id IS NULL OR p.project_id = k.project_id)
    AND (k.project_name IS NULL OR p.project_name = k.project_name);

INSERT INTO pg_temp.load_keys (entity, key, id, column_name, value, rule)
SELECT
    f.entity, f.key, min(f.id), told.column_name, array_to_string(f.given, ' + '),
    CASE count(f.id)
        WHEN 0 THEN 'unknown ' || told.column_name
        WHEN 1 THEN NULL
        ELSE 'ambiguous: ' || count(f.id) || ' have this ' || told.column_name
    END
FROM pg_temp.load_found AS f
CROSS JOIN LATERAL (
    SELECT string_agg(pair.name, ' + ' ORDER BY pair.place) AS column_name
    FROM unnest(f.columns, f.given) WITH ORDINALITY AS pair (name, value, place)
    WHERE pair.value IS NOT NULL
) AS told
GROUP BY f.entity, f.key, f.given, told.column_name;

ANALYZE pg_temp.load_keys;
