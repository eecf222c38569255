"""People to call: who answers for what, and whether they can be reached by what the environment says of them."""

from __future__ import annotations

import re
from typing import Final

from runbook_lib.checks.links import PLACEHOLDER
from runbook_lib.environment import Contact, Environment
from runbook_lib.step import Finding, Table, check

_MAIL: Final = re.compile(r"[^@\s,]+@[^@\s,.]+(?:\.[^@\s,.]+)*")
_PHONE: Final = re.compile(r"\+?(?:[ ().-]*\d){3,15}[ ().-]*(?:(?:ext\.?|x) *\d+)?")
"""E.164 numbers have at most fifteen digits; internal ones may have three."""


def problems(contact: Contact) -> list[str]:
    """Why a contact could not be called: no name, no way to reach them, or an example's words left in place."""
    found = [] if re.search(r"\w", contact.name) else ["has no name"]
    if not (contact.email.strip() or contact.phone.strip()):
        found.append("has neither email nor phone")
    if contact.email.strip() and not _MAIL.fullmatch(contact.email.strip()):
        found.append(f"email {contact.email!r} is no mail address")
    if contact.phone.strip() and not _PHONE.fullmatch(contact.phone.strip()):
        found.append(f"phone {contact.phone!r} is no telephone number")
    for value in (contact.name, contact.email, contact.phone):
        if PLACEHOLDER.search(value):
            found.append(f"{value!r} still is a placeholder")
    return found


@check("The {role} is named and can be reached")
def named(env: Environment, role: str) -> Finding:
    """C.1–C.4: one of ``contacts`` has the role, a name, and an email or a phone of the right shape."""
    holders = [contact for contact in env.contacts if contact.role.casefold() == role.casefold()]
    faults = [problem for contact in holders for problem in problems(contact)]
    return Finding(
        ok=bool(holders) and not faults,
        observed=faults or ", ".join(contact.name for contact in holders) or f"no contact is {role}",
        expected="a name, and an email or a phone of the right shape",
        remedy=f'declare it in {env.name}.toml: [[contacts]] with role = "{role}", name, and email or phone',
        tables=(
            Table(
                ("role", "name", "email", "phone"),
                tuple((contact.role, contact.name, contact.email, contact.phone) for contact in holders),
            ),
        ),
    )
