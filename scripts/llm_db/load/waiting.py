"""Whom a load waits for, told while it waits. A session that waits cannot ask, so another one does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from llm_db.alone import BLOCKERS
from llm_db.database import PID, another, scalar
from llm_db.errors import Problem
from llm_db.turn import WHO

TELL_SECONDS = 1.0
# Sessions are asked for a tenth of a second at a time, which has to be seen.
POLL_SECONDS = 0.15
# Rows lie on the workers, and who holds them there is known by its session on the coordinator. Citus' number of a
# session ends with its pid.
BLOCKERS_ON_CLUSTER = f"""
SELECT pg_catalog.string_agg({WHO}, '; ' ORDER BY activity.pid)
FROM pg_catalog.pg_stat_activity AS activity
WHERE activity.pid = ANY (pg_catalog.pg_blocking_pids(%s)) OR activity.pid IN (
    SELECT w.blocking_gpid %% 10000000000
    FROM pg_catalog.citus_lock_waits AS w
    WHERE w.waiting_gpid %% 10000000000 = %s AND w.waiting_nodeid = w.blocking_nodeid
)
"""


class Waiting:
    def __init__(self, connection: psycopg.Connection, on_cluster: bool, tell: Callable[[str], None]) -> None:
        self.whom = ""
        self._waited = 0.0
        self._connection, self._tell = connection, tell
        pid = scalar(connection, PID)
        self._ask = (BLOCKERS_ON_CLUSTER, [pid, pid]) if on_cluster else (BLOCKERS, [pid])

    @contextmanager
    def told(self) -> Iterator[None]:
        """Within is what may have to wait, for a long time or again and again."""
        ended, began = threading.Event(), time.monotonic()
        threading.Thread(target=self._watch, args=[ended, max(TELL_SECONDS - self._waited, 0)], daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            self._waited += time.monotonic() - began

    def _watch(self, ended: threading.Event, patience: float) -> None:
        if ended.wait(patience):
            return
        # It only tells: where no more sessions are to be had, the load goes on without.
        with suppress(psycopg.Error, Problem), another(self._connection) as other:
            while not ended.is_set():
                whom = scalar(other, *self._ask)
                if whom and whom != self.whom:
                    self.whom = whom
                    self._tell(f"waiting for {whom} ...")
                ended.wait(POLL_SECONDS)
