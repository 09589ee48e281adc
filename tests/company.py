"""A company small enough to count its reports by hand, and how they are read."""

from datetime import date

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

SEOUL_10, SEOUL_11 = date(2024, 3, 10), date(2024, 3, 11)
GPT, MISTRAL = "gpt-oss-120b", "Mistral-8b"
AI, DEV = "AI연구팀", "개발1팀"
CHATBOT = "고객서비스 챗봇"

COMPANY = """
INSERT INTO llm.departments (department_id, department_name, manager_id) VALUES (1, 'AI연구팀', 11), (2, '개발1팀', 21);
INSERT INTO llm.users (user_id, user_name, user_email, role, is_active, department_id) VALUES
    (11, '김연구', 'kim@example.com', 'researcher', true, 1),
    (12, '이퇴사', 'lee@example.com', 'analyst', false, 1),
    (13, '정신입', 'jung@example.com', 'developer', true, 1),
    (21, '박개발', 'park@example.com', 'developer', true, 2);
INSERT INTO llm.projects (project_id, project_name, created_by, department_id) VALUES
    (1, '고객서비스 챗봇', 11, 1), (2, '문서요약 시스템', 11, 1);
INSERT INTO llm.models (model_id, model_name, model_type) VALUES (1, 'gpt-oss-120b', 'chat'), (2, 'Mistral-8b', 'code');
INSERT INTO llm.model_configs (config_id, model_id, config_name) VALUES (1, 1, '요약용');
INSERT INTO llm.datasets (dataset_id, learning_type, s3_path) VALUES
    (1, 'fine_tuning', 's3://bucket/one'), (2, 'transfer_learning', 's3://bucket/two');
INSERT INTO llm.deployments (deployment_id, model_id, dataset_id, server_name, gpu_count, environment, status) VALUES
    (1, 1, 1, 'gpu-01', 8, 'production', 'active'),
    (2, 1, NULL, 'gpu-02', 2, 'test', 'maintenance'),
    (3, 2, 1, 'gpu-03', 1, 'staging', 'inactive');
-- They hold their GPUs on the two days of these requests, in Seoul: today, a report would go on while it is read.
DELETE FROM llm.deployment_history WHERE since > '-infinity';
INSERT INTO llm.deployment_history (deployment_id, since, model_id, gpu_count, environment, status)
SELECT e.deployment_id, h.since, e.model_id, e.gpu_count * h.held, e.environment, e.status
FROM llm.deployments AS e, (VALUES ('2024-03-09 15:00Z'::timestamptz, 1), ('2024-03-11 15:00Z', 0)) AS h (since, held);
INSERT INTO llm.gpu_rates (since, price_per_hour) VALUES ('-infinity', 3000);
INSERT INTO llm.budgets (department_id, project_id, since, amount) VALUES
    (1, NULL, '2024-03-01', 1000000), (2, NULL, '2024-03-01', 100000), (NULL, 1, '2024-03-01', 500000);
INSERT INTO llm.prompt_templates (template_id, template_name, prompt_s3_path, task_category, version, created_by) VALUES
    (1, '요약', 's3://bucket/1.9', 'summarization', '1.9', 11),
    (2, '요약', 's3://bucket/1.10', 'summarization', '1.10', 12),
    (3, '번역', 's3://bucket/1', 'translation', '1.0', 21);
-- UTC; midnight in Seoul is 15:00 UTC of the day before.
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT llm.uuidv7(start_time), user_id, project_id, start_time, end_time, session_type, status
FROM (VALUES
    (11, 1, '2024-03-10 14:00Z'::timestamptz, '2024-03-10 15:30Z'::timestamptz, 'production', 'completed'),
    (21, NULL, '2024-03-11 01:00Z', NULL, 'development', 'running'),
    (12, 1, '2024-03-11 02:00Z', '2024-03-11 02:00Z', 'experiment', 'aborted')
) AS s (user_id, project_id, start_time, end_time, session_type, status);
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, deployment_id, config_id, template_id, token_used
)
SELECT s.session_id, l.log_sequence, request_time, request_time + latency, deployment_id, config_id, template_id, tokens
FROM (VALUES
    (11, 1, '2024-03-10 14:59:59.5Z'::timestamptz, '1.5 s'::interval, 1, 1, 1, 100),
    (11, 2, '2024-03-10 15:00:00Z', NULL, 1, NULL, 2, NULL),
    (11, 3, '2024-03-10 15:00:30Z', '250 ms', 2, NULL, NULL, 50),
    (11, 4, '2024-03-10 15:00:40Z', '250 ms', 2, NULL, 1, 1000),
    (21, 1, '2024-03-11 01:10:00Z', '10.001 ms', 1, NULL, 1, 7)
) AS l (user_id, log_sequence, request_time, latency, deployment_id, config_id, template_id, tokens)
INNER JOIN llm.sessions AS s USING (user_id);
-- Its use stays counted.
DELETE FROM llm.session_logs WHERE log_sequence = 4;
"""


# Up to where the rollups are made: nowhere, amid the requests, behind them all. No report may show a difference.
CLOSED_BEFORE = {"open": None, "half closed": "2024-03-10 15:00:20Z", "closed": "2024-03-12 00:00Z"}


def found(db: psycopg.Connection, close_before: str | None = None) -> psycopg.Connection:
    """Makes the company, with its rollups made up to this time."""
    with db.transaction():
        db.execute(COMPANY)
    if close_before:
        db.execute("CALL ops.refresh_rollups(%s)", [close_before])
    return db


def rows_of(db: psycopg.Connection, view: str, columns: str, condition: str = "true") -> list[tuple]:
    """In the order of the columns. Each row tells the names of its columns where a comparison fails."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns.split()))
    query = sql.SQL("SELECT {} FROM reporting.{} WHERE {} ORDER BY {}").format(
        names, sql.Identifier(view), sql.SQL(condition), names
    )
    return db.cursor(row_factory=namedtuple_row).execute(query).fetchall()


def read(db: psycopg.Connection, view: str, columns: str) -> set[tuple]:
    """The rows as a set; a row that came twice fails here."""
    rows = rows_of(db, view, columns)
    assert len(rows) == len(set(rows))
    return set(rows)
