"""Many archived runs, made from one real run: its events and signatures are shared, its manifest is varied."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from runbook_lib.record import manifest
from runbook_lib.record.archive import Run
from runbook_lib.record.seal import ENVELOPE

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
Vary = Callable[[int, dict[str, Any]], None]
"""Changes the overview of the run of a number, counted from 0."""


def multiply(run: Run, count: int, vary: Vary, environment: str = "") -> list[str]:
    """Make `count` more runs, sealed ones, in the run's environment, or in another; their ids, an hour apart."""
    statement = (run.folder / manifest.NAME).read_bytes()
    made = []
    for number in range(count):
        each = json.loads(statement)
        seen = each["predicate"]["overview"]
        started = FIRST + timedelta(hours=number)
        seen["started"] = started.isoformat()
        vary(number, seen)
        made.append(f"{started:%Y%m%dT%H%M%SZ}-{seen['release']}")
        folder = run.folder.parent.with_name(environment or run.environment) / made[-1]
        folder.mkdir(parents=True)
        os.link(run.events.path, folder / "events.jsonl")
        (folder / manifest.NAME).write_text(json.dumps(each))
        envelope = run.folder / ENVELOPE
        os.link(envelope, folder / ENVELOPE) if envelope.exists() else (folder / ENVELOPE).touch()
    return made
