"""Telling people that a release was deployed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.actions.deployment import DEPLOYED_AT, PREVIOUS
from runbook_lib.checks.announcement import FACT, Announced, announced, arrived
from runbook_lib.environment import Channel, Environment, secret_parts
from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.home import account
from runbook_lib.record.masking import Mask
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, action, progress

if TYPE_CHECKING:
    from apprise import NotifyBase

CHANGES_SHOWN: Final = 20
TEMPLATE: Final = """\
{{ release }} was deployed to {{ environment }} by {{ who }}, {{ when }}.
Service: {{ url }}
{% if previous %}

Changes since {{ previous }}:
{% for change in changes %}
- {{ change }}
{% else %}
- none that the repository tells of
{% endfor %}
{% if more_changes %}
- and {{ more_changes }} more
{% endif %}
{% endif %}
{% if links %}

{% for name, address in links.items() %}
{{ name }}: {{ address }}
{% endfor %}
{% endif %}
"""
"""What is announced where the environment declares no template of its own; such a one has the same names."""


@dataclass(frozen=True)
class Delivery:
    """What apprise says of one channel: `taken` is None where it did not end in time."""

    channel: str
    taken: bool | None
    said: str


def _is_announced(env: Environment, release: Release, facts: Mapping[str, Any]) -> Finding:
    """Whether every channel that can be asked shows this deployment's announcement."""
    sent = _to_send(env, release, facts)
    return replace(arrived(env, sent.facts()).run(), facts=sent.facts())


@action("Announce {release} in the channels of {env}", done=_is_announced)
def deployment(env: Environment, release: Release, facts: Mapping[str, Any]) -> Finding:
    """15.2.1: one message to every declared channel, through apprise; what this run announced is not sent again.

    Raises
    ------
    Unanswerable
        No channel is declared, the address of one is not to be had or not understood, or the template is wrong:
        nothing was sent. Or a channel did not answer in time, so that nobody knows.
    """
    if FACT in facts and announced(facts).release == release.tag:
        earlier = announced(facts)
        return Finding(True, f"announced at {earlier.sent_at} by this run; not sent again", "sent once")
    deployed = platforms.connect(env).deployed()
    if deployed != release.tag:
        return Finding(
            False, f"{deployed or 'nothing'} is deployed", release.tag, "deploy it first (8.1); nothing was sent"
        )
    services = tuple((channel, _service(env, channel)) for channel in _channels(env))
    sent = _to_send(env, release, facts)
    # The id is how the message is known again; no template may forget it.
    message = f"{render(env, release, facts)}\n\nAnnouncement {sent.id}"
    deliveries = [_send(env, channel, service, f"{release} on {env}", message) for channel, service in services]
    return _judged(deliveries, sent, message)


def _to_send(env: Environment, release: Release, facts: Mapping[str, Any]) -> Announced:
    """This deployment's announcement; its id is the same however often it is asked for, so that it is known again."""
    deployment = f"{env.name} {release.commit} {facts.get(DEPLOYED_AT, '')}"
    id = hashlib.sha256(deployment.encode()).hexdigest()[:12]
    return Announced(id, release.tag, datetime.now(UTC).isoformat(timespec="seconds"))


def _channels(env: Environment) -> tuple[Channel, ...]:
    if not env.announcement.channels:
        raise Unanswerable(
            f"{env.name}.toml declares no channel to announce in",
            remedy="declare announcement.channels: a list of references to apprise URLs",
        )
    return env.announcement.channels


def _judged(deliveries: list[Delivery], sent: Announced, message: str) -> Finding:
    refused = [one for one in deliveries if one.taken is False]
    silent = [one for one in deliveries if one.taken is None]
    taken = [one.channel for one in deliveries if one.taken]
    if silent and not refused:
        raise Unanswerable(
            f"nobody knows whether it was sent: {'; '.join(f'{one.channel}: {one.said}' for one in silent)}; "
            f"taken by: {', '.join(taken) or 'no other channel'}",
            remedy="look in the channel; raise limits.request where it is only slow",
        )
    return Finding(
        ok=not refused,
        observed={one.channel: one.said for one in deliveries},
        expected="every channel takes the message",
        remedy="correct the addresses of the channels that refused it; running this again announces to the others too",
        tables=(Table(("channel", "taken", "said"), tuple((one.channel, one.taken, one.said) for one in deliveries)),),
        evidence=(Evidence("announcement.txt", message),),
        facts=sent.facts(),
    )


def render(env: Environment, release: Release, facts: Mapping[str, Any]) -> str:
    """The message as text.

    Raises
    ------
    Unanswerable
        The environment's template cannot be read, or asks for something that there is not.
    """
    import jinja2

    own = env.announcement.template
    try:
        text = own.read_text(encoding="utf-8") if own else TEMPLATE
        # Plain text: apprise escapes it for the channels that show HTML.
        engine = jinja2.Environment(
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # noqa: S701
        )
        return engine.from_string(text).render(_content(env, release, facts)).strip()
    except (OSError, UnicodeDecodeError, jinja2.TemplateError) as error:
        raise Unanswerable(
            f"{own or 'the template'} cannot be rendered: {error}; nothing was sent",
            remedy="correct announcement.template, or leave it out",
        ) from error


def _content(env: Environment, release: Release, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a template may name."""
    previous = facts.get(PREVIOUS)
    try:
        changes = releases.changes(env, previous, release) if previous else ()
    except ConfigurationError:
        # An announcement without its list of changes is still one.
        changes = ()
    pages = {"Status": env.documentation.status_page} if env.documentation.status_page else {}
    when = datetime.fromisoformat(facts[DEPLOYED_AT]) if DEPLOYED_AT in facts else datetime.now(UTC)
    return {
        "release": release.tag,
        "commit": release.commit,
        "environment": env.name,
        "url": env.web.url,
        "who": account(),
        "when": f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "previous": previous,
        "changes": changes[:CHANGES_SHOWN],
        "more_changes": len(changes[CHANGES_SHOWN:]),
        "links": {**pages, **env.documentation.links, **env.documentation.support},
    }


def _service(env: Environment, channel: Channel) -> NotifyBase:
    """The channel's service. Raises Unanswerable where there is no address, or none that apprise understands."""
    from apprise import Apprise, AppriseAsset, PersistentStoreMode

    asset = AppriseAsset(storage_mode=PersistentStoreMode.MEMORY, service_timeout=_seconds(env))
    service = Apprise.instantiate(channel.resolve().get_secret_value(), asset=asset)
    if not service:
        raise Unanswerable(
            f"the address of {channel.title} is none that apprise understands; nothing was sent",
            remedy="write it as apprise's documentation has it for the service",
        )
    service.socket_connect_timeout = service.socket_read_timeout = env.limits.request
    return service


def _seconds(env: Environment) -> float:
    """For all that one channel takes: to connect, to be answered, and as much again for those that ask twice."""
    return 4 * env.limits.request


def _send(env: Environment, channel: Channel, service: NotifyBase, title: str, message: str) -> Delivery:
    """Hand the message to one channel; what apprise says of it is kept without the channel's secrets."""
    from apprise import Apprise, NotifyFormat
    from apprise.result import AppriseResultStatus

    progress(f"announcing in {channel.title}")
    apprise = Apprise([service])
    result = apprise.notify(
        body=message, title=title, body_format=NotifyFormat.TEXT, timeout=_seconds(env), log_level=logging.WARNING
    )
    parts = secret_parts(channel.resolve().get_secret_value())
    said = "; ".join(entry.message for entry in result.logs())
    said = Mask().learn({f"{channel.title}.{number}": part for number, part in enumerate(parts)}).text(said)
    if result.status == AppriseResultStatus.TIMEOUT:
        return Delivery(channel.title, None, said or f"no answer within {_seconds(env):g} s")
    return Delivery(channel.title, bool(result), said or ("taken" if result else "refused, without a reason"))
