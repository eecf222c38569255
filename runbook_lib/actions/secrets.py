"""Secrets that production needs: generated where they are missing or weak, and never shown."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from runbook_lib.actions import dotenv_file
from runbook_lib.checks import database
from runbook_lib.checks.dotenv import read, shown, weakness
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.record import secret_files
from runbook_lib.step import Finding, Table, action

if TYPE_CHECKING:
    import psycopg

PASSWORD: Final = "POSTGRES_PASSWORD"  # noqa: S105 - the setting's name
URL: Final = "DATABASE_URL"


@action("Generate the secrets that are missing or still placeholders")
def generate(env: Environment) -> Finding:
    """Write new secrets into the .env file in one step, mode 0600; strong ones stay unless ``dotenv.rotate`` is set.

    A new POSTGRES_PASSWORD goes into DATABASE_URL and to the role too. The file with the new values lies beside the
    old one until a new connection has proved them; where that fails, the role gets its old password back.

    Raises
    ------
    Unanswerable
        The role's password could not be changed or proved; nothing is changed then.
    """
    current = read(env.dotenv.file)
    fresh = {
        name: secrets.token_urlsafe(size)
        for name, size in env.dotenv.secrets.items()
        if env.dotenv.rotate or weakness(current.get(name), size)
    }
    if PASSWORD in fresh:
        address = _database_url(current)
        _put_in_force(env, fresh | {URL: database.with_password(address, fresh[PASSWORD])}, address)
    elif fresh:
        dotenv_file.write(env.dotenv.file, fresh)
    else:
        env.dotenv.file.chmod(dotenv_file.MODE)
    after = read(env.dotenv.file)
    rows = tuple(
        (name, "generated" if name in fresh else "kept", shown(env, name, after.get(name)))
        for name in env.dotenv.secrets
    )
    return Finding(
        ok=True,
        observed={"generated": sorted(fresh), "kept": sorted(set(env.dotenv.secrets) - set(fresh))},
        expected="every secret is set and strong; strong ones stay unless dotenv.rotate is true",
        tables=(Table(("secret", "what was done", "value"), rows),),
        facts={secret_files.FACT: secret_files.states(env)},
    )


def _database_url(current: dict[str, str]) -> str:
    address = current.get(URL, "")
    if not address.startswith("postgresql"):
        raise Unanswerable(
            f"{PASSWORD} must be generated, but {URL} is no PostgreSQL URL: there is no role to give it to",
            remedy=f"set {URL} to the database as it is reached now, then run the item again",
        )
    return address


def _put_in_force(env: Environment, values: dict[str, str], old: str) -> None:
    """Change the role's password and the file together, or neither."""
    prepared = dotenv_file.prepare(env.dotenv.file, values)
    try:
        _change_password(old, values[URL], timeout=env.limits.request)
    except (Unanswerable, KeyboardInterrupt):
        # The role has its old password. After any other exception it may not: then both files stay, for a person.
        prepared.discard()
        raise
    prepared.replace()


def _change_password(old: str, new: str, *, timeout: float) -> None:
    import psycopg

    try:
        connection = database.connect(old, timeout=timeout)
    except psycopg.OperationalError as error:
        raise Unanswerable(
            f"the database refused the password in force: {error}".strip(), remedy=f"start it, or correct {URL}"
        ) from error
    with connection:
        try:
            _set_password(connection, new)
            _prove(new, timeout)
        except BaseException:
            _set_password(connection, old)
            raise


def _prove(address: str, timeout: float) -> None:
    import psycopg

    try:
        with database.connect(address, timeout=timeout) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        raise Unanswerable(
            f"the new password was not accepted, the old one is in force again: {error}".strip(),
            remedy="see why the server refuses a second connection of this role",
        ) from error


def _set_password(connection: psycopg.Connection[Any], address: str) -> None:
    """Give the connected role the password in `address`, as a verifier made here: the server's log never sees it."""
    from psycopg import sql

    role = connection.info.user
    password = unquote(urlsplit(address).password or "")
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))
