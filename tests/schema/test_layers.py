"""views/ is read from its first folder to its last, and nothing in a folder is built on what a later one makes."""

import re
from pathlib import Path

import psycopg

from command import ROOT

VIEWS = ROOT / "views"
STRINGS_AND_COMMENTS = re.compile(r"--[^\n]*|COMMENT ON [^;]*;|HINT = ('[^']*'\s*)+", re.S)


def layer(name: str) -> str:
    return name.split("/")[0]


def test_layers_point_one_way(db: psycopg.Connection) -> None:
    """A body is looked at only when it runs, so the server does not know all of this: the texts are read."""
    made: dict[str, str] = {}
    for name, objects in db.execute("SELECT name, objects FROM llm_db.repeatables"):
        for each in objects:
            if found := re.match(r"(?:view|function|procedure|aggregate) (\w+\.\w+)", each):
                made[found[1]] = layer(name)
    assert len(set(made.values())) > 3
    for path in sorted(VIEWS.rglob("*.sql")):
        own = layer(path.relative_to(VIEWS).as_posix())
        text = STRINGS_AND_COMMENTS.sub("", path.read_text(encoding="utf-8"))
        later = {used for used in re.findall(r"\b\w+\.\w+\b", text) if made.get(used, own) > own}
        assert not later, f"{path.relative_to(ROOT)} is built on {sorted(later)}"


def test_folders_are_in_order() -> None:
    folders = sorted(path.name for path in VIEWS.iterdir() if path.is_dir())
    assert [name[0] for name in folders] == [str(number) for number in range(len(folders))]
    for path in VIEWS.rglob("*.sql"):
        assert re.fullmatch(r"\d\d_[a-z0-9_]+\.sql", path.name), Path(path).name
