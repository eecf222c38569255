"""The announcement of a deployment: what was sent, and whether it arrived."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from runbook_lib.checks import links, monitors
from runbook_lib.checks.links import Link, Outcome
from runbook_lib.environment import Channel, Environment
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.step import Finding, Table, check

FACT: Final = "announcement"


@dataclass(frozen=True)
class Announced:
    """What was sent.

    Parameters
    ----------
    id:
        Stands in the message, and nowhere else: by it the message is known again where it arrived.
    sent_at:
        ISO 8601, UTC.
    """

    id: str
    release: str
    sent_at: str

    def facts(self) -> dict[str, Any]:
        """What later steps need."""
        return {FACT: asdict(self)}


def announced(facts: Mapping[str, Any]) -> Announced:
    """What this run announced. Raises Unanswerable where it announced nothing."""
    try:
        return Announced(**facts[FACT])
    except KeyError as error:
        raise Unanswerable("this run has announced nothing", remedy="run the step before this one first") from error


@check("The announcement has arrived")
def arrived(env: Environment, facts: Mapping[str, Any]) -> Finding:
    """15.2.1: the announcement's id is found at the ``confirmation`` address of each channel, within the time limit.

    Raises
    ------
    Waiting
        A channel has no such address, or does not show the announcement yet: a person has to look.
    Unanswerable
        A confirmation address does not answer.
    """
    sent = announced(facts)
    channels = env.announcement.channels
    confirmable = [channel for channel in channels if channel.confirmation]
    deadline = time.monotonic() + env.announcement.confirmation_seconds
    missing = [channel for channel in confirmable if not _found(env, channel, sent.id, deadline)]
    unconfirmed = [channel for channel in channels if not channel.confirmation]
    if missing or unconfirmed:
        reasons = [f"{channel.title} does not show it within the time limit" for channel in missing]
        reasons += [f"{channel.title} took it, and cannot be asked whether it arrived" for channel in unconfirmed]
        raise Waiting(
            f"announcement {sent.id}: {'; '.join(reasons)}",
            remedy="look for it in the channel; declare the channel's confirmation address where it has one",
        )
    return Finding(
        ok=bool(channels),
        observed=f"announcement {sent.id} of {sent.sent_at} is seen in {len(channels)} of {len(channels)} channels",
        expected=f"announcement {sent.id} in every channel within {env.announcement.confirmation_seconds:g} s",
        remedy="declare a channel",
        tables=(Table(("channel", "seen at"), tuple((one.title, one.confirmation or "") for one in channels)),),
    )


def _found(env: Environment, channel: Channel, id: str, deadline: float) -> bool:
    """Whether the channel shows `id` before `deadline`. Raises Unanswerable where it does not answer."""
    link = Link(channel.title, channel.confirmation)

    def look() -> bool | None:
        page = links.visit(env, link)
        if page.outcome is not Outcome.ANSWERS:
            raise Unanswerable(
                f"where {channel.title} confirms what arrived: {page.seen}",
                remedy="correct the channel's confirmation address, or look for the announcement by hand",
            )
        return True if id in page.body else None

    message = f"waiting for announcement {id} in {channel.title}"
    seen, _ = monitors.wait_for(look, deadline - time.monotonic(), message)
    return seen is not None
