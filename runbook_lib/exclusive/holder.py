"""Who holds a lock, as its file and the database's list of sessions say it."""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from runbook_lib.home import account

HELD: Final = "held"
SHARED: Final = "held by another process of this run"
SETTLE_SECONDS: Final = 2.0
"""How long a lock that is refused is asked for again: its holder may just be ending, or just have come.

The kernel of a runner that was killed ends within a second (ipykernel looks for its parent that often)."""
NAME_BYTES: Final = 63
"""What PostgreSQL keeps of an application_name (NAMEDATALEN - 1)."""
_WHO_BYTES: Final = 24


@dataclass(frozen=True)
class Holder:
    """A run, and the process that holds a lock for it.

    Parameters
    ----------
    token:
        Known to every process of the run and to no other: run ids alone may be equal on two machines.
    since:
        UTC, ISO 8601.
    """

    run: str
    operator: str
    host: str
    pid: int
    since: str
    token: str

    @classmethod
    def of(cls, run_id: str, *, token: str = "") -> Holder:
        """This process, for run `run_id`; with a new token where none is given."""
        return cls(
            run=run_id,
            operator=account(),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            token=token or secrets.token_hex(3),
        )

    def __str__(self) -> str:
        return f"run {self.run} of operator {self.operator} on host {self.host} (pid {self.pid}) since {self.since}"

    @property
    def alive(self) -> bool:
        """Whether the process lives; one of another host is taken to live."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    @property
    def application_name(self) -> str:
        """Token, operator and host, and run, in the bytes that PostgreSQL keeps: printable ASCII."""
        who = re.sub(r"[^!-~]", "?", f"{self.operator}@{self.host}")[:_WHO_BYTES]
        return f"runbook/{self.token} {who} {re.sub(r'[^!-~]', '?', self.run)}"[:NAME_BYTES]


@dataclass(frozen=True)
class Session:
    """The database session that holds a lock, as PostgreSQL shows it to others; nothing of it is trusted."""

    application_name: str
    address: str
    since: str

    @property
    def token(self) -> str:
        """The holder's token; empty where the session is none of ours."""
        found = re.match(r"runbook/(\w+) ", self.application_name)
        return found[1] if found else ""

    def __str__(self) -> str:
        found = re.fullmatch(r"runbook/\w+ (\S+)@(\S+) (\S+)", self.application_name)
        who = (
            f"run {found[3]} of operator {found[1]} on host {found[2]}"
            if found
            else f"the database session '{re.sub(r'[^ -~]', '?', self.application_name)}'"
        )
        return f"{who}, connected to the environment's database from {self.address} since {self.since}"
