"""What the catalogs say: the ERD is there by its own names, everything is described, indexed and named by the rules."""

import re
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).parents[2]
# Every schema of ours. What is said of "ours" below is said of all of them.
OURS = "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname IN ('llm', 'rollup', 'reporting', 'ops', 'audit'))"
HANGUL = re.compile(r"^[^:]*[가-힣]")

# The ERD's entities and attributes, in its order.
ENTITIES = {
    "users": "user_id user_name user_email role is_active last_login",
    "departments": "department_id department_name",
    "projects": "project_id project_name description created_at",
    "sessions": "session_id start_time end_time session_type status",
    "models": "model_id model_name model_type",
    "model_configs": "config_id config_name max_tokens temperature top_p top_k created_at",
    "deployments": "deployment_id server_name gpu_count environment status",
    "datasets": "dataset_id learning_type description s3_path created_at",
    "prompt_templates": "template_id template_name prompt_s3_path description task_category variables created_at"
    " version usage_count",
    "session_logs": "log_sequence request_time request_prompt_s3_path response_s3_path token_used response_time"
    " latency",
}

# (relationship, table, column, refers to, total)
RELATIONSHIPS = [
    ("CREATES_PROJ", "projects", "created_by", "users", True),
    ("MANAGES", "departments", "manager_id", "users", True),
    ("WORKS_FOR", "users", "department_id", "departments", True),
    ("BELONGS_TO", "projects", "department_id", "departments", True),
    ("USES", "sessions", "user_id", "users", True),
    ("RELTED_TO", "sessions", "project_id", "projects", False),
    ("HAS_SESSION", "session_logs", "session_id", "sessions", True),
    ("HAS_CONFIG", "model_configs", "model_id", "models", True),
    ("APPLIES_CONFIG", "session_logs", "config_id", "model_configs", False),
    ("DEPLOYED_AS", "deployments", "model_id", "models", True),
    ("DEPLOYED_IN", "session_logs", "deployment_id", "deployments", True),
    ("USES_DATA", "deployments", "dataset_id", "datasets", False),
    ("CREATES_TEPL", "prompt_templates", "created_by", "users", True),
    ("USES_TEPL", "session_logs", "template_id", "prompt_templates", False),
]

# The ERD's own values and words; it names none for model_type.
VOCABULARIES = {
    "roles": {"admin": "관리자", "developer": "개발자", "researcher": "연구원", "analyst": "분석가"},
    "session_types": {"development": "개발", "test": "테스트", "production": "프로덕션", "experiment": "실험"},
    "session_statuses": {"running": "진행중", "completed": "완료", "error": "오류", "aborted": "중단"},
    "environments": {"development": "개발", "test": "테스트", "staging": "스테이징", "production": "프로덕션"},
    "deployment_statuses": {"active": "활성", "inactive": "비활성", "maintenance": "유지보수", "error": "오류"},
    "learning_types": {
        "fine_tuning": "파인튜닝",
        "prompt_learning": "프롬프트학습",
        "transfer_learning": "전이학습",
        "reinforcement_learning": "강화학습",
    },
    "task_categories": {
        "summarization": "요약",
        "translation": "번역",
        "generation": "생성",
        "analysis": "분석",
        "coding": "코딩",
    },
}

FOREIGN_KEYS = """
    -- A month's logs refer to the month's sessions.
    SELECT DISTINCT c.conname, t.relname, a.attname, f.relname, a.attnotnull
    FROM pg_catalog.pg_constraint AS c
    INNER JOIN pg_catalog.pg_class AS t ON coalesce(pg_partition_root(c.conrelid), c.conrelid) = t.oid
    INNER JOIN pg_catalog.pg_class AS f ON coalesce(pg_partition_root(c.confrelid), c.confrelid) = f.oid
    INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = c.conkey[1]
    WHERE c.contype = 'f' AND c.conparentid = 0 AND c.connamespace = 'llm'::regnamespace
        AND cardinality(c.conkey) = 1
"""


def stored(table: str) -> str:
    """prompt_templates is a view, so that usage_count can be a sum; keys refer to the table beneath."""
    return "prompt_templates_base" if table == "prompt_templates" else table


ENTITY_OF = {stored(entity): entity for entity in ENTITIES}


def names(rows: psycopg.Cursor) -> list[str]:
    return [name for (name, *_) in rows]


@pytest.mark.parametrize("entity", ENTITIES)
def test_entity_has_its_attributes(db: psycopg.Connection, entity: str) -> None:
    columns = names(
        db.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'llm' AND table_name = %s",
            [entity],
        )
    )
    assert set(ENTITIES[entity].split()) <= set(columns)
    related = {column for _, table, column, _, _ in RELATIONSHIPS if table == entity}
    assert set(columns) == set(ENTITIES[entity].split()) | related, "only relationships add columns to an entity"


def test_relationships(db: psycopg.Connection) -> None:
    found = {(table, column, refers_to): total for _, table, column, refers_to, total in db.execute(FOREIGN_KEYS)}
    for name, table, column, refers_to, total in RELATIONSHIPS:
        assert found.get((stored(table), column, stored(refers_to))) is total, name
    assert {key[2] for key in found} - set(ENTITY_OF) == set(VOCABULARIES) | {"model_types"}
    # Counters and history hang on the entities, and are none.
    between_entities = [key for key in found if key[0] in ENTITY_OF and key[2] in ENTITY_OF]
    assert len(between_entities) == len(RELATIONSHIPS) == 14


def test_weak_entity_key(db: psycopg.Connection) -> None:
    keys = dict(
        db.execute("""
            SELECT conrelid::regclass::text, pg_get_constraintdef(oid)
            FROM pg_catalog.pg_constraint
            WHERE contype = 'p' AND conrelid IN ('llm.sessions'::regclass, 'llm.session_logs'::regclass)
        """).fetchall()
    )
    assert keys == {
        "llm.sessions": "PRIMARY KEY (session_id)",
        "llm.session_logs": "PRIMARY KEY (session_id, log_sequence)",
    }


def test_times_carry_their_zone(db: psycopg.Connection) -> None:
    """Days, and hours as clocks show them, are the rollups' alone: those of the reporting time zone. And a budget is of
    its months."""
    query = """
        SELECT c.table_schema, c.column_name
        FROM information_schema.columns AS c
        INNER JOIN information_schema.tables AS t USING (table_schema, table_name)
        WHERE c.table_schema IN ('llm', 'rollup') AND t.table_type = 'BASE TABLE'
            AND c.data_type IN ('timestamp without time zone', 'time without time zone', 'date')
    """
    assert set(db.execute(query)) == {
        ("llm", "since"),
        *(("rollup", "day"), ("rollup", "first_day"), ("rollup", "month"), ("rollup", "dropped_month")),
        *(("rollup", "activity_before"), ("rollup", "local_hour")),
    }


def test_every_foreign_key_has_an_index(db: psycopg.Connection) -> None:
    """Led by the key's columns; whole, or leaving out nothing but NULLs, which no foreign key looks for."""
    query = f"""
        SELECT c.conrelid::regclass::text || ' ' || c.conname
        FROM pg_catalog.pg_constraint AS c
        WHERE c.contype = 'f' AND c.connamespace IN {OURS} AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_index AS i
            WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indisready
                AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey
                AND (i.indpred IS NULL OR (
                    cardinality(c.conkey) = 1
                    AND pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', (
                        SELECT attname FROM pg_catalog.pg_attribute
                        WHERE attrelid = c.conrelid AND attnum = c.conkey[1]
                    ))
                ))
        )
    """
    assert names(db.execute(query)) == []


UNDESCRIBED = f"""
    WITH relations AS (
        SELECT * FROM pg_catalog.pg_class WHERE relnamespace IN {OURS}
    )
    SELECT 'schema ' || nspname FROM pg_catalog.pg_namespace
    WHERE oid IN {OURS} AND obj_description(oid, 'pg_namespace') IS NULL
    UNION ALL
    SELECT 'relation ' || oid::regclass FROM relations
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND obj_description(oid, 'pg_class') IS NULL
    UNION ALL
    SELECT 'column ' || a.attrelid::regclass || '.' || a.attname
    FROM pg_catalog.pg_attribute AS a INNER JOIN relations AS r ON a.attrelid = r.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT r.relispartition
        AND col_description(a.attrelid, a.attnum) IS NULL
    UNION ALL
    SELECT 'function ' || oid::regprocedure FROM pg_catalog.pg_proc
    WHERE pronamespace IN {OURS} AND obj_description(oid, 'pg_proc') IS NULL
    UNION ALL
    SELECT 'trigger ' || t.tgname FROM pg_catalog.pg_trigger AS t INNER JOIN relations AS r ON t.tgrelid = r.oid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND obj_description(t.oid, 'pg_trigger') IS NULL
    UNION ALL
    SELECT 'type ' || t.oid::regtype FROM pg_catalog.pg_type AS t
    WHERE t.typnamespace IN {OURS} AND obj_description(t.oid, 'pg_type') IS NULL
        AND (t.typtype IN ('d', 'e', 'r') OR t.typrelid IN (SELECT oid FROM relations WHERE relkind = 'c'))
"""


def test_everything_is_described(db: psycopg.Connection) -> None:
    assert names(db.execute(UNDESCRIBED)) == []


def described(db: psycopg.Connection) -> dict[str, str | None]:
    query = """
        SELECT attname, col_description(attrelid, attnum) FROM pg_catalog.pg_attribute
        WHERE attrelid = 'public.managers'::regclass AND attnum > 0
    """
    return dict(db.execute(query).fetchall())


def test_columns_are_described_by_the_first_source_that_can(db: psycopg.Connection) -> None:
    db.execute(
        "CREATE VIEW public.managers AS SELECT user_id, department_id, department_name, 1 AS teams FROM llm.users"
        " JOIN llm.departments USING (department_id)"
    )
    db.execute("COMMENT ON COLUMN public.managers.teams IS 'of an earlier text'")
    db.execute("CALL ops.describe('public.managers', 'llm.departments', 'llm.users')")
    assert described(db) == {
        "user_id": "사용자 고유 식별자: key",
        "department_id": "부서 고유 식별자: key",
        "department_name": "부서명: name as on the organisation chart",
        "teams": None,
    }


def test_a_source_that_describes_nothing_is_refused(db: psycopg.Connection) -> None:
    db.execute("CREATE VIEW public.managers AS SELECT department_id FROM llm.users")
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match=r"llm\.models describes no column of public\.managers"
    ):
        db.execute("CALL ops.describe('public.managers', 'llm.users', 'llm.models')")


def test_erd_terms_come_first_in_korean(db: psycopg.Connection) -> None:
    for entity, attributes in ENTITIES.items():
        comments = db.execute(
            """
            SELECT attname, col_description(attrelid, attnum) FROM pg_catalog.pg_attribute
            WHERE attrelid = %(table)s::regclass AND attname = ANY(%(columns)s)
            UNION ALL
            SELECT '', obj_description(%(table)s::regclass, 'pg_class')
            """,
            {"table": f"llm.{entity}", "columns": attributes.split()},
        ).fetchall()
        assert len(comments) == len(attributes.split()) + 1
        for name, comment in comments:
            assert HANGUL.match(comment), f"{entity}.{name}: {comment}"


def test_names_follow_the_rules(db: psycopg.Connection) -> None:
    suffixes = {"p": "_pkey", "f": "_fkey", "u": "_key", "x": "_excl"}
    constraints = db.execute(f"""
        SELECT c.conname, c.contype::text, t.relname,
            (SELECT string_agg(a.attname, '_' ORDER BY k.place)
            FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, place)
            INNER JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum)
        FROM pg_catalog.pg_constraint AS c INNER JOIN pg_catalog.pg_class AS t ON c.conrelid = t.oid
        WHERE c.connamespace IN {OURS} AND NOT t.relispartition AND c.conparentid = 0
            AND c.contype IN ('c', 'f', 'p', 'u', 'x', 't')
    """).fetchall()
    for name, kind, table, columns in constraints:
        if kind == "p":
            assert name == f"{table}_pkey"
        elif kind in suffixes:
            assert name == f"{table}_{columns}{suffixes[kind]}"
        elif kind == "c":
            # A claim about the table: "users_user_name_is_name", not PostgreSQL's "users_user_name_check".
            assert name.startswith(ENTITY_OF.get(table, table) + "_")
            assert not re.search(r"_check\d*$", name), name
    indexes = db.execute(f"""
        SELECT i.indexrelid::regclass::text, i.indisunique
        FROM pg_catalog.pg_index AS i INNER JOIN pg_catalog.pg_class AS t ON i.indrelid = t.oid
        WHERE t.relnamespace IN {OURS}
            AND NOT t.relispartition AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conindid = i.indexrelid)
    """).fetchall()
    for name, unique in indexes:
        assert name.endswith("_key" if unique else "_idx"), name
    objects = names(
        db.execute(f"""
            SELECT relname FROM pg_catalog.pg_class WHERE relnamespace IN {OURS}
            UNION SELECT attname FROM pg_catalog.pg_attribute AS a
                INNER JOIN pg_catalog.pg_class AS c ON a.attrelid = c.oid
                WHERE c.relnamespace IN {OURS} AND a.attnum > 0 AND NOT a.attisdropped
            UNION SELECT proname FROM pg_catalog.pg_proc WHERE pronamespace IN {OURS}
            UNION SELECT tgname FROM pg_catalog.pg_trigger AS t
                INNER JOIN pg_catalog.pg_class AS c ON t.tgrelid = c.oid
                WHERE c.relnamespace IN {OURS} AND NOT t.tgisinternal
        """)
    )
    assert [name for name in objects if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


def test_functions_do_not_trust_the_callers_search_path(db: psycopg.Connection) -> None:
    """A body that is kept as text is resolved at each call: its path is fixed, or names in it would be the caller's.
    A procedure that commits cannot have one and names the schema itself."""
    query = f"""
        SELECT oid::regprocedure::text FROM pg_catalog.pg_proc
        WHERE pronamespace IN {OURS}
            AND prosqlbody IS NULL AND prokind NOT IN ('p', 'a') AND proconfig IS NULL
    """
    assert names(db.execute(query)) == []


def test_vocabularies_hold_the_erd_values(db: psycopg.Connection) -> None:
    for table, values in VOCABULARIES.items():
        assert dict(db.execute(f"SELECT code, label_ko FROM llm.{table}").fetchall()) == values, table
    assert db.execute("SELECT count(*) > 0 FROM llm.model_types").fetchone() == (True,)


def test_seeding_again_keeps_what_people_edited(db: psycopg.Connection) -> None:
    db.execute("UPDATE llm.roles SET label_ko = '연구자' WHERE code = 'researcher'")
    db.execute("INSERT INTO llm.roles VALUES ('guest', '손님', 'Guest')")
    db.execute("DELETE FROM llm.roles WHERE code = 'analyst'")
    for path in sorted((ROOT / "seeds" / "reference").glob("*.sql")):
        db.execute(path.read_text(encoding="utf-8"))
    assert dict(db.execute("SELECT code, label_ko FROM llm.roles").fetchall()) == VOCABULARIES["roles"] | {
        "researcher": "연구자",
        "guest": "손님",
    }


def test_analysts_read_the_views_and_nothing_else(db: psycopg.Connection) -> None:
    query = f"""
        SELECT c.oid::regclass::text, has_table_privilege('llm_analyst', c.oid, 'SELECT'),
            has_table_privilege('llm_analyst', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        FROM pg_catalog.pg_class AS c
        WHERE c.relkind IN ('r', 'p', 'v', 'm')
            AND c.relnamespace IN {OURS}
    """
    for name, may_read, may_write in db.execute(query):
        assert may_read == name.startswith("reporting."), name
        assert not may_write, name
