"""The service's .env file: what stands in it, and whether that may go to production."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from runbook_lib.checks.origins import OPAQUE, origin_problem
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, Table, check

ON: Final = frozenset({"true", "1", "yes", "on", "t", "y"})
OFF: Final = frozenset({"false", "0", "no", "off", "f", "n"})
PLACEHOLDERS: Final = (
    "changeme", "changethis", "replaceme", "placeholder", "yoursecret", "yourpassword", "devsecret", "testsecret",
    "supersecret", "secretkey", "insecure", "example", "default", "password",
)  # fmt: skip
"""Words that no generated value holds, compared without case and without ``-``, ``_``, ``.`` and blanks."""
DEFAULT_PASSWORDS: Final = frozenset(
    {"postgres", "postgresql", "admin", "root", "secret", "test", "dev", "redis", "valkey", "user", "pass", "123456"}
)
BITS_PER_BYTE: Final = 3.0
"""Least estimated entropy for each declared random byte; a random value of any usual spelling has 3.4 or more."""


def read(file: Path) -> dict[str, str]:
    """The settings in `file`, as python-dotenv reads them; none where it does not exist.

    Raises
    ------
    Unanswerable
        It may not be read, or is not UTF-8.
    """
    from dotenv import dotenv_values

    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (PermissionError, UnicodeDecodeError) as error:
        raise Unanswerable(f"{file.name} could not be read: {error}", remedy="correct its mode or encoding") from error
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


def shown(env: Environment, name: str, value: str | None) -> str:
    """`value` as the record may hold it: a secret by its length and the start of its SHA-256."""
    if value is None:
        return "(not set)"
    if not env.is_secret(name) or not value:
        return repr(value)
    return f"{len(value)} characters, SHA-256 {hashlib.sha256(value.encode()).hexdigest()[:12]}…"


def entropy(value: str) -> float:
    """An estimate of how many bits a guesser must find out.

    The smaller of two empirical Shannon entropies, times the length n: that of the characters, and that of the steps
    between neighbouring characters (so that ``abcdef…`` counts for little): n · min(H(c), H(Δc)) with
    H = −Σ p·log2(p), p the share of each character (C. E. Shannon, A Mathematical Theory of Communication, 1948).
    """
    steps = [ord(right) - ord(left) for left, right in itertools.pairwise(value)]
    return len(value) * min(_shannon(value), _shannon(steps))


def _shannon(symbols: Sequence[object]) -> float:
    shares = [count / len(symbols) for count in Counter(symbols).values()]
    return -sum(share * math.log2(share) for share in shares) + 0.0


def is_placeholder(value: str) -> bool:
    """Whether `value` was meant to be replaced by its reader."""
    plain = re.sub(r"[-_.\s]", "", value.lower())
    return not plain or plain.startswith("<") or "${" in plain or any(word in plain for word in PLACEHOLDERS)


def weakness(value: str | None, random_bytes: int) -> str:
    """Why `value` is no secret of `random_bytes` bytes; empty where it is one.

    It must hold at least as many characters as bytes are declared, and :data:`BITS_PER_BYTE` bits for each of them.
    """
    if not value:
        return "is missing"
    if is_placeholder(value) or value.lower() in DEFAULT_PASSWORDS:
        return "is a placeholder or a known default"
    if len(value) < random_bytes:
        return f"has {len(value)} characters, fewer than {random_bytes}"
    if entropy(value) < BITS_PER_BYTE * random_bytes:
        return f"has {entropy(value):.0f} bits of entropy, fewer than {BITS_PER_BYTE * random_bytes:.0f}"
    return ""


def origins(value: str) -> tuple[str, ...]:
    """The origins in a CORS setting: a JSON list, or a list with commas between. Raises ValueError for neither."""
    text = value.strip()
    parts = json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",")]
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("the JSON list holds something else than strings")
    return tuple(part for part in parts if part.strip())


def origin_fault(origin: str, domains: Sequence[str]) -> str:
    """Why a browser's `origin` is not one of production's; empty where it is."""
    if "*" in origin:
        return "is a wildcard"
    try:
        parts = urlsplit(origin)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "is no origin"
    if host in {"localhost", "127.0.0.1", "0.0.0.0", "::1"} or host.endswith(".localhost"):  # noqa: S104
        return "is this machine"
    if parts.scheme != "https":
        return "is not https"
    if not any(host == domain.lower() or host.endswith(f".{domain.lower()}") for domain in domains):
        return "is outside the environment's domains"
    return origin_problem(origin)


def url_faults(value: str | None, schemes: Sequence[str]) -> list[str]:
    """What is wrong with a service's URL: its scheme (driver suffix aside), its host, its password."""
    parts = _split(value)
    if parts is None:
        return ["is not set" if not value else "is no URL"]
    password = unquote(parts.password or "")
    faults = []
    if parts.scheme.partition("+")[0] not in schemes:
        faults.append(f"its scheme is '{parts.scheme}', not {' or '.join(schemes)}")
    if not (parts.hostname or "host=" in parts.query):
        faults.append("it names no host")
    if not password:
        faults.append("it has no password")
    elif is_placeholder(password) or password.lower() in DEFAULT_PASSWORDS | {(parts.username or "").lower()}:
        faults.append("its password is a placeholder or a known default")
    return faults


def _split(value: str | None) -> SplitResult | None:
    try:
        parts = urlsplit(value or "")
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme and "://" in (value or "") else None


def dsn_faults(value: str | None) -> list[str]:
    """What is wrong with a Sentry DSN, ``scheme://public_key@host/path/project_id`` (develop.sentry.dev, DSN)."""
    parts = _split(value)
    if parts is None:
        return ["is not set" if not value else "is no URL"]
    faults = []
    if parts.scheme not in {"http", "https"}:
        faults.append(f"its scheme is '{parts.scheme}', not https")
    if not re.fullmatch(r"[0-9A-Za-z]+", parts.username or ""):
        faults.append("it has no public key")
    if not parts.hostname:
        faults.append("it names no host")
    if not parts.path.rpartition("/")[2].isdecimal():
        faults.append("it ends with no project id")
    return faults + (["it is a placeholder"] if is_placeholder(value or "") else [])


def _finding(env: Environment, name: str, faults: Sequence[str], expected: str) -> Finding:
    value = read(env.dotenv.file).get(name)
    return Finding(
        ok=not faults,
        observed=f"{name}: {shown(env, name, value)}" + (f"; {'; '.join(faults)}" if faults else ""),
        expected=expected,
        remedy=f"correct {name} in {env.dotenv.file.name}, or dotenv.values in {env.name}.toml, and run the item again",
    )


@check("{name} has the value that the environment declares")
def equals(env: Environment, name: str) -> Finding:
    """The .env file holds exactly ``dotenv.values[name]``."""
    if name not in env.dotenv.values:
        raise Unanswerable(f"{env.name}.toml declares no value for {name}", remedy=f"add {name} to [dotenv.values]")
    expected = env.dotenv.values[name]
    differs = read(env.dotenv.file).get(name) != expected
    return _finding(
        env, name, ["differs from what is declared"] if differs else [], f"{name}: {shown(env, name, expected)}"
    )


@check("{name} is switched on")
def is_on(env: Environment, name: str) -> Finding:
    """One of the usual spellings of true."""
    value = read(env.dotenv.file).get(name, "").strip().lower()
    return _finding(env, name, [] if value in ON else ["not a spelling of true"], f"one of {', '.join(sorted(ON))}")


@check("{name} is switched off")
def is_off(env: Environment, name: str) -> Finding:
    """One of the usual spellings of false; every spelling of true fails, and so does what is neither."""
    value = read(env.dotenv.file).get(name, "").strip().lower()
    return _finding(env, name, [] if value in OFF else ["not a spelling of false"], f"one of {', '.join(sorted(OFF))}")


@check("{name} is a strong secret")
def strong_secret(env: Environment, name: str) -> Finding:
    """Long enough, of high entropy by :func:`entropy`, neither a placeholder nor a known default."""
    return _strength(env, (name,))


@check("The environment's secrets are strong")
def strong_secrets(env: Environment) -> Finding:
    """Each name in ``dotenv.secrets``, judged as by :func:`strong_secret`."""
    return _strength(env, tuple(env.dotenv.secrets))


def _strength(env: Environment, names: Sequence[str]) -> Finding:
    values = read(env.dotenv.file)
    # What is not declared as a secret to generate is held to the checklist's own 32 bytes.
    sizes = {name: env.dotenv.secrets.get(name, 32) for name in names}
    weak = {name: why for name, size in sizes.items() if (why := weakness(values.get(name), size))}
    rows = tuple(
        (name, shown(env, name, values.get(name)), round(entropy(values.get(name, ""))) if values.get(name) else 0,
         round(BITS_PER_BYTE * size), weak.get(name, "strong"))
        for name, size in sizes.items()
    )  # fmt: skip
    return Finding(
        ok=not weak,
        observed=[f"{name} {why}" for name, why in weak.items()] or "all strong",
        expected="; ".join(
            f"{name}: at least {size} characters and {BITS_PER_BYTE * size:.0f} bits, no placeholder"
            for name, size in sizes.items()
        ),
        remedy="run item 1.1, which generates what is missing or weak",
        tables=(Table(("name", "value", "entropy in bits", "at least", "verdict"), rows),),
    )


@check("No two secrets are equal")
def secrets_differ(env: Environment) -> Finding:
    """The values of ``dotenv.secrets`` differ from each other."""
    values = read(env.dotenv.file)
    present = {name: values[name] for name in env.dotenv.secrets if values.get(name)}
    equal = sorted(name for name, value in present.items() if list(present.values()).count(value) > 1)
    missing = sorted(set(env.dotenv.secrets) - set(present))
    return Finding(
        ok=not equal and not missing,
        observed={"equal": equal, "missing": missing, "compared": sorted(present)},
        expected="every declared secret is set, and none equals another",
        remedy="blank one of them in the .env file and run item 1.1, which generates it",
    )


@check("The .env file is its owner's alone")
def private(env: Environment) -> Finding:
    """Its mode gives nothing to group and others."""
    try:
        mode = env.dotenv.file.stat().st_mode & 0o777
    except FileNotFoundError:
        return Finding(False, f"{env.dotenv.file.name} does not exist", "mode 0600", remedy="run item 1.1")
    return Finding(
        not mode & 0o077, f"mode {mode:04o}", "mode 0600, or less", remedy=f"chmod 600 {env.dotenv.file.name}"
    )


@check("DATABASE_URL is PostgreSQL with a password of its own")
def database_url(env: Environment, name: str = "DATABASE_URL") -> Finding:
    """PostgreSQL by its scheme, driver suffixes allowed, with a host and a password that is no default."""
    value = read(env.dotenv.file).get(name)
    faults = url_faults(value, ("postgresql",))
    parts = _split(value)
    if parts is not None and not faults and not parts.path.strip("/"):
        faults = ["it names no database"]
    return _finding(env, name, faults, "postgresql[+driver]://user:password@host/database, the password no default")


@check("REDIS_URL has a password")
def redis_url(env: Environment, name: str = "REDIS_URL") -> Finding:
    """Redis or Valkey by its scheme, with a host and a password that is no default."""
    faults = url_faults(read(env.dotenv.file).get(name), ("redis", "rediss", "valkey", "valkeys"))
    return _finding(env, name, faults, "redis[s]://[user]:password@host, or valkey[s]://…, the password no default")


@check("CORS_ORIGINS holds no wildcard")
def cors_without_wildcard(env: Environment, name: str = "CORS_ORIGINS") -> Finding:
    """5.4.1: no origin in the .env file stands for others, as ``*``, as a part of one, or as ``null``."""
    return _origins_finding(
        env,
        name,
        lambda origin: "stands for others" if "*" in origin or origin.strip().lower() == OPAQUE else "",
        expected="origins without *, and not null",
    )


@check("CORS_ORIGINS lists production's domains only")
def cors_origins(env: Environment, name: str = "CORS_ORIGINS") -> Finding:
    """Every origin is https, within the environment's domains, and written as browsers send it; not this machine."""
    return _origins_finding(
        env,
        name,
        lambda origin: origin_fault(origin, env.domains),
        expected=f"https origins, as browsers send them, within {', '.join(env.domains)}",
    )


def _origins_finding(env: Environment, name: str, fault: Callable[[str], str], expected: str) -> Finding:
    """The origins that the setting lists; `fault` says what is wrong with one, empty where nothing is."""
    try:
        listed = origins(read(env.dotenv.file).get(name, ""))
    except ValueError as error:
        return _finding(env, name, [f"is neither a JSON list nor one with commas: {error}"], "a list of origins")
    faults = [f"{origin} {found}" for origin in listed if (found := fault(origin))]
    return _finding(env, name, faults if listed else ["names no origin"], expected)


@check("SENTRY_DSN is a DSN")
def sentry_dsn(env: Environment, name: str = "SENTRY_DSN") -> Finding:
    """It has a scheme, a public key, a host and a project id."""
    faults = dsn_faults(read(env.dotenv.file).get(name))
    return _finding(env, name, faults, "https://<public key>@<host>/<project id>")
