-- What a cluster has and one node has not. sessions and session_logs lie on the workers, in shards; all else stays on
-- the coordinator. What a writer of logs needs lies beside the logs, in tables that are cut into shards alike.
CREATE SCHEMA cluster;
COMMENT ON SCHEMA cluster IS 'What sessions and logs that lie on several servers need beside them. Nobody reads or '
    'calls it by hand; llm-db distribute makes it, llm-db distribute --undo takes it away';

-- Of each shard one row: a row's key is any UUID that lies in its shard.
CREATE TABLE cluster.state (
    shard        uuid        NOT NULL,
    noted_before timestamptz NOT NULL,

    CONSTRAINT state_pkey PRIMARY KEY (shard)
);
COMMENT ON TABLE cluster.state IS 'rollup.state.noted_before beside the logs of each shard';
COMMENT ON COLUMN cluster.state.shard IS 'Key: a UUID that lies in the shard';
COMMENT ON COLUMN cluster.state.noted_before IS 'Writers note what they change before this time';

-- A key, as a shard that is moved wants one to tell rows apart by.
CREATE TABLE cluster.notes (
    by_session uuid        NOT NULL,
    note_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    entity     text        NOT NULL,
    from_time  timestamptz NULL,
    until_time timestamptz NULL,
    session_id uuid        NULL,

    CONSTRAINT notes_pkey PRIMARY KEY (by_session, note_id)
);
COMMENT ON TABLE cluster.notes IS 'rollup.notes beside the logs that were changed, until a refresh has collected them';
COMMENT ON COLUMN cluster.notes.by_session IS 'Key, with note_id: a session of the shard';
COMMENT ON COLUMN cluster.notes.note_id IS 'Key, with by_session';
COMMENT ON COLUMN cluster.notes.entity IS 'As in rollup.notes: logs or sessions';
COMMENT ON COLUMN cluster.notes.from_time IS 'As in rollup.notes: inclusive; NULL = all times of the session';
COMMENT ON COLUMN cluster.notes.until_time IS 'As in rollup.notes: exclusive; NULL = all times of the session';
COMMENT ON COLUMN cluster.notes.session_id IS 'As in rollup.notes: whose times; NULL = a span of time';

CREATE TABLE cluster.collected (
    note_id      uuid NOT NULL,
    collected_in xid8 NOT NULL DEFAULT pg_current_xact_id(),

    CONSTRAINT collected_pkey PRIMARY KEY (note_id)
);
COMMENT ON TABLE cluster.collected IS 'Notes that are in rollup.notes, and leave cluster.notes when nobody reads any '
    'more who cannot see them there';
COMMENT ON COLUMN cluster.collected.note_id IS 'Key: which note';
COMMENT ON COLUMN cluster.collected.collected_in IS 'The transaction that wrote it to rollup.notes';

CREATE TABLE cluster.template_uses (
    shard       uuid   NOT NULL,
    template_id bigint NOT NULL,
    slot        bigint NOT NULL,
    uses        bigint NOT NULL,

    CONSTRAINT template_uses_pkey PRIMARY KEY (shard, template_id, slot)
) WITH (fillfactor = 50);
COMMENT ON TABLE cluster.template_uses IS 'llm.prompt_template_uses beside the logs of each shard: usage_count is the '
    'sum of both';
COMMENT ON COLUMN cluster.template_uses.shard IS 'As in cluster.state';
COMMENT ON COLUMN cluster.template_uses.template_id IS 'As in llm.prompt_template_uses: the template that was used';
COMMENT ON COLUMN cluster.template_uses.slot IS 'As in llm.prompt_template_uses: held by one transaction at a time';
COMMENT ON COLUMN cluster.template_uses.uses IS 'As in llm.prompt_template_uses: uses counted in this slot';

-- The keys that sessions and logs refer to, on every server. Triggers keep them equal to the tables they are of.
CREATE TABLE cluster.users (user_id bigint NOT NULL, CONSTRAINT users_pkey PRIMARY KEY (user_id));
CREATE TABLE cluster.projects (project_id bigint NOT NULL, CONSTRAINT projects_pkey PRIMARY KEY (project_id));
CREATE TABLE cluster.session_types (code text NOT NULL, CONSTRAINT session_types_pkey PRIMARY KEY (code));
CREATE TABLE cluster.session_statuses (code text NOT NULL, CONSTRAINT session_statuses_pkey PRIMARY KEY (code));
CREATE TABLE cluster.deployments (
    deployment_id bigint NOT NULL,

    CONSTRAINT deployments_pkey PRIMARY KEY (deployment_id)
);
CREATE TABLE cluster.model_configs (config_id bigint NOT NULL, CONSTRAINT model_configs_pkey PRIMARY KEY (config_id));
CREATE TABLE cluster.prompt_templates_base (
    template_id bigint NOT NULL,

    CONSTRAINT prompt_templates_base_pkey PRIMARY KEY (template_id)
);
COMMENT ON TABLE cluster.users IS 'The keys of llm.users, on every server';
COMMENT ON COLUMN cluster.users.user_id IS 'Key';
COMMENT ON TABLE cluster.projects IS 'The keys of llm.projects, on every server';
COMMENT ON COLUMN cluster.projects.project_id IS 'Key';
COMMENT ON TABLE cluster.session_types IS 'The keys of llm.session_types, on every server';
COMMENT ON COLUMN cluster.session_types.code IS 'Key';
COMMENT ON TABLE cluster.session_statuses IS 'The keys of llm.session_statuses, on every server';
COMMENT ON COLUMN cluster.session_statuses.code IS 'Key';
COMMENT ON TABLE cluster.deployments IS 'The keys of llm.deployments, on every server';
COMMENT ON COLUMN cluster.deployments.deployment_id IS 'Key';
COMMENT ON TABLE cluster.model_configs IS 'The keys of llm.model_configs, on every server';
COMMENT ON COLUMN cluster.model_configs.config_id IS 'Key';
COMMENT ON TABLE cluster.prompt_templates_base IS 'The keys of llm.prompt_templates_base, on every server';
COMMENT ON COLUMN cluster.prompt_templates_base.template_id IS 'Key';

INSERT INTO cluster.users SELECT user_id FROM llm.users;
INSERT INTO cluster.projects SELECT project_id FROM llm.projects;
INSERT INTO cluster.session_types SELECT code FROM llm.session_types;
INSERT INTO cluster.session_statuses SELECT code FROM llm.session_statuses;
INSERT INTO cluster.deployments SELECT deployment_id FROM llm.deployments;
INSERT INTO cluster.model_configs SELECT config_id FROM llm.model_configs;
INSERT INTO cluster.prompt_templates_base SELECT template_id FROM llm.prompt_templates_base;

-- What a shard is told of the catalogs when it sums up its logs: arrays that go together by their places.
CREATE TYPE cluster.catalogs AS (
    time_zone     text,
    deployments   bigint [],
    models        bigint [],
    models_since  timestamptz [],
    models_until  timestamptz [],
    configs       bigint [],
    max_tokens    integer [],
    users         bigint [],
    departments   bigint [],
    members_since timestamptz [],
    members_until timestamptz []
);
COMMENT ON TYPE cluster.catalogs IS 'What is counted of a log and stands in no log: which models deployments ran from '
    'when to when, max_tokens of presets, departments of users from when to when';
