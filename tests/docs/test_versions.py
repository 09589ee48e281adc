"""The README's table has every version, and none on which a test fails."""

import pytest

from cluster import DEBIAN, WHEELS
from versions import README, table_of

pytestmark = pytest.mark.once("a table is read, and no server is asked")


def test_the_table_has_no_failure() -> None:
    rows = [line.strip("| ").split(" | ") for line in table_of(README.read_text("utf-8")).splitlines()[2:]]
    assert {version.split(".")[0] for version, *_ in rows} == {*DEBIAN, *WHEELS}
    assert {failed for _, _, _, failed, _ in rows} == {"0"}
    assert all(int(passed.replace(",", "")) > 1_000 for _, passed, *_ in rows)
