-- Last: until then views and triggers name what is here.
DROP TABLE cluster.state, cluster.notes, cluster.collected, cluster.template_uses, cluster.users, cluster.projects,
cluster.session_types, cluster.session_statuses, cluster.deployments, cluster.model_configs,
cluster.prompt_templates_base;
DROP TYPE cluster.catalogs;
DROP SCHEMA cluster;
