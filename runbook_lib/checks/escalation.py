"""Who is called: whether the contacts that a problem leads to can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from runbook_lib.checks import contacts as people
from runbook_lib.environment import Contact, Environment, OnCall
from runbook_lib.step import Finding, Table, check


def role_faults(env: Environment, roles: Iterable[str]) -> list[str]:
    """What keeps the contacts of these roles from being reached; each role once."""
    contacts = {contact.role: contact for contact in env.contacts}
    found = []
    for role in dict.fromkeys(roles):
        if role not in contacts:
            found.append(f"{role}: no [[contacts]] has this role")
        else:
            found += [f"{role}: {fault}" for fault in people.problems(contacts[role])]
    return found


def contact_table(env: Environment) -> Table:
    """Every declared contact."""
    rows = tuple((contact.role, contact.name, contact.email, contact.phone) for contact in env.contacts)
    return Table(("role", "name", "e-mail", "phone"), rows, "Contacts")


def _finding(problems: list[str], expected: str, remedy: str, table: Table) -> Finding:
    return Finding(not problems, problems or "each can be reached", expected, remedy, tables=(table,))


@check("Everybody in {env}'s escalation can be reached")
def escalation(env: Environment) -> Finding:
    """13.2.2: ``documentation.escalation`` names contacts, in the order of its minutes, and each is complete."""
    steps = env.documentation.escalation
    problems = role_faults(env, (step.role for step in steps))
    if not steps:
        problems = [f"{env.name}.toml declares no [[documentation.escalation]]"]
    minutes = [step.after_minutes for step in steps]
    if minutes != sorted(minutes):
        problems.append(f"the steps are not in the order of their minutes: {minutes}")
    return _finding(
        problems,
        "at least one step, each the role of a contact with a name and an e-mail address or phone number",
        "fill in [[contacts]] and [[documentation.escalation]] in the TOML",
        contact_table(env),
    )


@dataclass(frozen=True)
class Turn:
    """Who is on call from the first to the last day."""

    first: date
    last: date
    role: str


def turns(rota: OnCall, today: date) -> Iterator[Turn]:
    """The turn that `today` is in, and those after it; begins with the first one where the rota has not begun."""
    number = max(0, (today - rota.first_day).days // rota.days)
    while True:
        first = rota.first_day + timedelta(days=number * rota.days)
        yield Turn(first, first + timedelta(days=rota.days - 1), rota.roles[number % len(rota.roles)])
        number += 1


@check("Somebody is on call for {env} now, and can be reached")
def on_call(env: Environment) -> Finding:
    """13.2.3: ``documentation.on_call`` has begun, and each of its roles is a complete contact."""
    rota = env.documentation.on_call
    if rota is None:
        problems = [f"{env.name}.toml declares no [documentation.on_call]"]
        table = contact_table(env)
    else:
        today = datetime.now(UTC).date()
        problems = role_faults(env, rota.roles)
        if today < rota.first_day:
            problems.append(f"the rota begins on {rota.first_day}: nobody is on call today")
        table = rota_table(env, rota, today)
    return _finding(
        problems,
        "a rota that has begun, each role a contact with a name and an e-mail address or phone number",
        "fill in [[contacts]] and [documentation.on_call] in the TOML",
        table,
    )


def rota_table(env: Environment, rota: OnCall, today: date, count: int = 8) -> Table:
    """The next turns, `count` of them, with whom to call."""
    contacts = {contact.role: contact for contact in env.contacts}
    rows = []
    for turn, _ in zip(turns(rota, today), range(count), strict=False):
        contact = contacts.get(turn.role, Contact(role=turn.role))
        rows.append(
            (turn.first.isoformat(), turn.last.isoformat(), turn.role, contact.name, contact.email, contact.phone)
        )
    return Table(("from", "to", "role", "name", "e-mail", "phone"), tuple(rows), "On call (days in UTC)")


@check("Those who may restore {env} can be reached")
def operators(env: Environment) -> Finding:
    """14.2.1: ``recovery.operators`` names contacts, and each is complete."""
    problems = role_faults(env, env.recovery.operators)
    if not env.recovery.operators:
        problems = [f"{env.name}.toml names nobody in recovery.operators"]
    return _finding(
        problems,
        "at least one role of a contact with a name and an e-mail address or phone number",
        "name those who may restore in recovery.operators, and fill in their [[contacts]]",
        contact_table(env),
    )
