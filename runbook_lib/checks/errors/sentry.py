"""Sentry's API: an event by its id (https://docs.sentry.io/api/events/retrieve-an-event-for-a-project/)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from runbook_lib.checks import monitors
from runbook_lib.checks.errors.interface import TrackedEvent
from runbook_lib.checks.http import Answer
from runbook_lib.environment import Environment, SentryTracker
from runbook_lib.errors import Unanswerable


@dataclass(frozen=True)
class Sentry:
    """One project of an organisation at Sentry."""

    env: Environment
    settings: SentryTracker

    @property
    def name(self) -> str:
        """What it is, and where."""
        return f"Sentry at {monitors.place(self.settings.url)}, {self.settings.organisation}/{self.settings.project}"

    def find(self, event_id: str) -> TrackedEvent | None:
        """The event; where there is none, Sentry is asked whether there is such a project at all."""
        answer = self._get(f"events/{event_id}/")
        if answer.status == HTTPStatus.NOT_FOUND:
            if self._get("").status == HTTPStatus.NOT_FOUND:
                raise Unanswerable(
                    f"{self.name}: there is no such project, or the token may not see it",
                    remedy="check organisation and project in monitoring.tracker, and the token's scopes",
                )
            return None
        try:
            event = answer.json()
            found = str(event["eventID"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unanswerable(
                f"{self.name} shows the event in a shape that this kit does not know: {type(error).__name__}: {error}",
                remedy="look for the event in the dashboard, and check monitoring.tracker.url",
            ) from error
        if found.replace("-", "") != event_id:
            return None
        title = str(event.get("title", ""))
        return TrackedEvent(event_id, title, str(event.get("dateReceived", "")), self._page(event_id))

    def _page(self, event_id: str) -> str:
        organisation, project = quote(self.settings.organisation, safe=""), quote(self.settings.project, safe="")
        return f"{self.settings.url.rstrip('/')}/organizations/{organisation}/projects/{project}/events/{event_id}/"

    def _get(self, path: str) -> Answer:
        organisation, project = quote(self.settings.organisation, safe=""), quote(self.settings.project, safe="")
        return monitors.get(
            self.env,
            f"{self.settings.url.rstrip('/')}/api/0/projects/{organisation}/{project}/{path}",
            who="Sentry",
            setting="monitoring.tracker",
            token=self.settings.token,
            accepted=(HTTPStatus.OK, HTTPStatus.NOT_FOUND),
        )
