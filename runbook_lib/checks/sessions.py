"""The sessions on a PostgreSQL server, sampled while something else happens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runbook_lib.checks import database
from runbook_lib.checks.watching import Watching
from runbook_lib.errors import Unanswerable

if TYPE_CHECKING:
    import pandas as pd
    import psycopg

POLL_SECONDS: Final = 0.1
STUCK_SECONDS: Final = 1.0
"""A session that waits for a lock, or idles in a transaction, for longer than this is stuck."""
ACTIVITY: Final = f"""
    SELECT count(*),
           count(*) FILTER (WHERE state = 'active'),
           count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
           count(*) FILTER (WHERE wait_event_type = 'Lock'),
           count(*) FILTER (WHERE state LIKE 'idle in transaction%' AND now() - state_change > '{STUCK_SECONDS} s'),
           count(*) FILTER (WHERE wait_event_type = 'Lock' AND now() - query_start > '{STUCK_SECONDS} s')
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""  # noqa: S608 (nothing from outside)
COUNTS: Final = ("total", "active", "idle in transaction", "waiting", "idling too long", "waiting too long")


@dataclass(frozen=True)
class Sessions:
    """How many sessions there were.

    Parameters
    ----------
    samples:
        A row for each moment: ``seconds`` since the first, and one column for each of :data:`COUNTS`.
    maximum:
        The server's max_connections.
    """

    samples: pd.DataFrame
    maximum: int


@dataclass
class Watch(Watching):
    """Samples the sessions; of a database that cannot be watched, :meth:`seen` says so afterwards."""

    _rows: list[tuple[float, ...]] = field(default_factory=list)
    _maximum: int = 0
    _stopped_by: Exception | None = None

    def _watch(self) -> None:
        import psycopg

        try:
            with database.connected(self.env) as connection:
                self._sample(connection)
        except (psycopg.Error, Unanswerable) as error:
            self._stopped_by = error

    def _sample(self, connection: psycopg.Connection[Any]) -> None:
        row = connection.execute("SELECT setting::int FROM pg_settings WHERE name = 'max_connections'").fetchone()
        self._maximum = int(row[0]) if row else 0
        began = time.monotonic()
        while not self._ended.wait(POLL_SECONDS):
            counts: Sequence[int] = connection.execute(ACTIVITY.encode()).fetchone() or ()
            self._rows.append((time.monotonic() - began, *counts))

    def seen(self) -> Sessions:
        """What was sampled. Raises Unanswerable where the watch did not last to the end, or saw nothing."""
        import pandas as pd

        if self._stopped_by is not None or not self._rows:
            raise Unanswerable(
                f"the sessions could not be watched to the end: {self._stopped_by or 'no sample'}",
                remedy="see the database's log; had it no connection left?",
            )
        return Sessions(pd.DataFrame(self._rows, columns=["seconds", *COUNTS]), self._maximum)
