"""What shards sum up, and the coordinator adds up, is what one node sums up of the same logs."""

import psycopg

from citus import needs_a_cluster
from company import COMPANY
from llm_db import repeatables

pytestmark = needs_a_cluster

# Few latencies, so that many are the slowest alike; some people change their department meanwhile, and all deployments
# their model, amid a day.
LOGS = """
INSERT INTO llm.sessions (session_id, user_id, project_id, start_time, end_time, session_type, status)
SELECT
    llm.uuidv7(at), (ARRAY[11, 12, 13, 21])[1 + n % 4], nullif(n % 3, 0), at, at + interval '1 hour', 'test',
    'completed'
FROM (SELECT n, '2024-02-20Z'::timestamptz + n * interval '9 hours' AS at FROM generate_series(1, 60) AS n) AS s;
INSERT INTO llm.session_logs (
    session_id, log_sequence, request_time, response_time, deployment_id, config_id, template_id, token_used
)
SELECT
    s.session_id, 100 + n, at, at + (ARRAY[NULL, 1, 1, 2, 3, 5000])[1 + n % 6] * interval '1 second', 1 + n % 3,
    CASE WHEN n % 4 = 0 THEN 1 END, nullif(n % 4, 0), (ARRAY[NULL, 5, 50])[1 + n % 3]
FROM (SELECT session_id, start_time FROM llm.sessions OFFSET 0) AS s
CROSS JOIN generate_series(1, 30) AS n
CROSS JOIN LATERAL (SELECT s.start_time + n * interval '7 minutes' AS at) AS a;
INSERT INTO llm.deployment_history (deployment_id, since, model_id, gpu_count, environment, status)
SELECT deployment_id, '2024-02-28 03:10Z', 3 - model_id, gpu_count, environment, status FROM llm.deployments;
UPDATE llm.model_configs SET max_tokens = 50;
INSERT INTO llm.user_departments (user_id, department_id, since) VALUES (11, 2, '2024-03-01Z'), (21, 1, '2024-03-05Z');
"""
SUMS = " UNION ALL ".join(
    f"SELECT '{table}', count(*), md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM rollup.{table} AS r"
    for table in (
        *("usage", "hours", "slowest", "sessions", "activity"),
        *("deployment_usage", "running", "costs", "user_costs"),
    )
)


def test_shards_sum_up_as_one_node_does(db: psycopg.Connection) -> None:
    db.execute(COMPANY)
    for statement in LOGS.split(";"):
        db.execute(statement)
    db.execute("CALL ops.refresh_rollups('2024-06-01Z', batch_logs => 500)")
    [by_shards] = [db.execute(SUMS).fetchall()]
    assert all(rows for _, rows, _ in by_shards)
    # The text of one node asks for every log, and can be run here as well.
    [one_node] = [file for file in repeatables.files() if file.name == "2_rollup/60_fold"]
    db.execute("SET citus.enable_ddl_propagation = off")
    db.execute(one_node.text)
    db.execute("SELECT ops.restart_rollups()")
    db.execute("CALL ops.refresh_rollups('2024-06-01Z')")
    assert db.execute("SELECT position('cluster.' IN prosrc) FROM pg_proc WHERE proname = 'fold_logs'").fetchone() == (
        0,
    )
    assert db.execute(SUMS).fetchall() == by_shards
