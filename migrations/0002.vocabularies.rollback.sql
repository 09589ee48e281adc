-- By now no row uses a value. The ERD's own come back with the seeds; values added since by hand do not.
DROP TABLE llm.task_categories;
DROP TABLE llm.learning_types;
DROP TABLE llm.deployment_statuses;
DROP TABLE llm.environments;
DROP TABLE llm.model_types;
DROP TABLE llm.session_statuses;
DROP TABLE llm.session_types;
DROP TABLE llm.roles;
