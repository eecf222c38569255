"""Bugsink's API (its own, under ``/api/canonical/0/``), which lists events by issue only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from runbook_lib.checks import monitors
from runbook_lib.checks.errors.interface import TrackedEvent
from runbook_lib.environment import BugsinkTracker, Environment
from runbook_lib.errors import Unanswerable

ISSUES: Final = 20
"""How many issues are looked through, those seen last first; an event that was sent just now is in one of them."""


@dataclass(frozen=True)
class Bugsink:
    """One project of a Bugsink."""

    env: Environment
    settings: BugsinkTracker

    @property
    def name(self) -> str:
        """What it is, and where."""
        return f"Bugsink at {monitors.place(self.settings.url)}, project {self.settings.project}"

    def find(self, event_id: str) -> TrackedEvent | None:
        """The event, looked for among the newest of the issues that were seen last."""
        newest = {"project": str(self.settings.project), "sort": "last_seen", "order": "desc"}
        for issue in self._results("issues", newest)[:ISSUES]:
            for event in self._results("events", {"issue": str(issue["id"])}):
                if str(event["event_id"]).replace("-", "") == event_id:
                    return self._event(event_id, issue, event)
        return None

    def _event(self, event_id: str, issue: dict[str, Any], event: dict[str, Any]) -> TrackedEvent:
        title = ": ".join(str(part) for part in _titles(issue))
        page = f"{self.settings.url.rstrip('/')}/issues/issue/{issue['id']}/event/{event['id']}/"
        return TrackedEvent(event_id, title, str(event.get("ingested_at", "")), page)

    def _results(self, resource: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        body = monitors.get_json(
            self.env,
            f"{self.settings.url.rstrip('/')}/api/canonical/0/{resource}/",
            who="Bugsink",
            setting="monitoring.tracker",
            token=self.settings.token,
            parameters=parameters,
        )
        results = body.get("results") if isinstance(body, dict) else None
        if not isinstance(results, list) or not all(isinstance(one, dict) and "id" in one for one in results):
            raise Unanswerable(
                f"{self.name} lists its {resource} in a shape that this kit does not know",
                remedy="compare Bugsink's version with those that the kit was tested against",
            )
        return results


def _titles(issue: dict[str, Any]) -> Iterator[Any]:
    yield from (issue[name] for name in ("calculated_type", "calculated_value") if issue.get(name))
