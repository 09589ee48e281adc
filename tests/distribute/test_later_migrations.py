"""A migration that comes after a database went to a cluster: applied, checked, rolled back, and taken back with it."""

import shutil
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from test_distribute import make_logs

import citus
from citus import needs_a_cluster
from command import ROOT, llm_db_process

NEWEST = max(path.stem for path in (ROOT / "migrations").glob("*.sql") if "rollback" not in path.name)
MIGRATIONS = {
    "9001.finish-reasons": """
CREATE TABLE llm.finish_reasons (
    code        text NOT NULL,
    description text NOT NULL,

    CONSTRAINT finish_reasons_pkey PRIMARY KEY (code)
);
COMMENT ON TABLE llm.finish_reasons IS 'Why a model stopped';
COMMENT ON COLUMN llm.finish_reasons.code IS 'Key';
COMMENT ON COLUMN llm.finish_reasons.description IS 'In words';
INSERT INTO llm.finish_reasons VALUES ('stop', 'It had no more to say');
ALTER TABLE llm.session_logs ADD COLUMN finish_reason text NULL;
COMMENT ON COLUMN llm.session_logs.finish_reason IS 'Why the model stopped; NULL = not known';
ALTER TABLE llm.session_logs
ADD CONSTRAINT session_logs_finish_reason_not_blank CHECK (btrim(finish_reason) <> '') NOT VALID;
COMMENT ON CONSTRAINT session_logs_finish_reason_not_blank ON llm.session_logs IS 'NULL says it';
CREATE INDEX session_logs_finish_reason_idx ON llm.session_logs (finish_reason, request_time);
COMMENT ON INDEX llm.session_logs_finish_reason_idx IS 'Logs by why the model stopped';
-- DOWN --
DROP INDEX llm.session_logs_finish_reason_idx;
ALTER TABLE llm.session_logs DROP CONSTRAINT session_logs_finish_reason_not_blank;
ALTER TABLE llm.session_logs DROP COLUMN finish_reason;
DROP TABLE llm.finish_reasons;
""",
    "9002.finish-reasons-are-proven": """
-- depends: 9001.finish-reasons
ALTER TABLE llm.session_logs VALIDATE CONSTRAINT session_logs_finish_reason_not_blank;
-- DOWN --
ALTER TABLE llm.session_logs DROP CONSTRAINT session_logs_finish_reason_not_blank;
ALTER TABLE llm.session_logs
ADD CONSTRAINT session_logs_finish_reason_not_blank CHECK (btrim(finish_reason) <> '') NOT VALID;
""",
}
VIEW = """-- needs: 9001.finish-reasons
CREATE OR REPLACE VIEW reporting.finish_reasons AS
SELECT l.finish_reason, count(*) AS requests
FROM llm.session_logs AS l
GROUP BY l.finish_reason;
COMMENT ON VIEW reporting.finish_reasons IS 'Requests by why the model stopped';
COMMENT ON COLUMN reporting.finish_reasons.finish_reason IS 'As in llm.session_logs';
COMMENT ON COLUMN reporting.finish_reasons.requests IS 'Logs';
GRANT SELECT ON reporting.finish_reasons TO llm_analyst;
"""


@pytest.fixture
def later(tmp_path: Path) -> Path:
    for part in ("scripts/llm_db", "migrations", "views", "seeds", "distributed"):
        shutil.copytree(ROOT / part, tmp_path / part)
    for name, text in MIGRATIONS.items():
        up, _, down = text.partition("-- DOWN --\n")
        if "depends" not in up:
            up = f"-- depends: {NEWEST}\n{up}"
        (tmp_path / "migrations" / f"{name}.sql").write_text(up.lstrip("\n"))
        (tmp_path / "migrations" / f"{name}.rollback.sql").write_text(down)
    (tmp_path / "views" / "3_reporting" / "99_finish_reasons.sql").write_text(VIEW)
    return tmp_path


@needs_a_cluster
def test_a_later_migration_there_and_back(later: Path, dsn: str) -> None:
    def run(*command: str, root: Path = later) -> str:
        scratch = ("--scratch", citus.servers()[0]) if command[0] == "check" else ()
        done = llm_db_process(*command, "--dsn", dsn, *scratch, root=root)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with closing(psycopg.connect(dsn, autocommit=True)) as db:
        make_logs(db, days=3)
        logs = db.execute("SELECT count(*) FROM llm.session_logs").fetchone()[0]
        reasons = "SELECT finish_reason, requests FROM reporting.finish_reasons"
        run("migrate")
        run("check")
        assert db.execute(reasons).fetchall() == [(None, logs)]
        with pytest.raises(psycopg.errors.CheckViolation, match="session_logs_finish_reason_not_blank"):
            db.execute("UPDATE llm.session_logs SET finish_reason = ' '")
        run("rollback", "--to", NEWEST, "--yes")
        run("check", root=ROOT)
        run("migrate")
        db.execute("UPDATE llm.session_logs SET finish_reason = 'stop'")
        run("distribute", "--undo")
        run("check")
        assert db.execute(reasons).fetchall() == [("stop", logs)]
        run("distribute")
        run("check")
        assert db.execute(reasons).fetchall() == [("stop", logs)]
