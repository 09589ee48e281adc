"""What a name is: one rule, llm.is_name(), the same on every server, for every column that holds a name."""

import unicodedata
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import psycopg
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from command import ROOT, llm_db
from conftest import Company, found_company, fresh_database, refused
from llm_db import database, files, migrate

Judge = Callable[[str], tuple[bool, str, bool, bool]]
RULES, LAST_RULE = "0017.names", "0028.emails-in-any-locale"

# Nobody sees these, wherever they are. Written down by hand, once more than in the schema: from Unicode's
# White_Space, Cc and Default_Ignorable_Code_Point, which Python does not know, and the braille blank.
INVISIBLE = {
    *range(0x00, 0x21), *range(0x7F, 0xA1), 0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x1680, 0x17B4, 0x17B5,
    *range(0x180B, 0x1810), *range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070), 0x2800, 0x3000,
    0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFFC), *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000),
}  # fmt: skip
# They change the character before them: hearts are red by one, and England has a flag.
MODIFIERS = {*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0020, 0xE0080), *range(0xE0100, 0xE01F0)}
NOWHERE = {
    *range(0x00, 0x20), *range(0x7F, 0xA0), 0x200B, *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF,
    *range(0xFFF9, 0xFFFC),
}  # fmt: skip
# What Python's Unicode does not have yet (Cn), the server's may. One private character (Co) is like another.
ALL = [
    code
    for code in range(1, 0x110000)
    if code in INVISIBLE or code in (0xF0000, 0x10FFFD) or unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")
]

nasty = st.text(
    st.one_of(
        st.characters(codec="utf-8", exclude_characters="\0"),
        st.sampled_from([chr(code) for code in sorted((INVISIBLE | NOWHERE) - {0})]),
        st.sampled_from("aA김é\u0301\u3099\u1161\u11a8ÀİıßＡ ❤👩@."),
    ),
    max_size=12,
)
QUICK = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def judge(server: str, template: str) -> Iterator[Judge]:
    """What the database says of a text: is it a name, which name is meant by it, is it an e-mail address, ..."""
    with fresh_database(server, template) as dsn, psycopg.connect(dsn, autocommit=True) as db:
        query = """
            SELECT llm.is_name(t), llm.as_name(t), llm.is_email(t), llm.capitals_are_ascii(t)
            FROM (SELECT %s::text) AS g (t)
        """
        yield lambda text: db.execute(query, [text]).fetchone()


@QUICK
@given(nasty)
@example("")
@example("\u3164")
@example("a\ufe0f")
@example(" \ufe0fa")
@example("a \ufe0f")
def test_a_name_is_seen_and_one_thing_only(judge: Judge, text: str) -> None:
    is_name, as_name, _, _ = judge(text)
    codes = [ord(character) for character in text]
    if is_name:
        assert as_name == text == text.strip() == unicodedata.normalize("NFC", text)
        assert codes[0] not in INVISIBLE
        assert codes[-1] not in INVISIBLE - MODIFIERS
        assert not NOWHERE & set(codes)
    elif text == unicodedata.normalize("NFC", text):
        # Nothing else is refused.
        shown = [code for code in codes if code not in MODIFIERS]
        assert not codes or codes[0] in INVISIBLE or NOWHERE & set(codes) or (shown and shown[-1] in INVISIBLE)
    # Whatever is written around a name, the name is found.
    assert judge(as_name)[1] == as_name
    assert judge(as_name)[0] or not as_name or NOWHERE & set(map(ord, as_name))
    if is_name:
        decomposed = unicodedata.normalize("NFD", text)
        assert judge(f"\ufeff \u3000{decomposed}\u00a0\u200b\t\n")[1] == text


@QUICK
@given(nasty)
@example("김연구@예시.한국")
@example("JOSÉ@c")
def test_an_email_has_no_blanks_and_one_form(judge: Judge, text: str) -> None:
    _, _, is_email, capitals_are_ascii = judge(text)
    before, at, after = text.partition("@")
    should = bool(before and at and after) and "@" not in after and not INVISIBLE & set(map(ord, text))
    assert is_email is (should and text == unicodedata.normalize("NFC", text))
    for character in text:
        lowered = character.lower()
        if ord(character) > 0x7F and lowered != character and unicodedata.is_normalized("NFC", character):
            assert not capitals_are_ascii
    if text == text.lower():
        assert capitals_are_ascii or unicodedata.normalize("NFC", text) != text


EVERY_CHARACTER = """
    SELECT array_agg(code) FILTER (WHERE llm.is_name(chr(code))),
        array_agg(code) FILTER (WHERE llm.is_email('a@' || chr(code))),
        array_agg(code) FILTER (WHERE llm.capitals_are_ascii(chr(code)))
    FROM unnest(%s::integer[]) AS code
"""
LOCALES = {
    "C": "LOCALE_PROVIDER libc LOCALE 'C'",
    "C.UTF-8": "LOCALE_PROVIDER libc LOCALE 'C.UTF-8'",
    "Turkish": "LOCALE_PROVIDER libc LOCALE 'tr_TR.UTF-8'",
    "ICU": "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C'",
    "builtin": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
}


@contextmanager
def database_in(server: str, locale: str) -> Iterator[psycopg.Connection]:
    name = f"locale_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        try:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {LOCALES[locale]}")
        except psycopg.Error as error:
            pytest.skip(f"this server has no such locale: {error}")
        try:
            with database.connect(database.Target(make_conninfo(server, dbname=name), "the tests")) as db:
                yield db
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("locale", LOCALES)
def test_every_character_in_every_locale(server: str, locale: str) -> None:
    with database_in(server, locale) as db:
        db.execute("CREATE SCHEMA llm")
        db.execute((ROOT / "schema" / "01_functions.sql").read_text("utf-8"))
        names, emails, lower = (set(found) for found in db.execute(EVERY_CHARACTER, [ALL]).fetchone())
    for code in ALL:
        character = chr(code)
        composed = unicodedata.is_normalized("NFC", character)
        assert (code in names) is (composed and code not in INVISIBLE), hex(code)
        assert (code in emails) is (composed and code not in INVISIBLE and character != "@"), hex(code)
        if composed:
            assert (code in lower) is (code < 0x80 or character.lower() == character), hex(code)


@pytest.mark.parametrize("locale", LOCALES)
def test_an_account_is_one_in_every_locale(server: str, locale: str) -> None:
    with database_in(server, locale) as db:
        migrate.migrate(db)
        found_company(db)
        for number, email in enumerate(("KIM@example.com", "kİm@example.com", "kim@example.com", "kIm@EXAMPLE.com")):
            with pytest.raises((errors.UniqueViolation, errors.CheckViolation)) if number else nullcontext() as error:
                db.execute(
                    "INSERT INTO llm.users (user_name, user_email, role, department_id)"
                    " SELECT 'Kim', %s, 'analyst', min(department_id) FROM llm.departments",
                    [email],
                )
            if number > 1:
                assert error.value.diag.constraint_name == "users_user_email_key"


NAMES = """
    SELECT c.relname, a.attname, con.conname
    FROM pg_catalog.pg_class AS c
    INNER JOIN pg_catalog.pg_attribute AS a ON c.oid = a.attrelid
    LEFT JOIN pg_catalog.pg_constraint AS con
        ON c.oid = con.conrelid AND con.contype = 'c' AND con.convalidated
        AND pg_get_constraintdef(con.oid) = format('CHECK (llm.is_name(%I))', a.attname)
    WHERE c.relnamespace = 'llm'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND a.attname ~ '(_name$|^label_)'
        -- A role of the database is called whatever PostgreSQL allows.
        AND c.relname <> 'department_logins'
"""


def test_every_name_of_every_table_is_one(db: psycopg.Connection, company: Company) -> None:
    columns = db.execute(NAMES).fetchall()
    assert len(columns) == 7 + 2 * 8
    for table, column, constraint in columns:
        assert constraint, f"{table}.{column}"
        for text in ("", "\t", "\n", "\u00a0", "\u3000", "\u200b", "\u3164", " a", "a\u3000", "a\x1b[2J", "e\u0301"):
            with refused(db, constraint):
                update = sql.SQL("UPDATE llm.{} SET {} = %s").format(sql.Identifier(table), sql.Identifier(column))
                db.execute(update, [text])


any_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
changes = st.sampled_from([str, str.upper, str.lower, str.title, str.swapcase])
FEW = settings(QUICK, max_examples=60)


@FEW
@given(any_text, changes, st.sampled_from(["NFC", "NFD"]))
@example("josé", str.upper, "NFC")
@example("josé", str, "NFD")
@example("ΣΑΣ", str.lower, "NFC")
def test_an_address_has_one_account_however_it_is_written(
    db: psycopg.Connection, company: Company, text: str, change: Callable[[str], str], form: str
) -> None:
    """Whichever of two spellings is stored first: the other one is refused, by one rule or the other."""
    same, other = unicodedata.normalize(form, text), unicodedata.normalize(form, change(text))
    # ß and SS are two spellings in every database.
    assume(len(same) == len(other) and same.lower() == other.lower())
    insert = "INSERT INTO llm.users (user_name, user_email, role, department_id) VALUES ('가', %s, 'admin', %s)"
    for first, second in ((text, other), (other, text)):
        broken = []
        with db.transaction(force_rollback=True):
            for spelling in (first, second):
                try:
                    with db.transaction():
                        db.execute(insert, [f"{spelling}@example.com", company.department_id])
                except psycopg.errors.IntegrityError as error:
                    broken.append(error.diag.constraint_name)
        assert broken
        assert all(name.startswith("users_user_email_") for name in broken)


@FEW
@given(st.lists(st.text("019", min_size=1, max_size=3), min_size=1, max_size=4))
@example(["1", "010"])
@example(["0"])
def test_a_version_is_written_in_one_way(db: psycopg.Connection, company: Company, numbers: list[str]) -> None:
    version = ".".join(numbers)
    update = "UPDATE llm.prompt_templates SET version = %s"
    if numbers == [str(int(number)) for number in numbers]:
        db.execute(update, [version])
    else:
        with refused(db, "prompt_templates_version_has_no_leading_zeros"):
            db.execute(update, [version])


# Databases that have other rows already

OLD = [
    ("departments", "department_name", "AI 연구팀\u3000", "AI 연구팀"),
    ("projects", "project_name", "\u200b", None),
    ("projects", "project_name", "cafe\u0301 ", "café"),
    ("users", "user_name", "\tKim\n", "Kim"),
    ("users", "user_name", "a\x1b[2Jb", None),
    ("users", "user_email", "jose\u0301@example.com", "josé@example.com"),
    ("users", "user_email", "a\u3000b@example.com", None),
    ("models", "model_name", "\ufeffgpt", "gpt"),
    ("model_configs", "config_name", "it's ", "it's"),
    ("deployments", "server_name", "gpu-1\u00a0", "gpu-1"),
    ("prompt_templates_base", "template_name", " 요약", "요약"),
    ("prompt_templates_base", "version", "01.010.0", "1.10.0"),
    ("roles", "label_en", "Admin ", "Admin"),
]


@pytest.fixture(scope="module")
def before_the_rules(server: str) -> Iterator[str]:
    before = [migration.id for migration in files.migrations() if migration.id < RULES][-1]
    with fresh_database(server) as dsn:
        assert llm_db("migrate", "--to", before, "--dsn", dsn).returncode == 0
        with psycopg.connect(dsn, autocommit=True) as db:
            for name in ("vocabularies", "rollups"):
                db.execute((ROOT / "seeds" / "reference" / f"{name}.sql").read_text(encoding="utf-8"))
        yield dsn


@pytest.fixture
def old_dsn(server: str, before_the_rules: str) -> Iterator[str]:
    with fresh_database(server, before_the_rules) as dsn:
        yield dsn


@pytest.mark.parametrize(("table", "column", "text", "mended"), OLD)
def test_an_old_row_that_breaks_a_rule_is_named_and_stays(
    old_dsn: str, table: str, column: str, text: str, mended: str | None
) -> None:
    with psycopg.connect(old_dsn, autocommit=True) as db:
        found_company(db)
        key = db.execute(f"SELECT * FROM llm.{table} LIMIT 1").description[0].name
        where = f"WHERE {key} = (SELECT min({key}) FROM llm.{table})"
        db.execute(f"UPDATE llm.{table} SET {column} = %s {where}", [text])
        done = llm_db("migrate", "--dsn", old_dsn)
        assert done.returncode == 1
        assert "break the rules of this version: 1" in done.stderr
        update = f"UPDATE llm.{table} SET {column} = "
        assert update in done.stderr
        assert "\x1b" not in done.stderr
        # As it was, and as usable.
        db.execute(f"UPDATE llm.{table} SET {column} = {column}")
        assert db.execute(f"SELECT {column} FROM llm.{table} {where}").fetchone() == (text,)
        assert db.execute("SELECT to_regproc('llm.is_name')").fetchone() == (None,)
        command = update + done.stderr.split(update)[1].split(";")[0]
        if mended is None:
            assert f"{update}... WHERE" in command
            command = command.replace("...", "'someone@example.com'")
        db.execute(command)
        assert mended is None or db.execute(f"SELECT {column} FROM llm.{table} {where}").fetchone() == (mended,)
    # What comes after the last rule asks no row.
    done = llm_db("migrate", "--to", LAST_RULE, "--dsn", old_dsn)
    assert done.returncode == 0, done.stderr


def test_of_very_many_old_rows_some_are_shown(old_dsn: str) -> None:
    with psycopg.connect(old_dsn, autocommit=True) as db:
        db.execute(
            "INSERT INTO llm.models (model_name, model_type) SELECT n || ' ', 'chat' FROM generate_series(1, 50) AS n"
        )
    done = llm_db("migrate", "--dsn", old_dsn)
    assert "break the rules of this version: 50" in done.stderr
    assert done.stderr.count("UPDATE llm.models SET model_name = ") == 20
    assert "The rest is shown then." in done.stderr
