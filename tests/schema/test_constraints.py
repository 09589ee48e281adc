"""Every rule of the tables, by the name it is refused under. A rule without a refusing row here fails the suite."""

import re
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from itertools import product

import psycopg
import pytest

import citus
from conftest import Company, found_company, fresh_database, refused, violated

V4 = "3b241101-e2bb-4255-8caf-4136c566a962"

VOCABULARIES = (
    "roles",
    "session_types",
    "session_statuses",
    "model_types",
    "environments",
    "deployment_statuses",
    "learning_types",
    "task_categories",
)

USER = "INSERT INTO llm.users (user_name, user_email, role, department_id) VALUES "
DEPARTMENT = "INSERT INTO llm.departments (department_name, manager_id) VALUES "
PROJECT = "INSERT INTO llm.projects (project_name, created_by, department_id) VALUES "
CONFIG = "UPDATE llm.model_configs SET "
DEPLOYMENT = "INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status) VALUES "
TEMPLATE = """INSERT INTO llm.prompt_templates
    (template_name, prompt_s3_path, task_category, version, variables, created_by) VALUES """
SESSION = "INSERT INTO llm.sessions (user_id, session_type, start_time, end_time, status) VALUES "
LOG = "INSERT INTO llm.session_logs (session_id, deployment_id, log_sequence) VALUES "
OWN_ID = "INSERT INTO llm.sessions (session_id, user_id, session_type) VALUES "
TIMES = "request_time = '2026-01-01 00:00Z', response_time ="
HISTORY = "INSERT INTO llm.deployment_history (deployment_id, since, model_id, gpu_count, environment, status) "
RATE = "INSERT INTO llm.gpu_rates (deployment_id, since, price_per_hour) VALUES "
BUDGET = "INSERT INTO llm.budgets (department_id, project_id, since, amount) VALUES "
NOBODY = "-1"

# (constraint, SQL it refuses). Names in %(...)s are the fields of Company.
REFUSED = [
    *[
        row
        for name in VOCABULARIES
        for row in (
            (f"{name}_pkey", f"INSERT INTO llm.{name} SELECT * FROM llm.{name}"),
            (f"{name}_code_is_lower_ascii", f"INSERT INTO llm.{name} VALUES ('Admin', '관리자', 'Admin')"),
            (f"{name}_code_is_lower_ascii", f"INSERT INTO llm.{name} VALUES ('관리자', '관리자', 'Admin')"),
            (f"{name}_code_is_lower_ascii", f"INSERT INTO llm.{name} VALUES ('', '관리자', 'Admin')"),
            (f"{name}_label_ko_is_name", f"INSERT INTO llm.{name} VALUES ('x', ' ', 'Admin')"),
            (f"{name}_label_en_is_name", f"INSERT INTO llm.{name} VALUES ('x', '관리자', '')"),
        )
    ],
    ("departments_pkey", "INSERT INTO llm.departments VALUES (%(department_id)s, '개발1팀', %(user_id)s)"),
    ("departments_department_name_key", DEPARTMENT + "('AI연구팀', " + NOBODY + ")"),
    ("departments_manager_id_key", DEPARTMENT + "('개발1팀', %(user_id)s)"),
    ("departments_manager_id_fkey", "UPDATE llm.departments SET manager_id = " + NOBODY),
    (
        "departments_manager_id_fkey",
        "SELECT llm.found_department('개발1팀', '나', 'b@c');"
        "INSERT INTO llm.users (user_name, user_email, role, department_id)"
        "SELECT '다', 'd@e', role, department_id FROM llm.users WHERE user_email = 'b@c';"
        "DELETE FROM llm.users WHERE user_email = 'b@c'",
    ),
    ("session_logs_template_id_fkey", "UPDATE llm.session_logs SET template_id = " + NOBODY),
    ("departments_department_name_is_name", "UPDATE llm.departments SET department_name = '  '"),
    ("users_pkey", "INSERT INTO llm.users SELECT user_id, 'x', 'x@y', role, true, NULL, department_id FROM llm.users"),
    (
        "users_user_email_key",
        USER + "('가', 'One@Example.com', 'admin', %(department_id)s),"
        "('나', 'oNE@eXAMPLE.COM', 'admin', %(department_id)s)",
    ),
    ("users_role_fkey", USER + "('가', 'a@b', 'king', %(department_id)s)"),
    ("users_role_fkey", "DELETE FROM llm.roles WHERE code = 'researcher'"),
    ("users_department_id_fkey", USER + "('가', 'a@b', 'admin', " + NOBODY + ")"),
    ("users_user_name_is_name", USER + "(' ', 'a@b', 'admin', %(department_id)s)"),
    ("users_user_email_is_address", USER + "('가', 'a', 'admin', %(department_id)s)"),
    ("users_user_email_is_address", USER + "('가', 'a@b@c', 'admin', %(department_id)s)"),
    ("users_user_email_is_address", USER + "('가', 'a b@c', 'admin', %(department_id)s)"),
    ("users_user_email_is_address", USER + "('가', '@c', 'admin', %(department_id)s)"),
    ("users_user_email_is_address", USER + "('가', U&'a\\3000b@c', 'admin', %(department_id)s)"),
    ("users_user_email_is_address", USER + "('가', U&'a\\200B@c', 'admin', %(department_id)s)"),
    ("users_user_email_is_address", USER + "('가', U&'jose\\0301@c', 'admin', %(department_id)s)"),
    ("users_user_email_capitals_are_ascii", USER + "('가', 'JOSÉ@c', 'admin', %(department_id)s)"),
    ("users_user_email_capitals_are_ascii", USER + "('가', 'a@ДОМ', 'admin', %(department_id)s)"),
    ("projects_pkey", "INSERT INTO llm.projects SELECT * FROM llm.projects"),
    ("projects_created_by_fkey", PROJECT + "('챗봇', " + NOBODY + ", %(department_id)s)"),
    ("projects_department_id_fkey", PROJECT + "('챗봇', %(user_id)s, " + NOBODY + ")"),
    ("projects_department_id_fkey", "DELETE FROM llm.departments"),
    ("projects_project_name_is_name", PROJECT + "('', %(user_id)s, %(department_id)s)"),
    ("models_pkey", "INSERT INTO llm.models SELECT model_id, 'other', model_type FROM llm.models"),
    (
        "models_model_name_key",
        "INSERT INTO llm.models (model_name, model_type) SELECT model_name, 'chat' FROM llm.models",
    ),
    ("models_model_type_fkey", "UPDATE llm.models SET model_type = 'oracle'"),
    ("models_model_type_fkey", "DELETE FROM llm.model_types WHERE code = 'chat'"),
    ("models_model_name_is_name", "UPDATE llm.models SET model_name = ''"),
    (
        "model_configs_pkey",
        "INSERT INTO llm.model_configs (config_id, model_id, config_name)VALUES (%(config_id)s, %(model_id)s, 'other')",
    ),
    (
        "model_configs_model_id_config_name_key",
        "INSERT INTO llm.model_configs (model_id, config_name)SELECT model_id, config_name FROM llm.model_configs",
    ),
    ("model_configs_model_id_fkey", CONFIG + "model_id = " + NOBODY),
    ("model_configs_model_id_fkey", "DELETE FROM llm.models"),
    ("model_configs_config_name_is_name", CONFIG + "config_name = ' '"),
    ("model_configs_max_tokens_positive", CONFIG + "max_tokens = 0"),
    ("model_configs_temperature_from_0_to_2", CONFIG + "temperature = -0.000001"),
    ("model_configs_temperature_from_0_to_2", CONFIG + "temperature = 2.000001"),
    ("model_configs_temperature_from_0_to_2", CONFIG + "temperature = 'NaN'"),
    ("model_configs_temperature_from_0_to_2", CONFIG + "temperature = '-Infinity'"),
    ("model_configs_top_p_above_0_up_to_1", CONFIG + "top_p = 0"),
    ("model_configs_top_p_above_0_up_to_1", CONFIG + "top_p = 1.000001"),
    ("model_configs_top_p_above_0_up_to_1", CONFIG + "top_p = 'NaN'"),
    ("model_configs_top_k_positive", CONFIG + "top_k = 0"),
    ("datasets_pkey", "INSERT INTO llm.datasets SELECT * FROM llm.datasets"),
    ("datasets_learning_type_fkey", "UPDATE llm.datasets SET learning_type = 'osmosis'"),
    ("datasets_learning_type_fkey", "DELETE FROM llm.learning_types WHERE code = 'fine_tuning'"),
    ("datasets_s3_path_is_s3_uri", "UPDATE llm.datasets SET s3_path = 's3://bucket'"),
    ("datasets_s3_path_is_s3_uri", "UPDATE llm.datasets SET s3_path = 's3://bucket/'"),
    ("datasets_s3_path_is_s3_uri", "UPDATE llm.datasets SET s3_path = 's3:///key'"),
    ("datasets_s3_path_is_s3_uri", "UPDATE llm.datasets SET s3_path = 'https://bucket/key'"),
    ("deployments_pkey", "INSERT INTO llm.deployments SELECT * FROM llm.deployments"),
    ("deployments_model_id_fkey", DEPLOYMENT + "(" + NOBODY + ", 'a', 1, 'test', 'active')"),
    ("deployments_dataset_id_fkey", "UPDATE llm.deployments SET dataset_id = " + NOBODY),
    ("deployments_dataset_id_fkey", "DELETE FROM llm.datasets"),
    ("deployments_environment_fkey", DEPLOYMENT + "(%(model_id)s, 'a', 1, 'moon', 'active')"),
    ("deployments_environment_fkey", "DELETE FROM llm.environments WHERE code = 'production'"),
    ("deployments_status_fkey", DEPLOYMENT + "(%(model_id)s, 'a', 1, 'test', 'sleepy')"),
    ("deployments_status_fkey", "DELETE FROM llm.deployment_statuses WHERE code = 'active'"),
    ("deployments_server_name_is_name", DEPLOYMENT + "(%(model_id)s, ' ', 1, 'test', 'active')"),
    ("deployments_gpu_count_not_negative", DEPLOYMENT + "(%(model_id)s, 'a', -1, 'test', 'active')"),
    (
        "prompt_templates_base_pkey",
        "UPDATE llm.prompt_templates SET template_id = template_id;"
        "INSERT INTO llm.prompt_templates_base SELECT * FROM llm.prompt_templates_base",
    ),
    (
        "prompt_templates_base_template_name_version_key",
        TEMPLATE + "('번역', 's3://abc/k', 'translation', '1.0', '{}', %(user_id)s),"
        "('번역', 's3://abc/l', 'translation', '1.0', '{}', %(user_id)s)",
    ),
    (
        "prompt_templates_base_task_category_fkey",
        TEMPLATE + "('번역', 's3://abc/k', 'singing', '1.0', '{}', %(user_id)s)",
    ),
    ("prompt_templates_base_task_category_fkey", "DELETE FROM llm.task_categories WHERE code = 'summarization'"),
    (
        "prompt_templates_base_created_by_fkey",
        TEMPLATE + "('번역', 's3://abc/k', 'translation', '1.0', '{}', " + NOBODY + ")",
    ),
    (
        "prompt_templates_template_name_is_name",
        TEMPLATE + "('', 's3://abc/k', 'translation', '1.0', '{}', %(user_id)s)",
    ),
    ("prompt_templates_prompt_s3_path_is_s3_uri", "UPDATE llm.prompt_templates SET prompt_s3_path = '/tmp/k'"),
    ("prompt_templates_variables_are_braced_names", "UPDATE llm.prompt_templates SET variables = '{text}'"),
    ("prompt_templates_variables_are_braced_names", "UPDATE llm.prompt_templates SET variables = ARRAY['{a}', '{}']"),
    ("prompt_templates_variables_are_braced_names", "UPDATE llm.prompt_templates SET variables = ARRAY['{a b}']"),
    ("prompt_templates_variables_are_braced_names", "UPDATE llm.prompt_templates SET variables = ARRAY['{a}', NULL]"),
    ("prompt_templates_version_is_dotted_numbers", "UPDATE llm.prompt_templates SET version = 'v1'"),
    ("prompt_templates_version_is_dotted_numbers", "UPDATE llm.prompt_templates SET version = '1.'"),
    ("prompt_templates_version_is_dotted_numbers", "UPDATE llm.prompt_templates SET version = ''"),
    ("prompt_templates_version_has_no_leading_zeros", "UPDATE llm.prompt_templates SET version = '1.010'"),
    ("prompt_templates_version_has_no_leading_zeros", "UPDATE llm.prompt_templates SET version = '01'"),
    ("prompt_templates_version_has_no_leading_zeros", "UPDATE llm.prompt_templates SET version = '1.00'"),
    (
        "prompt_template_uses_pkey",
        "INSERT INTO llm.prompt_template_uses SELECT %(template_id)s, 1, 1 FROM generate_series(1, 2)",
    ),
    ("prompt_template_uses_template_id_fkey", "INSERT INTO llm.prompt_template_uses VALUES (" + NOBODY + ", 1, 1)"),
    ("sessions_user_id_fkey", SESSION + "(" + NOBODY + ", 'test', now(), NULL, 'running')"),
    ("sessions_project_id_fkey", "UPDATE llm.sessions SET project_id = " + NOBODY),
    ("sessions_project_id_fkey", "DELETE FROM llm.projects"),
    ("sessions_session_type_fkey", SESSION + "(%(user_id)s, 'party', now(), NULL, 'running')"),
    ("sessions_session_type_fkey", "DELETE FROM llm.session_types WHERE code = 'production'"),
    ("sessions_status_fkey", SESSION + "(%(user_id)s, 'test', now(), now(), 'lost')"),
    ("sessions_status_fkey", "DELETE FROM llm.session_statuses WHERE code = 'running'"),
    ("sessions_session_id_is_uuidv7", OWN_ID + f"('{V4}', %(user_id)s, 'test')"),
    ("sessions_session_id_within_year_9999", OWN_ID + "('ffffffff-ffff-7fff-bfff-ffffffffffff', %(user_id)s, 'test')"),
    ("sessions_end_not_before_start", SESSION + "(%(user_id)s, 'test', now(), now() - interval '1us', 'completed')"),
    ("sessions_running_has_no_end", SESSION + "(%(user_id)s, 'test', now(), now(), 'running')"),
    ("sessions_running_has_no_end", SESSION + "(%(user_id)s, 'test', now(), NULL, 'completed')"),
    ("sessions_times_within_2000_to_2099", SESSION + "(%(user_id)s, 'test', '-infinity', NULL, 'running')"),
    ("sessions_times_within_2000_to_2099", SESSION + "(%(user_id)s, 'test', '0001-01-01Z', NULL, 'running')"),
    ("sessions_times_within_2000_to_2099", SESSION + "(%(user_id)s, 'test', now(), 'infinity', 'completed')"),
    ("sessions_times_within_2000_to_2099", SESSION + "(%(user_id)s, 'test', now(), '2100-01-01Z', 'completed')"),
    (
        "session_logs_request_time_within_2000_to_2099",
        "UPDATE llm.session_logs SET request_time = 'infinity', response_time = NULL",
    ),
    (
        "session_logs_request_time_within_2000_to_2099",
        "UPDATE llm.session_logs SET request_time = '1999-12-31 23:59:59Z', response_time = NULL",
    ),
    ("session_logs_response_within_a_week", f"UPDATE llm.session_logs SET {TIMES} '2026-01-08 00:00:01Z'"),
    ("session_logs_token_used_at_most_100_million", "UPDATE llm.session_logs SET token_used = 100000001"),
    ("session_logs_session_id_fkey", LOG + "(llm.uuidv7(), %(deployment_id)s, NULL)"),
    ("session_logs_deployment_id_fkey", LOG + "(%(session_id)s, " + NOBODY + ", NULL)"),
    (
        "session_logs_deployment_id_fkey",
        LOG + "(%(session_id)s, %(deployment_id)s, 1); DELETE FROM llm.deployment_history; DELETE FROM llm.deployments",
    ),
    (
        "session_logs_config_id_fkey",
        LOG + "(%(session_id)s, %(deployment_id)s, 1);UPDATE llm.session_logs SET config_id = " + NOBODY,
    ),
    (
        "session_logs_config_id_fkey",
        LOG + "(%(session_id)s, %(deployment_id)s, 1);"
        "UPDATE llm.session_logs SET config_id = %(config_id)s; DELETE FROM llm.model_configs",
    ),
    ("session_logs_log_sequence_positive", LOG + "(%(session_id)s, %(deployment_id)s, 0)"),
    (
        "session_logs_response_not_before_request",
        LOG + "(%(session_id)s, %(deployment_id)s, 1);"
        f"UPDATE llm.session_logs SET {TIMES} '2025-12-31 23:59:59.999999Z'",
    ),
    (
        "session_logs_token_used_not_negative",
        LOG + "(%(session_id)s, %(deployment_id)s, 1);UPDATE llm.session_logs SET token_used = -1",
    ),
    (
        "session_logs_request_prompt_s3_path_is_s3_uri",
        LOG + "(%(session_id)s, %(deployment_id)s, 1);"
        "UPDATE llm.session_logs SET request_prompt_s3_path = 's3://UPPER/key'",
    ),
    (
        "session_logs_response_s3_path_is_s3_uri",
        LOG + "(%(session_id)s, %(deployment_id)s, 1);UPDATE llm.session_logs SET response_s3_path = ''",
    ),
    (
        "departments_have_a_member",
        "WITH newcomer AS (" + USER + "('가', 'a@b', 'admin', %(department_id)s) RETURNING user_id)"
        "INSERT INTO llm.departments (department_name, manager_id) SELECT '개발1팀', user_id FROM newcomer",
    ),
    (
        "users_leave_a_member_behind",
        "SELECT llm.found_department('개발1팀', '나', 'b@c');"
        "UPDATE llm.users SET department_id = (SELECT max(department_id) FROM llm.departments)"
        "WHERE user_id = %(user_id)s",
    ),
    ("user_departments_pkey", "INSERT INTO llm.user_departments SELECT * FROM llm.user_departments"),
    (
        "user_departments_user_id_fkey",
        "INSERT INTO llm.user_departments VALUES (" + NOBODY + ", '2020-01-01', %(department_id)s)",
    ),
    (
        "user_departments_department_id_fkey",
        "INSERT INTO llm.user_departments VALUES (%(user_id)s, '2020-01-01', " + NOBODY + ")",
    ),
    (
        "deployment_history_pkey",
        HISTORY + "SELECT deployment_id, since, model_id, 0, environment, status FROM llm.deployment_history",
    ),
    (
        "deployment_history_deployment_id_fkey",
        HISTORY + "VALUES (" + NOBODY + ", 'now', %(model_id)s, 1, 'test', 'active')",
    ),
    ("deployment_history_model_id_fkey", "UPDATE llm.deployment_history SET model_id = " + NOBODY),
    ("deployment_history_environment_fkey", "UPDATE llm.deployment_history SET environment = 'moon'"),
    ("deployment_history_status_fkey", "UPDATE llm.deployment_history SET status = 'sleepy'"),
    (
        "deployment_history_since_within_2000_to_2099",
        "UPDATE llm.deployment_history SET since = '1999-12-31 23:59:59.999999Z' WHERE since > '-infinity'",
    ),
    (
        "deployment_history_since_within_2000_to_2099",
        "UPDATE llm.deployment_history SET since = '2100-01-01 00:00Z' WHERE since > '-infinity'",
    ),
    (
        "deployment_history_since_within_2000_to_2099",
        "UPDATE llm.deployment_history SET since = 'infinity' WHERE since > '-infinity'",
    ),
    ("deployment_history_deployment_id_fkey", "DELETE FROM llm.sessions; DELETE FROM llm.deployments"),
    (
        "deployment_history_gpu_count_not_negative",
        "UPDATE llm.deployment_history SET gpu_count = -1 WHERE since > '-infinity'",
    ),
    ("deployment_history_begins_without_gpus", "UPDATE llm.deployment_history SET gpu_count = 1"),
    ("gpu_rates_pkey", "INSERT INTO llm.gpu_rates SELECT rate_id, NULL, 'now', 1 FROM llm.gpu_rates"),
    ("gpu_rates_deployment_id_fkey", RATE + "(" + NOBODY + ", 'now', 1)"),
    (
        "gpu_rates_deployment_id_fkey",
        RATE + "(%(deployment_id)s, 'now', 1); DELETE FROM llm.sessions; DELETE FROM llm.deployment_history;"
        " DELETE FROM llm.deployments",
    ),
    # Also where it is for all.
    ("gpu_rates_deployment_id_since_key", RATE + "(NULL, '2026-01-01', 1), (NULL, '2026-01-01', 1)"),
    (
        "gpu_rates_deployment_id_since_key",
        RATE + "(%(deployment_id)s, '-infinity', 1), (%(deployment_id)s, '-infinity', NULL)",
    ),
    ("gpu_rates_since_within_2000_to_2099", RATE + "(NULL, '1999-12-31 23:59:59.999999Z', 1)"),
    ("gpu_rates_since_within_2000_to_2099", RATE + "(NULL, '2100-01-01 00:00Z', 1)"),
    ("gpu_rates_since_within_2000_to_2099", RATE + "(NULL, 'infinity', 1)"),
    ("gpu_rates_price_per_hour_from_0_to_1_billion", RATE + "(NULL, 'now', -0.0000000001)"),
    ("gpu_rates_price_per_hour_from_0_to_1_billion", RATE + "(NULL, 'now', 1000000000.0000000001)"),
    ("gpu_rates_price_per_hour_from_0_to_1_billion", RATE + "(NULL, 'now', 'NaN')"),
    ("gpu_rates_price_per_hour_from_0_to_1_billion", RATE + "(NULL, 'now', 'Infinity')"),
    ("gpu_rates_price_per_hour_has_at_most_10_decimals", RATE + "(NULL, 'now', 0.00000000001)"),
    ("cost_settings_pkey", "INSERT INTO llm.cost_settings DEFAULT VALUES"),
    ("cost_settings_is_one_row", "UPDATE llm.cost_settings SET only_row = false"),
    ("cost_settings_currency_is_code", "UPDATE llm.cost_settings SET currency = 'krw'"),
    ("cost_settings_currency_is_code", "UPDATE llm.cost_settings SET currency = '₩'"),
    ("cost_settings_currency_is_code", "UPDATE llm.cost_settings SET currency = 'KRWX'"),
    ("cost_settings_currency_is_code", "UPDATE llm.cost_settings SET currency = E'KRW\n'"),
    ("cost_settings_apportioned_by_is_known", "UPDATE llm.cost_settings SET apportioned_by = 'luck'"),
    (
        "budgets_pkey",
        "INSERT INTO llm.budgets SELECT budget_id, %(department_id)s, NULL, '2026-01-01', 1 FROM llm.budgets",
    ),
    ("budgets_department_id_fkey", BUDGET + "(" + NOBODY + ", NULL, '2026-01-01', 1)"),
    ("budgets_project_id_fkey", BUDGET + "(NULL, " + NOBODY + ", '2026-01-01', 1)"),
    ("budgets_department_id_project_id_since_key", BUDGET + "(%(department_id)s, NULL, '2020-01-01', 2)"),
    (
        "budgets_department_id_project_id_since_key",
        BUDGET + "(NULL, %(project_id)s, '2026-01-01', 1), (NULL, %(project_id)s, '2026-01-01', NULL)",
    ),
    ("budgets_is_of_a_department_or_a_project", BUDGET + "(NULL, NULL, '2026-01-01', 1)"),
    ("budgets_is_of_a_department_or_a_project", BUDGET + "(%(department_id)s, %(project_id)s, '2026-01-01', 1)"),
    ("budgets_since_is_first_of_month", BUDGET + "(%(department_id)s, NULL, '2026-01-31', 1)"),
    ("budgets_since_is_first_of_month", BUDGET + "(%(department_id)s, NULL, '1999-12-01', 1)"),
    ("budgets_since_is_first_of_month", BUDGET + "(%(department_id)s, NULL, '2100-01-01', 1)"),
    ("budgets_since_is_first_of_month", BUDGET + "(%(department_id)s, NULL, 'infinity', 1)"),
    ("budgets_since_is_first_of_month", BUDGET + "(%(department_id)s, NULL, '-infinity', 1)"),
    ("budgets_amount_from_0_to_1_quadrillion", BUDGET + "(%(department_id)s, NULL, '2026-01-01', -0.01)"),
    ("budgets_amount_from_0_to_1_quadrillion", BUDGET + "(%(department_id)s, NULL, '2026-01-01', 1000000000000000.1)"),
    ("budgets_amount_from_0_to_1_quadrillion", BUDGET + "(%(department_id)s, NULL, '2026-01-01', 'NaN')"),
    ("retention_pkey", "INSERT INTO llm.retention SELECT * FROM llm.retention"),
    ("retention_what_is_known", "INSERT INTO llm.retention VALUES ('users', 13)"),
    ("retention_keep_months_from_1_to_1200", "UPDATE llm.retention SET keep_months = 0"),
    ("retention_keep_months_from_1_to_1200", "UPDATE llm.retention SET keep_months = 1201"),
    ("retention_audit_keeps_12_months", "INSERT INTO llm.retention VALUES ('audit', 11)"),
    ("department_logins_pkey", "INSERT INTO llm.department_logins SELECT * FROM llm.department_logins"),
    (
        "department_logins_role_name_key",
        "INSERT INTO llm.department_logins SELECT 2, role_name, department_id FROM llm.department_logins",
    ),
    ("department_logins_department_id_fkey", "INSERT INTO llm.department_logins VALUES (2, 'erin', " + NOBODY + ")"),
    ("department_logins_role_name_is_not_empty", "UPDATE llm.department_logins SET role_name = ''"),
    ("announcements_pkey", "INSERT INTO rollup.announcements SELECT * FROM rollup.announcements"),
    ("state_pkey", "INSERT INTO rollup.state DEFAULT VALUES"),
    ("state_is_one_row", "INSERT INTO rollup.state (only_row) VALUES (false)"),
    ("notes_entity_is_known", "INSERT INTO rollup.notes VALUES ('users', 'now', 'now')"),
    (
        "notes_is_a_span_a_session_or_a_key",
        "INSERT INTO rollup.notes (entity, from_time, until_time, key) VALUES ('logs', 'now', 'now', 1)",
    ),
    (
        "notes_is_a_span_a_session_or_a_key",
        "INSERT INTO rollup.notes (entity, dimension, key) VALUES ('logs', 'user', 1)",
    ),
    ("notes_is_a_span_a_session_or_a_key", "INSERT INTO rollup.notes (entity) VALUES ('logs')"),
    (
        "notes_is_a_span_a_session_or_a_key",
        "INSERT INTO rollup.notes VALUES ('logs', 'now', 'now', %(session_id)s)",
    ),
    (
        "notes_is_a_span_a_session_or_a_key",
        "INSERT INTO rollup.notes (entity, from_time, session_id) VALUES ('logs', 'now', %(session_id)s)",
    ),
    # Also where the key is missing.
    ("usage_key", "INSERT INTO rollup.usage SELECT * FROM rollup.usage"),
    ("hours_key", "INSERT INTO rollup.hours SELECT * FROM rollup.hours"),
    ("sessions_key", "INSERT INTO rollup.sessions SELECT * FROM rollup.sessions"),
    ("activity_key", "INSERT INTO rollup.activity SELECT * FROM rollup.activity"),
    ("deployment_usage_key", "INSERT INTO rollup.deployment_usage SELECT * FROM rollup.deployment_usage"),
    ("deployment_usage_dimension_is_kept", "UPDATE rollup.deployment_usage SET dimension = 'all'"),
    ("costs_dimension_is_kept", "UPDATE rollup.costs SET dimension = 'all'"),
    ("user_costs_grain_is_day_week_or_month", "UPDATE rollup.user_costs SET grain = 'year'"),
    ("priced_days_pkey", "INSERT INTO rollup.priced_days SELECT * FROM rollup.priced_days"),
    ("running_key", "INSERT INTO rollup.running SELECT * FROM rollup.running"),
    ("running_minutes_have_their_requests", "UPDATE rollup.running SET minutes = '{}'"),
    ("sessions_pkey", "INSERT INTO llm.sessions SELECT * FROM llm.sessions"),
    ("session_logs_pkey", LOG + "(%(session_id)s, %(deployment_id)s, 1), (%(session_id)s, %(deployment_id)s, 1)"),
]

# One row in each, of no project, department or earlier day.
ROLLUPS = """
INSERT INTO rollup.announcements VALUES ('3', '2020-01-01');
INSERT INTO rollup.notes VALUES ('logs', '2020-01-01', '2020-01-02');
INSERT INTO rollup.usage VALUES ('2020-01-01', '2020-01-01', NULL, 1, 0, 1, 0, 0, 0, NULL, 'now', 'now', 'project');
INSERT INTO rollup.hours VALUES ('2020-01-01', '2020-01-01', 1, '2020-01-01', 1, 0, 1, 0);
INSERT INTO rollup.slowest VALUES ('2020-01-01', 1, '2020-01-01', NULL, 1, NULL, 'now', llm.uuidv7(), 'project');
INSERT INTO rollup.sessions VALUES ('2020-01-01', '2020-01-01', NULL, 1, 1, 1, 1, 1, false, 'test', 'completed');
INSERT INTO rollup.activity VALUES ('2020-01-01', NULL, 1);
INSERT INTO rollup.deployment_usage VALUES ('2020-01-01', '2020-01-01', 1, NULL, NULL, NULL, 1, 0, 1, 0, 0, 'project');
INSERT INTO rollup.costs VALUES ('2020-01-01', NULL, NULL, 1, 0, 1, 0, 0, 0, 0, 'project', false);
INSERT INTO rollup.user_costs VALUES ('2020-01-01', NULL, 0, 0, 0, 0, 0, 0, 0, 'day');
INSERT INTO rollup.priced_days VALUES ('2020-01-01', '');
INSERT INTO rollup.running VALUES ('2020-01-01', '2020-01-01', '2020-01-01', 1, 60000000, '{7}', '{1}');
"""

TABLES = """
    SELECT oid
    FROM pg_catalog.pg_class
    WHERE relnamespace IN ('llm'::regnamespace, 'rollup'::regnamespace) AND relkind IN ('r', 'p') AND NOT relispartition
"""


@pytest.fixture(scope="module")
def standing(server: str, template: str) -> Iterator[tuple[psycopg.Connection, Company]]:
    """One company for all statements that are refused: nothing of them stays."""
    with fresh_database(server, template) as dsn, psycopg.connect(dsn, autocommit=True) as db:
        company = found_company(db)
        db.execute(
            "INSERT INTO llm.session_logs (session_id, deployment_id, template_id, log_sequence)"
            "VALUES (%s, %s, %s, 1000)",
            [company.session_id, company.deployment_id, company.template_id],
        )
        db.execute(ROLLUPS)
        db.execute("INSERT INTO llm.prompt_template_uses VALUES (%s, 2, 0)", [company.template_id])
        db.execute("INSERT INTO llm.retention VALUES ('sessions', 13)")
        db.execute(RATE + "(NULL, '2020-01-01', 1)")
        db.execute(BUDGET + "(%s, NULL, '2020-01-01', 1)", [company.department_id])
        db.execute("INSERT INTO llm.department_logins VALUES (1, 'dave', %s)", [company.department_id])
        yield db, company


def rule(error: psycopg.Error) -> str:
    """The name of the rule; a partition's copy of it carries the partition's own name inside."""
    return re.sub(r"_(\d{4}_\d{2}|default)_", "_", violated(error) or "")


@pytest.mark.parametrize(("constraint", "statement"), REFUSED)
def test_refused_by_name(standing: tuple[psycopg.Connection, Company], constraint: str, statement: str) -> None:
    db, company = standing
    fields = {name: f"'{value}'" for name, value in asdict(company).items()}
    with pytest.raises(psycopg.errors.IntegrityError) as error, db.transaction():
        db.execute(statement % fields)
    assert rule(error.value) == constraint, str(error.value)


def test_every_rule_has_a_refused_row(db: psycopg.Connection) -> None:
    rules = db.execute(f"""
        SELECT conname
        FROM pg_catalog.pg_constraint
        -- A foreign key to a partitioned table has a copy for each partition it may find the row in.
        WHERE contype IN ('c', 'f', 'p', 't', 'u', 'x') AND conparentid = 0
            AND (conrelid IN ({TABLES}) OR conrelid = 'llm.session_logs_default'::regclass AND coninhcount = 0)
        UNION ALL
        SELECT c.relname
        FROM pg_catalog.pg_index AS i
        INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
        WHERE i.indisunique AND i.indrelid IN ({TABLES})
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conindid = i.indexrelid)
    """).fetchall()
    names = {name for (name,) in rules}
    assert len(names) == len(rules), "two schemas have a rule of one name"
    assert len(names) > 80
    assert names == {constraint for constraint, _ in REFUSED}


def test_every_not_null_is_kept(standing: tuple[psycopg.Connection, Company]) -> None:
    db, _ = standing
    columns = db.execute(f"""
        SELECT attrelid::regclass::text, attname
        FROM pg_catalog.pg_attribute
        WHERE attnotnull AND attnum > 0 AND attrelid IN ({TABLES})
    """).fetchall()
    assert len(columns) > 60
    for table, column in columns:
        with pytest.raises((psycopg.errors.NotNullViolation, psycopg.errors.FeatureNotSupported)) as error:
            db.execute(f"UPDATE {table} SET {column} = NULL")
        if isinstance(error.value, psycopg.errors.FeatureNotSupported):
            # What shards are cut by nobody changes.
            assert citus.DSN
            assert (table, column) in {("llm.sessions", "session_id"), ("llm.session_logs", "session_id")}
        else:
            assert f'null value in column "{column}"' in str(error.value), table


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO llm.session_logs (session_id, deployment_id, latency)"
        "VALUES (%(session_id)s, %(deployment_id)s, '1 s')",
        "UPDATE llm.session_logs SET latency = '1 s'",
    ],
)
def test_latency_is_not_written(standing: tuple[psycopg.Connection, Company], statement: str) -> None:
    db, company = standing
    with pytest.raises(psycopg.errors.GeneratedAlways, match="latency"):
        db.execute(statement, asdict(company))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO llm.prompt_templates (template_name, prompt_s3_path, task_category, created_by, usage_count)"
        "VALUES ('x', 's3://abc/k', 'coding', %(user_id)s, 1)",
        "UPDATE llm.prompt_templates SET usage_count = 0",
    ],
)
def test_usage_count_is_not_written(standing: tuple[psycopg.Connection, Company], statement: str) -> None:
    db, company = standing
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="usage_count"):
        db.execute(statement, asdict(company))


@pytest.mark.parametrize("time", ["now()", "'2001-01-01'"])
def test_session_id_of_another_version_is_refused(standing: tuple[psycopg.Connection, Company], time: str) -> None:
    """In a month's partition and in DEFAULT."""
    db, company = standing
    with refused(db, "sessions_session_id_is_uuidv7"):
        # A version 7 head with a version 4 nibble, so that the row is bound for the partition meant.
        db.execute(
            f"""
            INSERT INTO llm.sessions (session_id, user_id, session_type)
            VALUES (overlay(llm.uuidv7({time})::text PLACING '4' FROM 15)::uuid, %s, 'test')
        """,
            [company.user_id],
        )


@citus.session_id_stays
def test_any_random_session_id_is_told_that_it_is_no_uuidv7(standing: tuple[psycopg.Connection, Company]) -> None:
    """One in ten is also beyond the year 9999: 200 without one of those happen once in 10^9 runs."""
    db, _ = standing
    for _ in range(200):
        with refused(db, "sessions_session_id_is_uuidv7"):
            db.execute("UPDATE llm.sessions SET session_id = %s", [uuid.uuid4()])


def test_plain_v4_session_id_is_refused(standing: tuple[psycopg.Connection, Company]) -> None:
    db, company = standing
    with refused(db, "sessions_session_id_is_uuidv7"):
        db.execute(
            "INSERT INTO llm.sessions (session_id, user_id, session_type) VALUES (%s, %s, 'test')",
            [V4, company.user_id],
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE llm.model_configs SET temperature = 0, top_p = 1, top_k = 1, max_tokens = 1",
        "UPDATE llm.model_configs SET temperature = 2.0, top_p = 0.000001",
        "UPDATE llm.model_configs SET temperature = NULL, top_p = NULL, top_k = NULL, max_tokens = NULL",
        "UPDATE llm.deployments SET gpu_count = 0, dataset_id = NULL",
        "UPDATE llm.session_logs SET response_time = request_time",
        "UPDATE llm.session_logs SET token_used = 0",
        "UPDATE llm.session_logs SET response_time = NULL, token_used = NULL, config_id = NULL, template_id = NULL,"
        "request_prompt_s3_path = NULL, response_s3_path = NULL",
        "UPDATE llm.sessions SET end_time = start_time, status = 'completed', project_id = NULL",
        "UPDATE llm.prompt_templates SET version = '0.10.0', variables = '{}'",
        "UPDATE llm.prompt_templates SET version = '10.20.3', variables = '{}', description = NULL",
        "UPDATE llm.prompt_templates SET version = '2', variables = ARRAY['{user_input}', '{언어}']",
        "UPDATE llm.datasets SET s3_path = 's3://b-u.c/데이터/v1 final.parquet'",
        "UPDATE llm.users SET last_login = NULL, is_active = false",
        "UPDATE llm.users SET user_name = 'José 김', user_email = 'José@Example.com'",
        "UPDATE llm.users SET user_email = '김연구@예시.한국'",
    ],
)
def test_limits_and_unknowns_are_accepted(standing: tuple[psycopg.Connection, Company], statement: str) -> None:
    db, _ = standing
    with db.transaction(force_rollback=True):
        assert db.execute(statement).rowcount == 1


def test_latency_follows_the_times(standing: tuple[psycopg.Connection, Company]) -> None:
    db, _ = standing
    asked = db.execute("SELECT request_time FROM llm.session_logs").fetchone()[0]
    with db.transaction(force_rollback=True):
        seconds = db.execute(
            "UPDATE llm.session_logs SET response_time = %s RETURNING extract(EPOCH FROM latency)::float8",
            [asked + timedelta(seconds=1.25)],
        ).fetchone()[0]
        assert seconds == 1.25
        assert db.execute("UPDATE llm.session_logs SET response_time = NULL RETURNING latency").fetchone() == (None,)


def test_one_department_is_founded_with_its_manager(db: psycopg.Connection) -> None:
    department = db.execute(
        "SELECT llm.found_department('개발1팀', '이팀장', 'lead@example.com', 'developer')"
    ).fetchone()[0]
    query = """
        SELECT d.department_name, u.user_name, u.user_email, u.role, u.department_id
        FROM llm.departments AS d INNER JOIN llm.users AS u ON d.manager_id = u.user_id
    """
    assert db.execute(query).fetchall() == [("개발1팀", "이팀장", "lead@example.com", "developer", department)]
    with refused(db, "departments_department_name_key"):
        db.execute("SELECT llm.found_department('개발1팀', '박', 'other@example.com')")
    with refused(db, "users_user_email_key"):
        db.execute("SELECT llm.found_department('개발2팀', '박', 'LEAD@example.com')")
    with refused(db, "users_role_fkey"):
        db.execute("SELECT llm.found_department('개발2팀', '박', 'other@example.com', 'king')")
    assert len(db.execute(query).fetchall()) == 1


def two_departments(db: psycopg.Connection) -> list[tuple[int, int]]:
    """(department, manager) of each."""
    for name in ("하나", "둘"):
        db.execute("SELECT llm.found_department(%s, '장', %s)", [name, f"{name}@example.com"])
    return db.execute("SELECT department_id, manager_id FROM llm.departments ORDER BY 1").fetchall()


def test_departments_swap_managers_in_one_transaction(db: psycopg.Connection) -> None:
    (one, ann), (two, bob) = two_departments(db)
    with db.transaction():
        db.execute("SET CONSTRAINTS llm.departments_manager_id_key DEFERRED")
        db.execute("UPDATE llm.departments SET manager_id = %s WHERE department_id = %s", [bob, one])
        db.execute("UPDATE llm.departments SET manager_id = %s WHERE department_id = %s", [ann, two])
    assert db.execute("SELECT department_id, manager_id FROM llm.departments ORDER BY 1").fetchall() == [
        (one, bob),
        (two, ann),
    ]
    # In one statement it needs no deferring.
    db.execute("UPDATE llm.departments SET manager_id = %s - manager_id", [ann + bob])


def test_department_goes_with_all_its_members(db: psycopg.Connection) -> None:
    (one, _), _ = two_departments(db)
    db.execute(
        "INSERT INTO llm.users (user_name, user_email, role, department_id) VALUES ('가', 'a@b', 'admin', %s)", [one]
    )
    with db.transaction():
        db.execute("DELETE FROM llm.users WHERE department_id = %s", [one])
        db.execute("DELETE FROM llm.departments WHERE department_id = %s", [one])
    assert db.execute("SELECT count(*) FROM llm.users").fetchone() == (1,)


def test_last_member_does_not_leave(db: psycopg.Connection) -> None:
    """The department's manager may be someone of another department, so no foreign key holds its last member."""
    (one, ann), (two, _) = two_departments(db)
    with db.transaction():
        cid = db.execute(
            "INSERT INTO llm.users (user_name, user_email, role, department_id)"
            "VALUES ('가', 'a@b', 'admin', %s) RETURNING user_id",
            [two],
        ).fetchone()[0]
        db.execute("UPDATE llm.departments SET manager_id = %s WHERE department_id = %s", [cid, one])
    with refused(db, "users_leave_a_member_behind"):
        db.execute("UPDATE llm.users SET department_id = %s WHERE user_id = %s", [two, ann])
    with refused(db, "users_leave_a_member_behind"):
        db.execute("DELETE FROM llm.users WHERE user_id = %s", [ann])
    with db.transaction():  # deferred: whoever comes by commit counts
        db.execute("DELETE FROM llm.users WHERE user_id = %s", [ann])
        db.execute("UPDATE llm.users SET department_id = %s WHERE user_id = %s", [one, cid])


def test_department_does_not_slip_away_under_another_id(db: psycopg.Connection) -> None:
    (one, ann), (two, _) = two_departments(db)

    def move_both() -> None:
        with db.transaction():
            db.execute("UPDATE llm.departments SET department_id = 99 WHERE department_id = %s", [one])
            db.execute("UPDATE llm.users SET department_id = %s WHERE user_id = %s", [two, ann])

    with pytest.raises(psycopg.errors.IntegrityError) as error:
        move_both()
    assert error.value.diag.constraint_name in (
        "departments_have_a_member",
        "users_leave_a_member_behind",
        "user_departments_department_id_fkey",
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("DELETE FROM llm.users", marks=pytest.mark.one_node("who deletes a key waits for who did")),
        "UPDATE llm.users SET department_id = %(other)s",
    ],
)
@pytest.mark.parametrize("isolation", list(psycopg.IsolationLevel)[1:])
def test_last_two_members_do_not_leave_at_once(
    db: psycopg.Connection, dsn: str, isolation: psycopg.IsolationLevel, change: str
) -> None:
    (one, ann), (two, _) = two_departments(db)
    with db.transaction():
        # Managed from outside, the department is held by its members alone.
        boss = db.execute(
            "INSERT INTO llm.users (user_name, user_email, role, department_id)"
            "VALUES ('가', 'a@b', 'admin', %s) RETURNING user_id",
            [two],
        ).fetchone()[0]
        db.execute("UPDATE llm.departments SET manager_id = %s WHERE department_id = %s", [boss, one])
        eve = db.execute(
            "INSERT INTO llm.users (user_name, user_email, role, department_id)"
            "VALUES ('나', 'e@b', 'admin', %s) RETURNING user_id",
            [one],
        ).fetchone()[0]
    ready = threading.Barrier(2, timeout=20)
    failures: list[psycopg.Error] = []

    def leave(user: int) -> None:
        with psycopg.connect(dsn) as connection:
            connection.isolation_level = isolation
            connection.execute(change + " WHERE user_id = %(user)s", {"user": user, "other": two})
            ready.wait()
            try:
                connection.commit()
            except (psycopg.errors.IntegrityError, psycopg.errors.SerializationFailure) as error:
                failures.append(error)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(leave, [ann, eve]))
    assert db.execute("SELECT count(*) FROM llm.users WHERE department_id = %s", [one]).fetchone() == (1,)
    assert len(failures) == 1
    if isolation == psycopg.IsolationLevel.READ_COMMITTED:
        assert failures[0].diag.constraint_name == "users_leave_a_member_behind"


def test_logs_go_with_their_session(db: psycopg.Connection, company: Company) -> None:
    for _ in range(3):
        db.execute(
            "INSERT INTO llm.session_logs (session_id, deployment_id) VALUES (%s, %s)",
            [company.session_id, company.deployment_id],
        )
    db.execute("DELETE FROM llm.sessions")
    assert db.execute("SELECT count(*) FROM llm.session_logs").fetchone() == (0,)


def test_every_other_foreign_key_refuses_the_delete(db: psycopg.Connection) -> None:
    actions = dict(
        db.execute("""
        SELECT conname, confdeltype::text || confupdtype::text
        FROM pg_catalog.pg_constraint
        WHERE contype = 'f' AND connamespace = 'llm'::regnamespace AND conparentid = 0
    """).fetchall()
    )
    assert actions.pop("session_logs_session_id_fkey") == "ca"
    assert actions.pop("user_departments_user_id_fkey") == "ca"
    assert set(actions.values()) == {"aa"}


def test_users_who_did_something_stay(db: psycopg.Connection, company: Company) -> None:
    author = db.execute(
        "INSERT INTO llm.users (user_name, user_email, role, department_id)"
        "VALUES ('가', 'a@b', 'admin', %s) RETURNING user_id",
        [company.department_id],
    ).fetchone()[0]
    for table, column, constraint in [
        ("sessions", "user_id", "sessions_user_id_fkey"),
        ("projects", "created_by", "projects_created_by_fkey"),
        ("prompt_templates", "created_by", "prompt_templates_base_created_by_fkey"),
    ]:
        with refused(db, constraint):
            db.execute(f"UPDATE llm.{table} SET {column} = %s", [author])
            db.execute("DELETE FROM llm.users WHERE user_id = %s", [author])


def test_used_template_stays(db: psycopg.Connection, company: Company) -> None:
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, template_id) VALUES (%s, %s, %s)",
        [company.session_id, company.deployment_id, company.template_id],
    )
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        db.execute("DELETE FROM llm.prompt_templates")
    db.execute("DELETE FROM llm.session_logs")
    with refused(db, "prompt_template_uses_template_id_fkey"):
        db.execute("DELETE FROM llm.prompt_templates")


def test_session_id_orders_by_time(db: psycopg.Connection) -> None:
    """To the millisecond, at the ends of months too; and it carries the version and variant of RFC 9562."""
    for time in (
        "1970-01-01 00:00:00Z",
        "2023-11-30 23:59:59.999Z",
        "2023-12-01 00:00:00Z",
        "2099-12-31 12:34:56.789Z",
    ):
        made = db.execute("SELECT llm.uuidv7(%s)", [time]).fetchone()[0]
        assert made.version == 7
        assert made.variant == uuid.RFC_4122
        assert db.execute(
            "SELECT llm.uuidv7_time(%(made)s) = %(time)s::timestamptz AND llm.uuidv7_floor(%(time)s) <= %(made)s"
            " AND llm.uuidv7_floor(%(time)s::timestamptz + interval '1 ms') > %(made)s AND llm.is_uuidv7(%(made)s)",
            {"made": made, "time": time},
        ).fetchone() == (True,), time
    assert db.execute("SELECT count(DISTINCT llm.uuidv7()) FROM generate_series(1, 1000)").fetchone() == (1000,)


def test_a_path_of_s3_is_what_it_was_in_0_1_0(db: psycopg.Connection) -> None:
    """The answer is found in another way since. That of 0.1.0 is asked of every short text of what matters, and of
    buckets of every length."""
    signs = ["a", "0", ".", "-", "/", "A", "é", "\n"]
    parts = ["".join(text) for length in range(5) for text in product(signs, repeat=length)]
    paths = [head + part for part in parts for head in ("s3://", "s3://aa", "s3:/", "")]
    paths += [f"s3://{'a' * n}{last}/{key}" for n in range(70) for last in ("", "-", "b") for key in ("", "k", "/")]
    wrong = db.execute(
        "SELECT p FROM unnest(%s::text[]) AS p"
        " WHERE llm.is_s3_uri(p) IS DISTINCT FROM p ~ '^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$'",
        [[*paths, None]],
    ).fetchall()
    assert wrong == []
    assert (
        db.execute("SELECT count(*) FROM unnest(%s::text[]) AS p WHERE llm.is_s3_uri(p)", [paths]).fetchone()[0] > 100
    )
