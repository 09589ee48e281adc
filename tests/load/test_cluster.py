"""What a load does otherwise where sessions and logs lie on a cluster."""

from pathlib import Path

import psycopg
import pytest

from citus import needs_a_cluster
from command import llm_db
from llm_db.load import run

pytestmark = needs_a_cluster

SETUP = """
SELECT llm.found_department('D1', 'Kim', 'kim@example.com');
INSERT INTO llm.models (model_name, model_type) VALUES ('m1', 'chat');
INSERT INTO llm.deployments (model_id, server_name, gpu_count, environment, status)
SELECT model_id, 's1', 1, 'production', 'active' FROM llm.models;
"""


def test_months_are_not_filled_beside_the_others(db: psycopg.Connection, dsn: str, tmp_path: Path) -> None:
    """However many rows a new month has, they are inserted, on all shards; and nobody else fills one."""
    db.execute(SETUP)
    rows = run.FEW_ROWS + 500
    lines = [f"2024-03-{1 + n % 28:02} {n // 28 % 24:02}:00:{n % 60:02}Z,s1,kim@example.com" for n in range(rows)]
    path = tmp_path / "logs.csv"
    path.write_text("request_time,server_name,user_email\n" + "\n".join(lines) + "\n")
    for loaded in (rows, 0):
        done = llm_db("load", "--dsn", dsn, str(path))
        assert done.returncode == 0, done.stderr
        assert db.execute("SELECT count(*) FROM llm.session_logs_2024_03").fetchone() == (rows,)
        assert (f"{rows:,} loaded" in done.stdout) == bool(loaded)
        assert "beside" not in done.stdout
    with pytest.raises(psycopg.errors.SerializationFailure, match="on a cluster months are not filled"):
        db.execute("SELECT llm.begin_months('{2024-05-01}')")
    assert db.execute("SELECT to_regclass('llm.sessions_beside')").fetchone() == (None,)
