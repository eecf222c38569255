"""What a sound TOML asks for and this machine, or the day, does not give: seen before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from runbook_lib.environment.objectives import K6Engine
from runbook_lib.environment.whole import Environment
from runbook_lib.errors import Unanswerable


def remarks(env: Environment, today: date | None = None) -> Iterator[str]:
    """Files that are not there, secrets without a value, decisions that have run out, roles that nobody has.

    A sentence for each, beginning with its setting. Nothing is contacted, and no command for a secret is run.

    Parameters
    ----------
    today:
        In UTC; now's where absent.
    """
    yield from _missing_files(env)
    yield from _secrets_without_value(env)
    yield from _run_out(env, today or datetime.now(UTC).date())
    yield from _roles_without_people(env)


def _missing_files(env: Environment) -> Iterator[str]:
    read: dict[str, Path | None] = {
        "announcement.template": env.announcement.template,
        "browser.executable": env.browser.executable,
        "database.log_file": env.database.log_file,
        "database.programs": env.database.programs,
        "load.engine.script": env.load.engine.script if isinstance(env.load.engine, K6Engine) else None,
        "monitoring.logs.rotation_file": env.monitoring.logs.rotation_file,
        "web.certificate_authority": env.web.certificate_authority,
    }
    for setting, path in read.items():
        if path is not None and not path.exists():
            yield f"{setting}: {path} is not there"


def _secrets_without_value(env: Environment) -> Iterator[str]:
    channels = {f"announcement.channels.{number}": each for number, each in enumerate(env.announcement.channels)}
    for setting, reference in {**env.references(), **channels}.items():
        # Phase 1 writes the .env file; a command for a secret may ask its user.
        if reference.command is not None or reference.file == env.dotenv.file:
            continue
        try:
            reference.resolve()
        except Unanswerable as error:
            yield f"{setting}: {error.reason}"


def _run_out(env: Environment, today: date) -> Iterator[str]:
    for waiver in env.waivers:
        if waiver.expires < today:
            yield f"waivers: that of {waiver.item} has run out on {waiver.expires}, and the item counts again"
    for accepted in env.security_audit.accepted:
        if accepted.expires < today:
            yield f"security_audit.accepted: {accepted.id} has run out on {accepted.expires}, and counts again"


def _roles_without_people(env: Environment) -> Iterator[str]:
    documentation = env.documentation
    wanted = {
        "documentation.escalation": tuple(step.role for step in documentation.escalation),
        "documentation.on_call": documentation.on_call.roles if documentation.on_call else (),
        "recovery.operators": env.recovery.operators,
    }
    held = {contact.role for contact in env.contacts}
    for setting, roles in wanted.items():
        for role in dict.fromkeys(roles):
            if role not in held:
                yield f"{setting}: no [[contacts]] has the role '{role}'"
    if not env.sign_off.keys:
        yield "sign_off.keys: names nobody, so that no run can be signed; 'runbook keygen FILE' makes a key"
