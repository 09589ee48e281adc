"""The runner's SQL, a file each: parameters are %(name)s, and names are looked up in pg_catalog."""

from functools import cache
from pathlib import Path


@cache
def query(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
