"""The people, what they read, and where they are told."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import (
    Field,
)

from runbook_lib.environment.model import Model, RelativePath
from runbook_lib.environment.secret import Secret


class Contact(Model):
    """Somebody to be called, by what they answer for."""

    role: str
    name: str = ""
    email: str = ""
    phone: str = ""


class EscalationStep(Model):
    """Who is called when a problem stands for so long; `role` is that of a contact."""

    role: str
    after_minutes: Annotated[float, Field(ge=0)] = 0.0


class OnCall(Model):
    """Who is on call: the contacts of these roles in turn, each for `days`, beginning with the first on `first_day`."""

    roles: Annotated[tuple[str, ...], Field(min_length=1)]
    first_day: date
    days: Annotated[int, Field(ge=1)] = 7
    acknowledge_minutes: Annotated[float, Field(gt=0)] = 15.0


class Documentation(Model):
    """Where documents and dashboards are, by name; and what the handbook is written from."""

    links: dict[str, str] = Field(default_factory=dict, description="documents: name and URL")
    dashboards: dict[str, str] = Field(default_factory=dict, description="name and URL")
    support: dict[str, str] = Field(default_factory=dict, description="channels: name and URL")
    status_page: str | None = None
    status_shows: tuple[str, ...] = Field(
        default=("All systems operational", "All services are online", "All systems are functional"),
        description="what the status page may say in place of the release's name",
    )
    folder: RelativePath | None = Field(default=None, description="the handbook is also written here")
    project: tuple[str, ...] = Field(default=("README.md", "docs"), description="the release's own documents")
    escalation: tuple[EscalationStep, ...] = ()
    on_call: OnCall | None = None


class Channel(Secret):
    """Where announcements go: an apprise URL by reference, and an address that shows what arrived."""

    name: str = ""
    confirmation: str | None = Field(default=None, description="URL whose answer holds what arrived, if there is one")

    @property
    def title(self) -> str:
        """Its name, or where its URL is looked up."""
        return self.name or str(self)


class Announcement(Model):
    """How a deployment is announced."""

    channels: tuple[Channel, ...] = ()
    template: RelativePath | None = Field(default=None, description="Jinja template; the kit's own if absent")
    confirmation_seconds: float = Field(default=30.0, description="how long a confirmation is waited for")
