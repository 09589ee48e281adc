"""One runner at a time on a database.

A turn is a lock on the table llm_db.turn, which needs the right to write there: an advisory lock can be taken by any
login, and would stop us for as long as it likes. A second session holds it, in a transaction that does nothing else,
since ours end with each file; CREATE INDEX CONCURRENTLY does not wait for a transaction without a snapshot.

The session that works takes an advisory lock before that, as release 0.1.0 does. It is held for as long as its last
statement, also where a runner was killed. Nobody waits for it when it is held by somebody who may not write the ledger.
"""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import psycopg

from llm_db import ledger
from llm_db.database import POLL_SECONDS, SESSION, another, scalar
from llm_db.errors import LOCKED, Problem

# "llm-db" in ASCII, for every version of this runner. The server keeps advisory locks per database already.
LOCK = 0x6C6C6D2D6462
WHO = """
    'pid ' || activity.pid
    || ', application ' || coalesce(nullif(activity.application_name, ''), 'unnamed')
    || ', user ' || coalesce(activity.usename, 'hidden')
    || ', client ' || CASE
        WHEN activity.backend_start IS NULL THEN 'hidden'
        ELSE coalesce(pg_catalog.host(activity.client_addr), 'on the server itself')
    END
    || ', connected since '
    || coalesce(pg_catalog.to_char(activity.backend_start, 'YYYY-MM-DD HH24:MI:SSTZH'), 'hidden')
"""
# Before the first migrate, who may begin one.
QUEUED = f"""
SELECT
    {WHO},
    CASE
        WHEN pg_catalog.to_regclass('llm_db.migrations') IS NULL
            THEN pg_catalog.has_database_privilege(activity.usesysid, pg_catalog.current_database(), 'CREATE')
        ELSE pg_catalog.has_table_privilege(activity.usesysid, pg_catalog.to_regclass('llm_db.migrations'), 'UPDATE')
    END
FROM pg_catalog.pg_locks AS held
JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
WHERE
    held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
    AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND (held.classid::bigint << 32) + held.objid::bigint = %s
"""
HOLDER = f"""
SELECT {WHO}
FROM pg_catalog.pg_locks AS held
JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.relation = pg_catalog.to_regclass('llm_db.turn') AND held.granted AND held.mode <> 'AccessShareLock'
"""
TAKE = "BEGIN; LOCK TABLE llm_db.turn IN SHARE UPDATE EXCLUSIVE MODE NOWAIT"


@dataclass
class Turn:
    connection: psycopg.Connection
    wait_seconds: float
    ending: ExitStack
    began: float = field(default_factory=time.monotonic)
    told: bool = False
    taken: bool = False

    def queue(self) -> None:
        """Before anything else: so all runners take both locks in this order."""
        while not scalar(self.connection, "SELECT pg_catalog.pg_try_advisory_lock(%s)", [LOCK]):
            holder = self.connection.execute(QUEUED, [LOCK]).fetchone()
            if holder and not holder[1]:
                print(
                    f"Not waited for, as it may not migrate: {holder[0]}, with our advisory lock",
                    file=sys.stderr,
                )
                return
            self.wait(holder[0] if holder else None)
        self.ending.callback(self.leave_queue)

    def leave_queue(self) -> None:
        # A lost session has lost its lock too.
        if not self.connection.closed:
            self.connection.execute("SELECT pg_catalog.pg_advisory_unlock(%s)", [LOCK])

    def take(self, become: str) -> None:
        """As soon as there is a ledger; again does nothing. `become` makes the second session act as ours does."""
        if self.taken or "turn" not in ledger.tables(self.connection):
            return
        other = self.ending.enter_context(another(self.connection))
        newer = "; SET transaction_timeout = 0" if other.info.server_version >= 170000 else ""
        other.execute(f"{SESSION}{newer}; {become}")
        while not self.taken:
            try:
                other.execute(TAKE)
                self.taken = True
            except psycopg.errors.LockNotAvailable:
                other.rollback()
                self.wait(scalar(self.connection, HOLDER))

    def wait(self, holder: str | None) -> None:
        waited = time.monotonic() - self.began
        if holder and waited >= self.wait_seconds:
            raise Problem(
                f"Another llm-db is still at work on this database after {self.wait_seconds:g} s: {holder}.",
                "run this again when it is done, or give it longer with --wait",
                LOCKED,
            )
        if holder and not self.told:
            print(f"Another llm-db is at work on this database; waiting for it ({holder}) ...", file=sys.stderr)
            self.told = True
        time.sleep(POLL_SECONDS)
