"""A file's names find what the tables store, whatever blanks are around them and however their letters are composed."""

import json
import unicodedata
from pathlib import Path

import psycopg
import pytest

from command import llm_db
from conftest import Company

# Stored as names; in files they come as people and programs write them.
STORED = {
    "deployments": ("server_name", "gpu-é 1"),
    "models": ("model_name", "한글 モデル"),
    "model_configs": ("config_name", "déjà vu"),
    "prompt_templates": ("template_name", "요약 ❤\ufe0f"),
    "projects": ("project_name", "Ångström 프로젝트"),
    "users": ("user_email", "José@예시.한국"),
}
WRITTEN = {
    "plain": "{}",
    "blanks": "  {}\t",
    "no-break": "\u00a0{}\u3000",
    "invisible": "\ufeff{}\u200b",
}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_stored_name_is_found(db: psycopg.Connection, dsn: str, company: Company, tmp_path: Path, form: str) -> None:
    for table, (column, name) in STORED.items():
        db.execute(f"UPDATE llm.{table} SET {column} = %s", [name])
    lines = []
    for minute, around in enumerate(WRITTEN.values()):
        row = {column: around.format(unicodedata.normalize(form, name)) for column, name in STORED.values()}
        row |= {"request_time": f"2026-03-20 10:0{minute}:00Z", "version": "1.0"}
        lines.append(json.dumps(row, ensure_ascii=False))
    file = tmp_path / "logs.ndjson"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = llm_db("load", str(file), "--dsn", dsn)
    assert done.returncode == 0, done.stdout + done.stderr
    found = db.execute("SELECT count(*), count(config_id), count(template_id) FROM llm.session_logs").fetchone()
    assert found == (len(WRITTEN),) * 3
