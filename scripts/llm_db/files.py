"""The migration files: their names, what their first lines say, and their order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from yoyo.migrations import get_migration_hash, parse_metadata_from_sql_comments
from yoyo.topologicalsort import CycleError, topological_sort

from llm_db import ledger, sql_root
from llm_db.errors import Problem

FILE_NAME = re.compile(r"(?P<id>(?P<number>\d{4})\.[a-z0-9_-]+?)(?P<rollback>\.rollback)?\.sql")
EACH_PARTITION = re.compile(r"^--\s*each-partition-of\s*:\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Migration:
    """A file and its rollback."""

    id: str
    up: Path
    depends: tuple[str, ...]
    use_transactions: bool
    # Whose partitions the file is run for, one after the other.
    each_of: str | None

    @property
    def down(self) -> Path:
        return rollback_path(self.up)

    @property
    def hash(self) -> str:
        """yoyo's key: of the name, not of the text."""
        return get_migration_hash(self.id)

    @cached_property
    def sums(self) -> dict[str, str]:
        return {"up_sha256": ledger.sha256(self.up), "down_sha256": ledger.sha256(self.down)}


def migrations(folder: Path | None = None) -> list[Migration]:
    """The migrations in order. An empty folder, a stray file or a missing rollback is an error, not less to do."""
    folder = folder or sql_root() / "migrations"
    paths = sorted(folder.glob("*.sql"))
    if not paths:
        raise Problem(f"There are no migrations in {folder}.", "reinstall llm-platform-db, or run from a full checkout")
    found: dict[str, Path] = {}
    numbers: dict[str, str] = {}
    for path in paths:
        name = FILE_NAME.fullmatch(path.name)
        if not name:
            raise Problem(
                f"{relative(path)} is not named like a migration.", "name it NNNN.slug.sql and NNNN.slug.rollback.sql"
            )
        if numbers.setdefault(name["number"], name["id"]) != name["id"]:
            raise Problem(f"Two migrations have the number {name['number']}.", "give the newer one the next number")
        up = found[name["id"]] = path.with_name(name["id"] + ".sql")
        if not up.exists():
            raise Problem(f"{relative(path)} has no migration beside it.", f"add {up.name}")
        if not rollback_path(up).exists():
            raise Problem(f"{relative(path)} has no rollback beside it.", f"add {rollback_path(up).name}")
    return in_order([read(migration_id, up) for migration_id, up in found.items()])


def read(migration_id: str, up: Path) -> Migration:
    text = read_sql(up)
    said, _, _ = parse_metadata_from_sql_comments(text)
    return Migration(
        migration_id,
        up,
        tuple(said.get("depends", "").split()),
        said.get("transactional", "true").strip().lower() != "false",
        parent_table(text),
    )


def in_order(found: list[Migration]) -> list[Migration]:
    """Sorted by number, and after everything they depend on."""
    by_id = {migration.id: migration for migration in sorted(found, key=lambda migration: migration.id)}
    for migration in found:
        if missing := [name for name in migration.depends if name not in by_id]:
            raise Problem(
                f"{relative(migration.up)} depends on {missing[0]}, which is not there.", "correct its first lines"
            )
    try:
        names = list(topological_sort(by_id, {name: migration.depends for name, migration in by_id.items()}))
    except CycleError as error:
        circle = ", ".join(error.args[1])
        raise Problem(f"These migrations depend on each other: {circle}.", "take one `-- depends:` away") from None
    return [by_id[name] for name in names]


def find(known: Sequence[Migration], wanted: str) -> int:
    """The index of a migration named in full, or by its number."""
    for index, migration in enumerate(known):
        if migration.id == wanted or migration.id.split(".")[0] == wanted.zfill(4):
            return index
    raise Problem(f"There is no migration {wanted}.", "`llm-db status` lists them; a number such as 0003 is enough")


def parent_table(text: str) -> str | None:
    found = EACH_PARTITION.search(text)
    return found[1] if found else None


def rollback_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".sql") + ".rollback.sql")


def read_sql(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Problem(f"{relative(path)} is not UTF-8 (byte {error.start}).", "save it as UTF-8") from None


def relative(path: Path) -> Path:
    """As people are told of it."""
    return path.relative_to(sql_root()) if path.is_relative_to(sql_root()) else path
