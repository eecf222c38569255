"""The lock in the environment's PostgreSQL: a session's advisory lock, which ends with its connection.

Source: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

from runbook_lib.checks import database
from runbook_lib.environment import Environment
from runbook_lib.errors import Occupied, Unanswerable
from runbook_lib.exclusive.holder import HELD, SETTLE_SECONDS, SHARED, Holder, Session

if TYPE_CHECKING:
    import psycopg

MAINTENANCE: Final = "postgres"
"""Advisory locks are a database's own. This one is neither renamed nor dropped when the application's is restored."""
_CLIENT: Final[dict[str, Any]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_SERVER: Final = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
    "idle_session_timeout": "0",
}
"""A holder whose machine has gone is noticed within 25 s; one that only waits is never cut off."""
_RIVAL: Final = """
    SELECT application_name, coalesce(host(client_addr), 'the server itself'),
           coalesce(to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'), 'a time not shown')
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND (classid::bigint << 32 | objid::bigint) = %s
      AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_POLL_SECONDS: Final = 0.05
_SLOW_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 60.0


def key(name: str) -> int:
    """The number of the lock for the application's database `name`, signed, of 64 bits.

    Operators may call the environment differently; on one server the database's name is the same for all.
    """
    return int.from_bytes(hashlib.sha256(f"runbook-kit, one at a time: {name}".encode()).digest()[:8], signed=True)


class DatabaseLock:
    """The advisory lock for `env`'s database, on a connection of its own."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._connection: psycopg.Connection[Any] | None = None
        self._held = False
        self._key = 0
        self._not_before = 0.0

    def take(self, holder: Holder) -> str:
        """Take the lock unless a process of the same run has it, and say which of the two; a lost one is taken again.

        Raises
        ------
        Occupied
            Another run holds it; the text is who, and since when.
        Unanswerable
            The database does not answer.
        """
        import psycopg

        if self._connection is not None:
            try:
                return self._take(self._connection, holder)
            except psycopg.Error:
                # The connection was lost: perhaps the server was stopped and started meanwhile.
                self.release()
        try:
            self._connection = self._connect(holder)
            return self._take(self._connection, holder)
        except psycopg.Error as error:
            self.release()
            raise Unanswerable(f"the environment's database does not answer: {' '.join(str(error).split())}") from error

    def _take(self, connection: psycopg.Connection[Any], holder: Holder) -> str:
        deadline = time.monotonic() + SETTLE_SECONDS
        if self._held:
            connection.execute("SELECT 1")
            return HELD
        while not self._try(connection):
            rival = self._rival(connection)
            if rival is not None and rival.token == holder.token:
                return SHARED
            if time.monotonic() >= deadline:
                raise Occupied(str(rival) if rival is not None else "a session that ended just now")
            time.sleep(_POLL_SECONDS)
        return HELD

    def _try(self, connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()
        self._held = bool(row and row[0])
        return self._held

    def _rival(self, connection: psycopg.Connection[Any]) -> Session | None:
        row = connection.execute(_RIVAL, (self._key,)).fetchone()
        return Session(*row) if row else None

    def _connect(self, holder: Holder) -> psycopg.Connection[Any]:
        """A connection to the maintenance database, or to the application's own where that one is refused.

        A server that let us wait is left alone for a while, so that it does not delay every item.
        """
        import psycopg

        if time.monotonic() < self._not_before:
            raise psycopg.OperationalError("it let us wait in vain a moment ago")
        began = time.monotonic()
        try:
            try:
                return self._open(holder, MAINTENANCE)
            except psycopg.errors.ConnectionTimeout:
                raise
            except psycopg.OperationalError:
                return self._open(holder)
        except psycopg.Error:
            if time.monotonic() - began > _SLOW_SECONDS:
                self._not_before = time.monotonic() + _PAUSE_SECONDS
            raise

    def _open(self, holder: Holder, name: str | None = None) -> psycopg.Connection[Any]:
        """Connect to the database `name` of the application's server, or to its own."""
        import psycopg
        from psycopg.types.json import Jsonb

        address = database.without_driver(database.url(self._env))
        try:
            own = psycopg.conninfo.conninfo_to_dict(address).get("dbname")
            connection = psycopg.connect(
                address,
                autocommit=True,
                dbname=name or own,
                connect_timeout=max(2, round(self._env.limits.request)),
                application_name=holder.application_name,
                **_CLIENT,
            )
        except psycopg.ProgrammingError:
            raise Unanswerable("the database URL is no PostgreSQL URL", remedy="correct DATABASE_URL") from None
        self._key = key(str(own or connection.info.user))
        # Settings that this version or this kind of connection lacks are left out.
        connection.execute(
            "SELECT set_config(name, %s ->> name, false) FROM pg_settings WHERE name = ANY(%s)",
            (Jsonb(_SERVER), list(_SERVER)),
        )
        return connection

    def release(self) -> None:
        """Close the connection, and with it give the lock back."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._held = None, False
