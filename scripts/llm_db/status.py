"""What is applied and what is pending."""

from dataclasses import asdict, dataclass

import psycopg

from llm_db import files, history, repeatables


@dataclass(frozen=True)
class Status:
    state: history.State
    repeatables: list[repeatables.Pending]
    problems: list[tuple[str, str]]

    @property
    def is_pending(self) -> bool:
        return bool(self.state.pending or self.repeatables)

    def as_json(self) -> dict[str, object]:
        return asdict(self.state) | {
            "ledger": [entry.as_json() for entry in self.state.ledger.values()],
            "repeatables": [{"name": one.name, "change": one.change} for one in self.repeatables],
        }


def status(connection: psycopg.Connection) -> Status:
    current = history.state(connection, files.migrations())
    found = repeatables.files_for(connection)
    return Status(current, repeatables.pending(connection, found), history.violations(current))


def lines(found: Status) -> list[str]:
    """As people read it."""
    state = found.state
    told = [f"{'edited ' if name in state.edited else 'applied'}  {name}" for name in state.applied]
    told += [f"missing  {name}" for name in state.unknown]
    told += [f"{'late   ' if name in state.late else 'pending'}  {name}" for name in state.pending]
    told += [f"half-done  {name}" for name in state.half_done]
    if state.applied:
        told += [f"{one.change:7}  {one.name}" for one in found.repeatables]
    told.append(
        f"{len(state.applied)} applied, {len(state.pending)} pending; {len(found.repeatables)} repeatables to make"
    )
    if found.problems:
        told.append("The history is not in order; `llm-db repair` shows the ways out.")
    return told
