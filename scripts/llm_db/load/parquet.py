"""Reading a Parquet file of request logs. Its values are read as the texts that a CSV file would have, so that the same
rules hold for them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from llm_db.errors import Problem
from llm_db.load.records import Record, refuse_twice

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

MAGIC = b"PAR1"
# In the file's metadata: the first day of the month that `llm-db archive` wrote into it.
MONTH = "llm_db.month"
# So many rows lie in memory at a time.
BATCH = 10_000


def needed() -> Problem:
    return Problem("Parquet files need pyarrow.", "pip install 'llm-platform-db[parquet]'")


def opened(file: BinaryIO, path: Path) -> "ParquetFile":
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise needed() from None
    try:
        return ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> Problem:
    return Problem(
        f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}.", "was it written to the end? Copy it again"
    )


def columns(source: "ParquetFile", path: Path) -> list[str]:
    names = list(source.schema_arrow.names)
    refuse_twice(names, path)
    return names


def archive_of(source: "ParquetFile") -> str | None:
    found = (source.schema_arrow.metadata or {}).get(MONTH.encode())
    return found.decode() if found else None


def records(source: "ParquetFile", used: list[str], path: Path) -> Iterator[Record]:
    """A record per row, its line being the row's number. No more than the columns that are asked for is read."""
    import pyarrow

    # In this thread: the file is a Python one.
    batches = source.iter_batches(BATCH, columns=used, use_threads=False)
    number = 0
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (pyarrow.ArrowException, OSError) as error:
            raise unreadable(path, error) from None
        texts = []
        for name in used:
            try:
                texts.append(batch.column(name).cast(pyarrow.string()).to_pylist())
            except pyarrow.ArrowException:
                raise Problem(
                    f"The column {name} of {path} is {batch.column(name).type}, of which no text can be made.",
                    "leave it out: --map \"TARGET=''\", where TARGET is what it would be read as",
                ) from None
        for values in zip(*texts, strict=True):
            number += 1
            given = dict(zip(used, values, strict=True))
            raw = json.dumps({name: value for name, value in given.items() if value is not None}, ensure_ascii=False)
            yield Record(number, raw, given)
