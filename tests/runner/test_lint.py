"""`llm-db lint`: each rule refuses what it is for, with file and line, and leaves what only looks like it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from pglast import split

from command import ROOT, checkout, llm_db, llm_db_process, value
from llm_db import lint, sql_text

pytestmark = pytest.mark.once("files are read, and no server is asked")

GOOD = {"0001.good": "CREATE TABLE public.good (id int);\n-- DOWN --DROP TABLE public.good;\n"}
ALONE = "-- transactional: false\nCREATE INDEX CONCURRENTLY good_idx ON public.good (id);\n-- DOWN --"
EACH = """-- transactional: false
-- each-partition-of: public.good
CREATE INDEX CONCURRENTLY good_each_idx ON public.good_each (id);
ALTER INDEX public.good_idx ATTACH PARTITION public.good_each_idx;
-- DOWN --
DROP INDEX public.good_idx;
CREATE INDEX good_idx ON ONLY public.good (id);
"""
UP, DOWN = "migrations/0002.bad.sql", "migrations/0002.bad.rollback.sql"

ALWAYS = {
    "begin": ("SELECT 1;\nBEGIN;\n-- DOWN --", UP, 2, "BEGIN: the file begins or ends a transaction of its own"),
    "commit": ("SELECT 1; commit\n;\n-- DOWN --", UP, 1, "COMMIT: the file begins or ends"),
    "rollback": ("SELECT 1;\n-- DOWN --\n\nROLLBACK;", DOWN, 3, "ROLLBACK: the file begins or ends"),
    "savepoint": ("/* a /* b */ c */\nSAVEPOINT here;\n-- DOWN --", UP, 2, "SAVEPOINT: the file begins or ends"),
    "start": ("START /* */ TRANSACTION;\n-- DOWN --", UP, 1, "START: the file begins or ends"),
    "end": ("SELECT 'C:\\';\nEND;\n-- DOWN --", UP, 2, "END: the file begins or ends"),
    "prepare": ("PREPARE TRANSACTION 'x';\n-- DOWN --", UP, 1, "PREPARE: the file begins or ends"),
    "copy": ("COPY public.good (id) FROM stdin;\n1\n\\.\n-- DOWN --", UP, 1, "COPY FROM stdin"),
    "psql": ("SELECT 1;\n\\i other.sql\n-- DOWN --", UP, 2, "a psql command (backslash)"),
    "gexec": ("SELECT 'SELECT 1' \\gexec\n-- DOWN --", UP, 1, "a psql command (backslash)"),
    "late depends": ("SELECT 1;\n-- depends: 0001.good\n-- DOWN --", UP, 2, "comes after other text"),
    "after a block": ("/* why */\n-- transactional: false\nSELECT 1;\n-- DOWN --", UP, 2, "comes after other text"),
    "misspelt": ("-- depend: 0001.good\nSELECT 1;\n-- DOWN --", UP, 1, "is not a header that llm-db knows"),
    "capital": ("-- Transactional: false\nSELECT 1;\n-- DOWN --", UP, 1, "is not a header that llm-db knows"),
    "equals": ("-- transactional = false\nSELECT 1;\n-- DOWN --", UP, 1, "is not a header that llm-db knows"),
    "no colon": ("-- transactional false\nSELECT 1;\n-- DOWN --", UP, 1, "is not a header that llm-db knows"),
    "unknown value": ("-- transactional: no\nSELECT 1;\n-- DOWN --", UP, 1, "`-- transactional: no` is neither"),
    "twice": ("-- transactional: false\n-- transactional: false\nSELECT 1;\n-- DOWN --", UP, 2, "false false"),
    "depends on nothing": ("-- depends:\nSELECT 1;\n-- DOWN --", UP, 1, "names no migration"),
    "rollback header": ("SELECT 1;\n-- DOWN ---- transactional: false\n", DOWN, 1, "is ignored in a rollback"),
    "two alone": (ALONE.replace("-- DOWN", "SELECT 1;\n-- DOWN"), UP, 3, "a second statement"),
    "two back": (ALONE + "SELECT 1;\nSELECT 2;", DOWN, 2, "a second statement"),
    "each in a transaction": (EACH.removeprefix("-- transactional: false\n"), UP, 1, "in a transaction"),
    "each of what": (EACH.replace("of: public.", "of: "), UP, 1, "`-- each-partition-of: good` names no table"),
    "each of two": (EACH.replace("of: public.good", "of: public.good public.bad"), UP, 1, "names no table"),
    "each, not attached": (EACH.replace("ALTER INDEX", "ALTER TABLE"), UP, 1, "not the two statements"),
    "each, one statement": (EACH.replace("ALTER", "-- ALTER"), UP, 1, "not the two statements"),
    "each, three statements": (EACH.replace("-- DOWN", "SELECT 1;\n-- DOWN"), UP, 1, "not the two statements"),
    "each, not concurrently": (EACH.replace("CONCURRENTLY ", ""), UP, 1, "not the two statements"),
    "each, not named": (EACH.replace("PARTITION public.good_each_idx", "PARTITION public.good_1"), UP, 4, "good_each"),
    "each, misspelt": (
        "-- each-partitions-of: public.good\nSELECT 1;\n-- DOWN --",
        UP,
        1,
        "is not a header that llm-db knows",
    ),
    "each in a rollback": (EACH + "-- each-partition-of: public.good", DOWN, 4, "is ignored in a rollback"),
}

FINE = {
    "a function's body": "CREATE FUNCTION public.f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  RETURN 1;\nEND\n$$;",
    "a tag": "DO $do$ BEGIN PERFORM '$$'; END $do$;",
    "a body without quotes": "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql\n"
    "BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\nSELECT 3;",
    "a comment": "-- BEGIN; COMMIT;\n/* ROLLBACK; /* \\i */ SAVEPOINT a; */ SELECT 1;",
    "strings": "SELECT 'COMMIT; \\i', E'it\\'s; COMMIT;', 'two''; COMMIT;', \"x;y\" FROM (SELECT 1 AS \"x;y\") AS a;",
    "a string in two parts": "SELECT E'a'\n'\\'; COMMIT;'; SELECT 'a'\n'; COMMIT;';",
    "an operator": "SELECT 1 # 2; SELECT 3;",
    "a rule": "CREATE RULE r AS ON INSERT TO public.good DO ALSO (SELECT 1; SELECT 2);",
    "words": "CREATE TABLE public.begin (commit int, start int, stdin text); SELECT start FROM public.begin;",
    "copy from a file": "COPY public.good FROM '/stdin';",
    "prose": "-- depends on nothing\n-- transactional work is done elsewhere\n-- Note: this\nSELECT 1;",
    "headers": "-- why this is here\n-- depends: 0001.good\n\n-- transactional: True\nSELECT 1;",
    "windows line ends": "-- depends: 0001.good\r\nSELECT 1;\r\nSELECT 2;\r\n",
    "nothing": "",
}


def linted(root: Path, *arguments: str) -> list[dict]:
    done = llm_db("lint", "--json", *arguments, root=root)
    found = json.loads(done.stdout)
    assert done.returncode == (7 if found else 0), done.stderr
    return found


def test_this_repository_is_in_order():
    done = llm_db("lint")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ALWAYS)
def test_each_rule_names_file_and_line(tmp_path, name):
    text, file, line, says = ALWAYS[name]
    (found,) = linted(checkout(tmp_path, GOOD | {"0002.bad": text}))
    assert (found["file"], found["line"]) == (file, line)
    assert says in found["what"]
    assert found["hint"]


@pytest.mark.parametrize("name", FINE)
def test_what_only_looks_like_it_passes(tmp_path, name):
    root = checkout(tmp_path, GOOD | {"0002.fine": "-- DOWN --"})
    path = root / "migrations" / "0002.fine.sql"
    path.write_bytes(FINE[name].encode())
    assert list(lint.file_findings(path)) == []
    # The same number of statements as PostgreSQL's own parser sees.
    assert len(sql_text.read(FINE[name].replace("\r\n", "\n")).statements) == len(split(FINE[name]))


def test_what_was_released_is_never_edited(tmp_path):
    root = checkout(tmp_path, GOOD | {"0002.fine": "SELECT 1;\n-- DOWN --"})
    names = ["0001.good.sql", "0001.good.rollback.sql"]
    listed = subprocess.run(["sha256sum", *names], cwd=root / "migrations", capture_output=True, check=True).stdout
    (root / "migrations" / "RELEASED").write_bytes(listed)
    assert linted(root) == []
    with open(root / "migrations" / names[1], "a") as file:
        file.write("-- better\n")
    (found,) = linted(root)
    assert (found["file"], found["what"]) == (f"migrations/{names[1]}", "is not what was released")
    (root / "migrations" / names[1]).unlink()
    assert "is not what was released" in {found["what"] for found in linted(root)}


def test_every_release_is_on_the_list():
    listed = {line.split()[1] for line in (ROOT / "migrations" / "RELEASED").read_text().splitlines()}
    released = {path.name for path in (ROOT / "migrations").glob("*.sql") if path.name[:4] <= "0035"}
    assert listed == released


def test_a_file_for_each_partition_passes(tmp_path):
    assert linted(checkout(tmp_path, GOOD | {"0002.fine": EACH})) == []


def test_every_migration_has_as_many_statements_as_postgresql_sees():
    for path in (ROOT / "migrations").glob("*.sql"):
        text = path.read_text("utf-8")
        assert len(sql_text.read(text).statements) == len(split(text)), path.name


VIEW = "CREATE OR REPLACE VIEW reporting.one AS SELECT 1 AS one;\n"
TRIGGER = "CREATE OR REPLACE TRIGGER one AFTER INSERT ON llm.one EXECUTE FUNCTION llm.one();\n"
CONSTRAINT_TRIGGER = """DROP TRIGGER IF EXISTS one ON llm.one;
CREATE CONSTRAINT TRIGGER one AFTER INSERT ON llm.one FOR EACH ROW EXECUTE FUNCTION llm.one();
"""
REPEATABLES = {
    "not named": ("reporting/10_one", VIEW, 1, "is not named like a repeatable"),
    "no number": ("1_views/one", VIEW, 1, "is not named like a repeatable"),
    "too deep": ("1_views/2_more/10_one", VIEW, 1, "is not named like a repeatable"),
    "not replaced": (
        "1_views/10_one",
        VIEW + "CREATE VIEW reporting.two AS SELECT 1;",
        2,
        "CREATE VIEW REPORTING",
    ),
    "a table": ("1_views/10_one", VIEW + "\nCREATE TABLE llm.one (id int);", 3, "CREATE TABLE LLM: not a statement"),
    "a drop": ("1_views/10_one", "DROP VIEW reporting.one;\n" + VIEW, 1, "DROP VIEW REPORTING: not a statement"),
    "rows": ("1_views/10_one", VIEW + "INSERT INTO llm.one VALUES (1);", 2, "INSERT INTO LLM: not a statement"),
    "a setting": ("1_views/10_one", "SET jit = off;\n" + VIEW, 1, "SET JIT"),
    "a trigger elsewhere": ("1_views/10_one", TRIGGER, 1, "CREATE OR REPLACE: not a statement"),
    "another call": ("1_views/10_one", VIEW + "CALL public.one();", 2, "CALL PUBLIC"),
    "commit": ("1_views/10_one", VIEW + "COMMIT;", 2, "COMMIT: the file begins or ends a transaction"),
    "psql": ("1_views/10_one", VIEW + "\\i other.sql", 2, "a psql command"),
    "needs nothing": ("1_views/10_one", "-- needs:\n" + VIEW, 1, "names no migration"),
    "needs what is not there": (
        "1_views/10_one",
        "-- needs: 0002.bad\n" + VIEW,
        1,
        "0002.bad, which is not there",
    ),
    "misspelt": ("1_views/10_one", "-- need: 0001.good\n" + VIEW, 1, "is not a header that llm-db knows"),
    "late": ("1_views/10_one", VIEW + "-- needs: 0001.good", 2, "comes after other text"),
    "the parser": (
        "1_views/10_one",
        "CREATE OR REPLACE VIEW reporting.one AS\nSELECCT 1;",
        2,
        "syntax error at or near",
    ),
}


@pytest.mark.parametrize("name", REPEATABLES)
def test_each_rule_for_repeatables_names_file_and_line(tmp_path, name):
    file, text, line, says = REPEATABLES[name]
    root = checkout(tmp_path, GOOD)
    path = root / "views" / f"{file}.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    found = linted(root)
    assert (found[0]["file"], found[0]["line"]) == (f"views/{file}.sql", line)
    assert says in found[0]["what"]
    assert found[0]["hint"]


def test_what_may_be_repeated_passes(tmp_path):
    routine = "CREATE OR REPLACE FUNCTION llm.one() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;\n"
    more = "COMMENT ON VIEW reporting.one IS '1';\nGRANT SELECT ON reporting.one TO PUBLIC;\nCALL ops.describe('a');\n"
    body = "CREATE OR REPLACE PROCEDURE llm.two() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM llm.one; COMMIT; END $$;\n"
    files = {
        "1_views/10_one": f"-- needs: 0001.good\n-- why needs must\n{VIEW}{more}{routine}{body}",
        "5_triggers/10_one": TRIGGER + CONSTRAINT_TRIGGER + "INSERT INTO llm.one VALUES (1);",
    }
    assert linted(checkout(tmp_path, GOOD, files)) == []


@pytest.mark.parametrize(
    ("data", "line", "says"),
    [
        (b"SELECT 1;\n-- \xb1\xe8\n", 2, "not UTF-8 (byte 13)"),
        ("SELECT 1;".encode("utf-16"), 1, "not UTF-8"),
        (b"SELECT 1;\nSELECT 2;\0 DROP TABLE a;", 2, "a NUL character"),
        ("\ufeffSELECT 1;".encode(), 1, "begins with a byte order mark"),
    ],
)
@pytest.mark.parametrize("name", ["0001.good.sql", "0001.good.rollback.sql"])
def test_what_cannot_be_sent_as_it_is(tmp_path, name, data, line, says):
    root = checkout(tmp_path, GOOD)
    (root / "migrations" / name).write_bytes(data)
    (found,) = linted(root)
    assert (found["file"], found["line"]) == (f"migrations/{name}", line)
    assert says in found["what"]


def test_files_are_utf_8_in_any_locale(tmp_path):
    root = checkout(tmp_path, {"0001.korean": "SELECT '부서';\nCOMMIT;\n-- DOWN --"})
    done = llm_db_process("lint", root=root, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert done.returncode == 7
    assert done.stdout.startswith("migrations/0001.korean.sql:2: COMMIT: ")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: [path.unlink() for path in folder.iterdir()], "There are no migrations"),
        (lambda folder: folder.rename(folder.with_name("elsewhere")), "There are no migrations"),
        (lambda folder: (folder / "0001.good.rollback.sql").unlink(), "has no rollback beside it"),
        (lambda folder: (folder / "notes.sql").write_text("SELECT 1;"), "is not named like a migration"),
        (lambda folder: (folder / "0001.good.sql").write_text("-- depends: 0009.no\n"), "depends on 0009.no"),
        (lambda folder: (folder / "0002.code.py").write_text("steps = []"), "is not SQL"),
    ],
)
def test_the_folder(tmp_path, change, says):
    root = checkout(tmp_path, GOOD)
    change(root / "migrations")
    (found,) = linted(root)
    assert says in found["what"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("SELECT '한글';\nSELECT 1;\nSELECCT 2;", 3, 'syntax error at or near "SELECCT"'),
    ],
)
def test_with_postgresqls_own_parser(tmp_path, text, line, says):
    root = checkout(tmp_path, GOOD | {"0002.bad": f"{text}\n-- DOWN --"})
    (found,) = linted(root)
    assert (found["file"], found["line"]) == (UP, line)
    assert says in found["what"]


def test_without_the_parser_the_rest_still_holds_and_says_so(tmp_path):
    root = checkout(tmp_path / "root", GOOD | {"0002.bad": "SELECCT 1;\n-- DOWN --"})
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    # Python runs it at its start: pglast is then not importable, as in an installation without the dev extra.
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['pglast'] = None")
    done = llm_db_process("lint", root=root, PYTHONPATH=f"{root / 'scripts'}{os.pathsep}{hidden}")
    assert (done.returncode, done.stdout) == (0, "")
    assert "pglast is not installed" in done.stderr


@pytest.mark.parametrize("command", ["migrate", "plan"])
def test_migrate_and_plan_refuse_the_same_before_anything_runs(tmp_path, empty_dsn, command):
    root = checkout(tmp_path, GOOD | {"0002.bad": "SELECT 1;\nCOMMIT;\nBEGIN;\n-- DOWN --"})
    done = llm_db(command, "--dsn", empty_dsn, root=root)
    assert done.returncode == 7
    assert "error: migrations/0002.bad.sql:2: COMMIT: the file begins or ends a transaction" in done.stderr
    assert "(and 1 more; see `llm-db lint`)" in done.stderr
    assert "hint: take it out" in done.stderr
    assert value(empty_dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'llm_db'") == 0
