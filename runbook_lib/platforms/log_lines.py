"""When the lines of a log were written, by what they say themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

ISO: Final = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?)\s?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)?"
)
"""As most services write it, PostgreSQL among them; without a zone it is local time."""
EPOCH: Final = re.compile(r'"ts":\s?(\d{9,}(?:\.\d+)?)')
"""Caddy's JSON lines: seconds since 1970."""
REDIS: Final = re.compile(r"\b(\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d)")
"""Redis and Valkey, in local time."""
COMMON: Final = re.compile(r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")
"""The Common Log Format, of nginx, Apache and others."""
HEAD: Final = 200
"""Characters of a line within which its time stands."""


def moment(line: str) -> datetime | None:
    """When the line was written, None where it does not say."""
    head = line[:HEAD]
    if found := EPOCH.search(head):
        return datetime.fromtimestamp(float(found[1]), UTC)
    try:
        if found := ISO.search(head):
            zone = found["zone"] or ""
            offset = "+00:00" if zone in ("Z", "UTC", "GMT") else zone
            return datetime.fromisoformat(found["moment"].replace(",", ".") + offset).astimezone(UTC)
        if found := COMMON.search(head):
            return datetime.strptime(found[1], "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
        if found := REDIS.search(head):
            return datetime.strptime(found[1], "%d %b %Y %H:%M:%S").astimezone(UTC)
    except ValueError:
        return None  # it only looked like a time
    return None


def since(text: str, start: datetime) -> Iterator[str]:
    """The lines written at `start` or later.

    A line without a time belongs to the one before it; those before the first time are given too, for what cannot
    be dated must not be missed.
    """
    recent = True
    for line in text.splitlines():
        written = moment(line)
        if written is not None:
            recent = written >= start.replace(microsecond=0)
        if recent:
            yield line
