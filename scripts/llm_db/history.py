"""The files against the ledger: what is applied and pending, and whether the history can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg

from llm_db import ledger
from llm_db.errors import HISTORY, Problem
from llm_db.files import Migration


@dataclass(frozen=True)
class State:
    """The files against the ledger."""

    applied: list[str]
    pending: list[str]
    # Applied, and there is no such file.
    unknown: list[str]
    # Applied (or begun), and the file is another one now.
    edited: list[str]
    # Pending, and comes before one that is applied.
    late: list[str]
    # Outside a transaction; began and was not seen to end.
    half_done: list[str]
    ledger: dict[str, ledger.Entry]


def state(connection: psycopg.Connection, known: Sequence[Migration]) -> State:
    """Reads only: also on a database that has no ledger yet."""
    marked, entries = ledger.read(connection)
    half_done = [name for name, entry in entries.items() if entry.state != ledger.APPLIED]
    names = [migration.id for migration in known]
    last = max((number for number, name in enumerate(names) if name in marked), default=-1)
    return State(
        applied=[name for name in names if name in marked],
        pending=[name for name in names if name not in marked],
        unknown=[name for name in dict.fromkeys(marked + half_done) if name not in names],
        edited=[
            migration.id
            for migration in known
            if (entry := entries.get(migration.id))
            and (migration.id in marked or migration.id in half_done)
            and migration.sums != {"up_sha256": entry.up_sha256, "down_sha256": entry.down_sha256}
        ],
        late=[name for name in names[: max(last, 0)] if name not in marked and name not in half_done],
        half_done=half_done,
        ledger=entries,
    )


def violations(current: State) -> list[tuple[str, str]]:
    """What the history cannot be trusted about, each with the way out."""
    found = [
        (f"{name} is applied, and there is no such file.", "install the release that has it, or bring the file back")
        for name in current.unknown
    ]
    found += [
        (
            f"{name} has been edited since it was applied.",
            f"bring its files back and put the change into a new migration; or `llm-db repair --accept {name}` takes"
            " them as they are now",
        )
        for name in current.edited
        if name not in current.half_done
    ]
    found += [
        (
            f"{name} is late: a migration after it is applied.",
            "give it a number after the last one, or `llm-db migrate --allow-late` runs it now",
        )
        for name in current.late
    ]
    for name in current.half_done:
        edited = ", and has been edited since" if name in current.edited else ""
        again = "migrate" if current.ledger[name].state == ledger.STARTED else "rollback"
        found.append(
            (
                f"{name} began outside a transaction and was not seen to end{edited}.",
                f"`llm-db {again}` finds out what it left; or look yourself, then `llm-db repair --accept {name}` takes"
                f" it as applied, `llm-db repair --forget {name}` as not applied",
            )
        )
    return found


def refuse(found: list[tuple[str, str]]) -> None:
    if found:
        more = f" (and {len(found) - 1} more: `llm-db repair` shows them)" if len(found) > 1 else ""
        raise Problem(f"{found[0][0]}{more}", found[0][1], HISTORY)


def refuse_history(current: State, allow_late: bool) -> None:
    """Before a migrate. What began outside a transaction is not refused here: its turn finds out what it left."""
    begun = {name for name in current.half_done if current.ledger[name].state == ledger.STARTED}
    stuck = [name for name in current.half_done if name not in begun or name in current.edited]
    refuse(violations(replace(current, late=[] if allow_late else current.late, half_done=stuck)))


def refuse_rollback(current: State, going: list[Migration]) -> None:
    """What was applied is undone by the file that came with it, or not at all."""
    edited = [migration.id for migration in going if migration.id in current.edited]
    refuse(violations(replace(current, edited=edited, late=[], half_done=[])))


def refuse_unknown(current: State) -> None:
    refuse(violations(replace(current, edited=[], late=[], half_done=[])))
