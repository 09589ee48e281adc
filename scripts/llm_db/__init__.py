"""The runner of the LLM platform's database: migrates it, loads it, reports on it."""

from pathlib import Path

__version__ = "0.3.0.dev0"


def sql_root() -> Path:
    """The folder that holds migrations/, views/ and seeds/: inside an installed wheel, else the checkout itself."""
    packaged = Path(__file__).parent / "sql"
    return packaged if packaged.is_dir() else Path(__file__).parents[2]
