"""llm.erase_user(): afterwards nothing says who the person is, and everything else is as it was. The search below is
not the function's own: it reads every row of every table."""

import json
import threading
import time
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from command import documented, shell
from company import found
from conftest import Company, found_company, fresh_database

SCHEMAS = ["llm", "rollup", "reporting", "ops", "audit", "llm_db"]
# All that can hold a text, by PostgreSQL's own account.
COLUMNS = """
    SELECT c.oid::regclass::text, a.attname::text, format_type(a.atttypid, NULL)
    FROM pg_catalog.pg_attribute AS a
    INNER JOIN pg_catalog.pg_class AS c ON a.attrelid = c.oid
    WHERE c.relnamespace::regnamespace::text = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        AND format_type(a.atttypid, NULL) ~ '^(text|character varying|character|name|json|jsonb|xml)(\\[\\])?$'
    ORDER BY c.oid::regclass::text, a.attnum
"""
# These refuse every address: a CHECK or a foreign key lets only codes and numbers in.
CODES = {
    *(("llm." + table, "code") for table in ("roles", "session_types", "session_statuses", "model_types",
      "environments", "deployment_statuses", "learning_types", "task_categories")),
    ("llm.users", "role"), ("llm.models", "model_type"), ("llm.datasets", "learning_type"),
    ("llm.deployments", "environment"), ("llm.deployments", "status"), ("llm.sessions", "session_type"),
    ("llm.sessions", "status"), ("llm.prompt_templates_base", "task_category"),
    ("llm.prompt_templates_base", "version"), ("audit.changes", "operation"), ("rollup.notes", "entity"),
    ("llm.deployment_history", "environment"), ("llm.deployment_history", "status"),
    ("llm.cost_settings", "currency"), ("llm.cost_settings", "apportioned_by"),
    ("llm.retention", "what"), ("llm_db._yoyo_log", "operation"), ("llm_db.migrations", "state"),
    ("llm_db.grants", "privilege"), ("rollup.user_costs", "grain"),
}  # fmt: skip
# Of this a wrong text stops the triggers.
LEFT_ALONE = {("rollup.state", "time_zone")}
# Written by the triggers alone, from the catalog and from keys: a name in it would be a table's.
NO_NAMES = {("audit.changes", "table_name"), ("audit.changes", "row_key")}
ERASE = "SELECT object, column_name, rows, action FROM llm.erase_user(%s)"


def strings(value: object) -> Iterator[str]:
    """Every text within, also in an object that was kept as a text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def everything(db: psycopg.Connection) -> list[tuple[str, str]]:
    tables = sorted({table for table, *_ in db.execute(COLUMNS, [SCHEMAS])})
    return [
        (table, text)
        for table in tables
        for (row,) in db.execute(f"SELECT to_jsonb(t) FROM {table} AS t")
        for text in strings(row)
    ]


def mentions(db: psycopg.Connection, *words: str) -> list[tuple[str, str]]:
    """Where one of these stands, in any case, composed or not, or as other programs write it."""
    forms = {
        form.casefold()
        for word in words
        for composed in (unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word))
        for form in (composed, json.dumps(composed)[1:-1], quote(composed), composed.replace('"', '""'))
    }
    return [(table, text) for table, text in everything(db) if any(form in text.casefold() for form in forms)]


def erase(db: psycopg.Connection, user_id: int) -> dict[tuple[str, str, str], int]:
    return {(table, column, action): rows for table, column, rows, action in db.execute(ERASE, [user_id])}


@pytest.fixture(scope="module")
def filled(server: str, template: str) -> Iterator[psycopg.Connection]:
    """A database in which every table has a row, for all examples."""
    with fresh_database(server, template) as dsn, psycopg.connect(dsn, autocommit=True) as db:
        # Then the user of each example gets a number that no name is part of.
        db.execute("ALTER SEQUENCE llm.users_user_id_seq RESTART 100001")
        company = found_company(db)
        db.execute(
            "INSERT INTO llm.session_logs (session_id, deployment_id, template_id, request_time)"
            " VALUES (%s, %s, %s, now() - interval '2 days')",
            [company.session_id, company.deployment_id, company.template_id],
        )
        db.execute(
            "UPDATE llm.sessions SET start_time = now() - interval '2 days', end_time = now() - interval '1 day',"
            " status = 'completed'"
        )
        db.execute("CALL ops.refresh_rollups()")
        db.execute("INSERT INTO rollup.notes (entity, from_time, until_time) VALUES ('logs', now(), now())")
        db.execute(
            "INSERT INTO llm_db.views VALUES ('a', 'b'); INSERT INTO llm_db.grants VALUES"
            " ('a', 'b', 'c', 'SELECT', false)"
        )
        db.execute("INSERT INTO llm.retention VALUES ('audit', 60)")
        db.execute("INSERT INTO llm.department_logins VALUES (1, 'dave', %s)", [company.department_id])
        db.execute("INSERT INTO rollup.announcements (announced_in, noted_before) VALUES ('9', now())")
        db.execute("SELECT audit.create_months()")
        yield db


def plant(db: psycopg.Connection, column: tuple[str, str, str], texts: list[str]) -> bool:
    """Puts the first of the texts that the column takes into one row of its table."""
    table, name, kind = column
    for text in texts:
        value = json.dumps({"a": [text]}) if kind.startswith("json") else [text] if kind.endswith("[]") else text
        try:
            with db.transaction():
                db.execute("SET LOCAL audit.may_change = 'on'")
                # Of sessions and logs there is one, and a cluster finds no row by its place.
                one = " WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM {0} LIMIT 1)"
                query = "UPDATE {0} SET {1} = %s" + one * (table not in ("llm.sessions", "llm.session_logs"))
                done = db.execute(sql.SQL(query).format(sql.SQL(table), sql.Identifier(name)), [value])
                assert done.rowcount == 1, f"{table} has no row"
            return True
        except (psycopg.errors.IntegrityError, psycopg.errors.DataError):
            continue
    return False


LETTERS = "abzABZéßñöŁžπЯж김연구이박뷁漢字かナ'\"\\.-() "
names = st.text(LETTERS, min_size=3, max_size=12).map(lambda text: f"Zq{text}x")
addresses = st.text("abzABZ019._+-éñ김연%'\"\\/", min_size=2, max_size=12).map(lambda text: f"q{text}w@ex.co.kr")


@settings(
    max_examples=6, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(name=names, address=addresses)
def test_a_person_is_nowhere_afterwards(filled: psycopg.Connection, name: str, address: str) -> None:
    db = filled
    name = db.execute("SELECT llm.as_name(%s)", [name]).fetchone()[0]
    address = unicodedata.normalize("NFC", address)
    department = db.execute("SELECT min(department_id) FROM llm.departments").fetchone()[0]
    user_id = db.execute(
        "INSERT INTO llm.users (user_name, user_email, role, department_id) VALUES (%s, %s, 'admin', %s)"
        " RETURNING user_id",
        [name, f"{uuid.uuid4().hex}@example.com", department],
    ).fetchone()[0]
    address = address.replace("@", f"{user_id}@")
    # An address and a name that the person had before.
    before = f"Zq{user_id}before"
    db.execute("UPDATE llm.users SET user_name = %s, user_email = %s WHERE user_id = %s", [before, address, user_id])
    db.execute("UPDATE llm.users SET user_name = %s WHERE user_id = %s", [name, user_id])
    load = db.execute(
        "INSERT INTO llm_db.loads (file, sha256, mapping, rows_read, rows_loaded, rows_present, rows_rejected)"
        " VALUES ('a', 'b', 'c', 0, 0, 0, 0) RETURNING load_id"
    ).fetchone()[0]
    shouted = "".join(letter.upper() if letter.isascii() else letter for letter in address)
    both = f"({name}), {shouted}"
    raw = [
        json.dumps({"user": name, "mail": address, "text": f"to\n{address}"}),
        json.dumps({"user": name, "mail": address}, ensure_ascii=False),
        '"{}","{}"'.format(name.replace('"', '""'), address.replace('"', '""')),
        unicodedata.normalize("NFD", both),
        f"https://example.com/?a={quote(address, safe='')}&b=%2F{quote(name, safe='')}",
    ]
    for line, text in enumerate(raw):
        db.execute(
            "INSERT INTO llm_db.load_rejects (load_id, line, file, rule, raw) VALUES (%s, %s, 'a', 'b', %s)",
            [load, line, text],
        )
    db.execute("INSERT INTO llm.projects (project_name, description, created_by, department_id) VALUES"
               " ('Zq', %s, %s, %s)", [f"{name}, {name}'s and {name}의", user_id, department])  # fmt: skip
    refused = set()
    for column in db.execute(COLUMNS, [SCHEMAS]).fetchall():
        if column[:2] in LEFT_ALONE or column[0] == "llm.users":
            continue
        texts = [] if column[:2] in NO_NAMES else [both]
        if not plant(db, column, [*texts, address, f"s3://bucket/{both}/1", f"{{{address}}}"]):
            refused.add(column[:2])
    assert refused == {code for code in CODES if code[0] != "llm.users"}
    assert len({table for table, _ in mentions(db, address)}) > 20

    erase(db, user_id)
    assert mentions(db, name, address, before) == []
    stand_ins = db.execute("SELECT user_name, user_email FROM llm.users WHERE user_id = %s", [user_id]).fetchone()
    assert stand_ins == (f"erased-{user_id}", f"erased-{user_id}@erased.invalid")


# What is not this person.


def person(db: psycopg.Connection, name: str, address: str, company: Company) -> int:
    return db.execute(
        "INSERT INTO llm.users (user_name, user_email, role, department_id) VALUES (%s, %s, 'analyst', %s)"
        " RETURNING user_id",
        [name, address, company.department_id],
    ).fetchone()[0]


def test_what_only_looks_like_the_person_stays_and_is_listed(db: psycopg.Connection, company: Company) -> None:
    kim = person(db, "Kim", "kim@example.com", company)
    others = ["joakim@example.com", "mr.kim@example.com", "kim@example.com.kr"]
    for other in others:
        person(db, "Kim", other, company)
    texts = {
        "Kimchi, akim, Kim2 and Kim": "Kimchi, akim, Kim2 and Kim",
        "of Kim <KIM@example.com>": f"of erased-{kim} <erased-{kim}@erased.invalid>",
        "mail joakim@example.com, Kim": "mail joakim@example.com, Kim",
        "mail mr.kim@example.com or kim@example.com.": f"mail mr.kim@example.com or erased-{kim}@erased.invalid.",
        "kim@example.com.kr": "kim@example.com.kr",
        "of x-kim@example.com.txt": f"of x-erased-{kim}@erased.invalid.txt",
        "xkim@example.com kim@example.community": "xkim@example.com kim@example.community",
    }
    for text in texts:
        db.execute("INSERT INTO llm.datasets (learning_type, description, s3_path) VALUES"
                   " ('fine_tuning', %s, 's3://datasets/x')", [text])  # fmt: skip
    own = {"Kim's, @KIM and Kim의 Kimchi": f"erased-{kim}'s, @erased-{kim} and erased-{kim}의 Kimchi"}
    db.execute("INSERT INTO llm.projects (project_name, description, created_by, department_id) VALUES"
               " ('p', %s, %s, %s)", [*own, kim, company.department_id])  # fmt: skip
    done = erase(db, kim)
    found_now = [text for (text,) in db.execute("SELECT description FROM llm.datasets WHERE description IS NOT NULL")]
    assert sorted(found_now) == sorted(texts.values())
    assert db.execute("SELECT description FROM llm.projects WHERE project_name = 'p'").fetchone() == (*own.values(),)
    rest = db.execute("SELECT user_name, user_email FROM llm.users WHERE user_email LIKE '%kim%' ORDER BY user_id")
    assert rest.fetchall() == [("Kim", other) for other in others]
    assert done["llm.users", "user_name", "name left: these rows may mean somebody else"] == 3
    assert done["llm.datasets", "description", "name left: these rows may mean somebody else"] == 2
    assert done["llm.datasets", "description", "address replaced"] == 3
    assert done["llm.users", "user_email", "address replaced"] == 1


AUTHORED = ("users", "projects", "prompt_templates_base", "departments")


@pytest.mark.parametrize("name", ["1", "42", "erased", "erased-42", "E", "invalid", "users", "user_name", "description",
                                  "UPDATE", "1.0", "s3", "summarization", ".", "\\", "a(b", "%"])  # fmt: skip
def test_a_name_that_is_a_word_of_ours_breaks_nothing(db: psycopg.Connection, company: Company, name: str) -> None:
    user = company.user_id
    db.execute("UPDATE llm.sessions SET end_time = start_time, status = 'completed'")
    db.execute("UPDATE llm.users SET user_name = %s", [name])
    db.execute("UPDATE llm.projects SET description = 'x ' || %s || ' ' || %s", [name, name])
    erase(db, user)
    assert db.execute("SELECT user_name, user_email FROM llm.users").fetchall() == [
        (f"erased-{user}", f"erased-{user}@erased.invalid")
    ]
    told = db.execute("SELECT table_name FROM audit.changes WHERE operation = 'UPDATE'")
    assert {table for table, *_ in told} <= {f"llm.{table}" for table in AUTHORED}
    assert erase(db, user) == {}


def test_an_address_that_somebody_else_has_now_is_not_touched(db: psycopg.Connection, company: Company) -> None:
    first = person(db, "첫째", "shared@example.com", company)
    db.execute("UPDATE llm.users SET user_email = 'first@example.com' WHERE user_id = %s", [first])
    second = person(db, "둘째", "shared@example.com", company)
    erase(db, first)
    assert db.execute("SELECT user_email FROM llm.users WHERE user_id = %s", [second]).fetchone() == (
        "shared@example.com",
    )
    assert mentions(db, "first@example.com", "첫째") == []


def test_words_that_a_person_judged_are_replaced_everywhere(db: psycopg.Connection, company: Company) -> None:
    kim = person(db, "김연구원", "ykim@example.com", company)
    db.execute("UPDATE llm.deployments SET server_name = 'kimbox 김연구원'")
    assert erase(db, kim)["llm.deployments", "server_name", "name left: these rows may mean somebody else"] == 1
    done = db.execute("SELECT sum(rows) FROM llm.erase_user(%s, ARRAY['KIMBOX', '김연구원'])", [kim]).fetchone()
    assert done > (1,)
    assert db.execute("SELECT server_name FROM llm.deployments").fetchone() == (f"erased-{kim} erased-{kim}",)
    assert mentions(db, "kimbox", "김연구원") == []
    other = person(db, "Kimbox", "kimbox@example.com", company)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"the name or the address of user {other}"):
        db.execute("SELECT llm.erase_user(%s, ARRAY['kimbox'])", [kim])


# What stays.


def numbers(db: psycopg.Connection) -> dict[str, list]:
    """All reports, without the texts that say who a person is."""
    found = {}
    views = db.execute(
        "SELECT table_name::text, array_agg(format('%I', column_name) ORDER BY ordinal_position)"
        " FROM information_schema.columns WHERE table_schema = 'reporting' AND data_type <> 'text'"
        " GROUP BY table_name"
    ).fetchall()
    for view, columns in views:
        query = f"SELECT {', '.join(columns)} FROM reporting.{view}"
        found[view] = sorted(map(str, db.execute(query).fetchall()))
    return found


@pytest.mark.parametrize("closed", [None, "2024-03-12 00:00Z"], ids=["open", "closed"])
def test_no_number_of_any_report_changes(db: psycopg.Connection, closed: str | None) -> None:
    found(db, closed)
    db.execute("UPDATE llm.sessions SET end_time = start_time, status = 'completed' WHERE end_time IS NULL")
    db.execute("UPDATE llm.session_logs SET request_prompt_s3_path = 's3://prompts/kim@example.com/김연구'")
    before = numbers(db)
    assert len(before) > 40
    assert sum(map(len, before.values())) > 100
    done = erase(db, 11)
    assert done["llm.session_logs", "request_prompt_s3_path", "address replaced"] == 4
    assert numbers(db) == before
    assert db.execute("SELECT user_id FROM reporting.daily_usage_by_user WHERE user_name = 'erased-11'").fetchone()
    db.execute("CALL ops.refresh_rollups('2024-03-12 00:00Z')")
    assert numbers(db)["daily_usage"] == before["daily_usage"]


def test_it_is_audited_without_what_was_erased_and_done_once(db: psycopg.Connection, company: Company) -> None:
    kim = person(db, "김연구원", "ykim@example.com", company)
    done = erase(db, kim)
    assert done["llm.users", "user_name", "name replaced"] == 1
    last = "SELECT operation, row_key, new_values FROM audit.changes ORDER BY change_id DESC LIMIT 1"
    operation, key, values = db.execute(last).fetchone()
    assert (operation, key) == ("ERASE", [str(kim)])
    assert {(one["object"], one["column_name"], one["action"]) for one in values["done"]} == done.keys()
    before = everything(db)
    assert erase(db, kim) == {}
    assert everything(db) == before


def test_whom_it_refuses(db: psycopg.Connection, company: Company) -> None:
    for unknown in (0, -1, None):
        with pytest.raises(psycopg.errors.NoDataFound, match="there is no user"):
            db.execute("SELECT llm.erase_user(%s)", [unknown])
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="sessions of this user are running") as error:
        db.execute("SELECT llm.erase_user(%s)", [company.user_id])
    db.execute(error.value.diag.message_hint.removesuffix(" ends them."))
    # A manager stays one, under another name: no department is left without.
    assert erase(db, company.user_id)


def test_who_may_call_it(db: psycopg.Connection, company: Company) -> None:
    kim = person(db, "김연구원", "ykim@example.com", company)
    name = sql.Identifier(f"officer_{uuid.uuid4().hex}")
    db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    try:
        for role in ("llm_analyst", "llm_people_reader", "llm_app", "llm_loader", "llm_auditor", "llm_manager"):
            db.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), name))
        db.execute(sql.SQL("SET ROLE {}").format(name))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            erase(db, kim)
        db.execute("RESET ROLE")
        db.execute(sql.SQL("GRANT llm_operator TO {0}; SET ROLE {0}").format(name))
        found_before = db.execute("SELECT object FROM ops.find_mentions(ARRAY['YKIM@example.com'])").fetchall()
        assert {table for (table,) in found_before} == {"llm.users", "audit.changes"}
        assert db.execute("SELECT count(*) FROM ops.find_mentions(ARRAY[''])").fetchone() == (0,)
        assert erase(db, kim)
        assert db.execute("SELECT count(*) FROM ops.find_mentions(ARRAY['ykim@example.com'])").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("UPDATE audit.changes SET actor = NULL")
    finally:
        db.execute("RESET ROLE")
        db.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.mark.one_node("of a deadlock over several servers Citus ends the younger one")
def test_it_gives_way_to_writers_and_deadlocks_with_none(db: psycopg.Connection, dsn: str, company: Company) -> None:
    """The writer comes to the rows in the other order: the erasure has the user's row and wants the log's."""
    db.execute("UPDATE llm.sessions SET end_time = start_time, status = 'completed'")
    address = db.execute("SELECT user_email FROM llm.users").fetchone()[0]
    db.execute(
        "INSERT INTO llm.session_logs (session_id, deployment_id, request_prompt_s3_path) VALUES (%s, %s, %s)",
        [company.session_id, company.deployment_id, f"s3://prompts/{address}"],
    )
    done: list[object] = []

    def run() -> None:
        with psycopg.connect(dsn, autocommit=True) as operator:
            done.append(erase(operator, company.user_id))

    thread = threading.Thread(target=run)
    with psycopg.connect(dsn, options="-c deadlock_timeout=200ms") as writer:
        writer.execute("UPDATE llm.session_logs SET token_used = 1")
        thread.start()
        time.sleep(0.5)
        writer.execute("UPDATE llm.users SET last_login = now()")
        assert done == []
    thread.join(30)
    assert done[0]["llm.session_logs", "request_prompt_s3_path", "address replaced"] == 1
    assert mentions(db, address) == []


def test_the_privacy_page_word_for_word(db: psycopg.Connection, dsn: str, company: Company, tmp_path: Path) -> None:
    kim = person(db, "김연구원", "kim@example.com", company)
    db.execute("UPDATE llm.datasets SET s3_path = 's3://datasets/kim@example.com/1'")
    run = shell(documented("docs/privacy.md", "erasure"), tmp_path, DATABASE_URL=dsn)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "s3-objects.txt").read_text().split() == ["s3://datasets/kim@example.com/1"]
    assert f"erased-{kim}" in db.execute("SELECT s3_path FROM llm.datasets").fetchone()[0]
    assert mentions(db, "kim@example.com", "김연구원") == []
    assert run.stdout.rstrip().endswith("(0 rows)")
