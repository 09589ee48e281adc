"""The README's table of versions: what it says of a run, and what it may not say."""

import pytest

from versions import HEAD, Result, untrue

pytestmark = pytest.mark.once("a table is read and compared, and no server is asked")

RESULTS = [Result("15.18", 1_600, 3, 0, 250.4), Result("18.6", 1_700, 0, 0, 240.0)]
TABLE = HEAD + "".join(map(str, RESULTS))


def test_a_table_that_was_just_written_is_true() -> None:
    assert str(RESULTS[0]) == "| 15.18 | 1,600 | 3 | 0 | 4.2 |\n"
    assert untrue(TABLE, RESULTS) == []


@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        ("| 15.18 |", "| 15.1 |", []),
        ("| 1,600 |", "| 1,599 |", []),
        ("| 4.2 |", "| 400.0 |", []),
        ("| 1,600 |", "| 1,601 |", ["15: 1601 passed and 0 failed, but it is 1600 and 0"]),
        ("| 0 | 4.2 |", "| 1 | 4.2 |", ["15: 1600 passed and 1 failed, but it is 1600 and 0"]),
        ("| 15.18 |", "| 14.1 |", ["14 was not run", "15 is not in it"]),
        (str(RESULTS[1]), "", ["18 is not in it"]),
        (TABLE, "", ["15 is not in it", "18 is not in it"]),
    ],
)
def test_it_may_say_less_than_is_so_and_nothing_more(written: str, instead: str, told: list[str]) -> None:
    assert written in TABLE
    assert untrue(TABLE.replace(written, instead), RESULTS) == told
