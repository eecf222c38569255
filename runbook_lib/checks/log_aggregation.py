"""Where the services' logs go: shipped, accessible, kept long enough."""

from __future__ import annotations

import fnmatch
import math
import secrets
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from runbook_lib import platforms
from runbook_lib.checks import http, monitors, uptime
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.platforms import LogKeeping, Platform, log_lines
from runbook_lib.step import Finding, Table, check

PERIOD_DAYS: Final = {"hourly": 1 / 24, "daily": 1.0, "weekly": 7.0, "monthly": 28.0, "yearly": 365.0}
"""Of logrotate's directives; a month by its shortest."""
SCRIPTS: Final = ("prerotate", "postrotate", "firstaction", "lastaction", "preremove")
"""Logrotate's directives that begin a script, which ends with ``endscript``."""
ENDLESS: Final = ("file", "json-file")
"""Drivers whose files grow for ever where no size is set."""
SECONDS_A_DAY: Final = 86_400.0
HEAD_LINES: Final = 200
"""Lines of the oldest file that are looked through for a time."""


@check("Logs are shipped as declared")
def shipped(env: Environment) -> Finding:
    """10.3.1: each service has the declared log driver; the declared shipper runs on this machine.

    Raises
    ------
    NotApplicable
        Neither ``monitoring.logs.driver`` nor ``monitoring.logs.shipper`` is declared.
    """
    driver, shipper = env.monitoring.logs.driver, env.monitoring.logs.shipper
    if driver is None and shipper is None:
        raise NotApplicable("neither monitoring.logs.driver nor monitoring.logs.shipper is declared")
    observed: dict[str, object] = {}
    expected: dict[str, object] = {}
    if driver is not None:
        platform = platforms.connect(env)
        services = env.platform.services
        observed["drivers"] = {service: platform.log_keeping(service).driver for service in services}
        expected["drivers"] = dict.fromkeys(services, driver)
    if shipper is not None:
        running = shipper in _running_programs()
        observed["shipper"] = f"{shipper} {'runs' if running else 'does not run'} on this machine"
        expected["shipper"] = f"{shipper} runs on this machine"
    return Finding(
        ok=observed == expected,
        observed=observed,
        expected=expected,
        remedy="configure the log driver of the services that differ; start the shipper, and see its own log",
    )


def _running_programs() -> frozenset[str]:
    """The names of the programs that run on this machine. Raises Unanswerable where it does not tell."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            found |= {Path(word.decode(errors="replace")).name for word in words[:1] if word}
            found.add((folder / "comm").read_text(errors="replace").strip())
        except OSError:
            continue  # it has ended meanwhile
    if not found:
        raise Unanswerable("this machine does not tell what runs on it", remedy="look for the shipper by hand")
    return frozenset(found)


@check("A request is found in the logs")
def accessible(env: Environment) -> Finding:
    """10.3.2: one request with a unique marker, in its query and in its header, is found within ``arrival_seconds``.

    Looked for in the log of each service, and in the shipped logs where ``monitoring.logs.search_url`` is declared.
    The services of ``monitoring.logs.request_services`` must show it; any one is enough where none are declared.

    Raises
    ------
    Unanswerable
        The request was not answered; or the search cannot be asked, or finds what was never sent.
    """
    marker = f"marker-{secrets.token_hex(8)}"
    _require_search_without_echo(env)
    _send(env, marker)
    platform, places = platforms.connect(env), env.platform.services
    wanted = env.monitoring.logs.request_services
    if unknown := set(wanted) - set(places):
        raise Unanswerable(
            f"monitoring.logs.request_services names {', '.join(sorted(unknown))}, which platform.services does not",
            remedy="correct one of the two",
        )

    shown: dict[str, str] = {}

    def look() -> bool | None:
        seen = {service: marker in platform.logs(service) for service in places}
        complete = all(seen[service] for service in wanted) if wanted else any(seen.values())
        if env.monitoring.logs.search_url is not None:
            seen["shipped logs"] = _searched(env, marker)
            complete = complete and seen["shipped logs"]
        shown.update({where: "found" if found else "not found" for where, found in seen.items()})
        return True if complete else None

    limit = env.monitoring.arrival_seconds
    found, seconds = monitors.wait_for(look, limit, f"looking for {marker} in the logs")
    return Finding(
        ok=found is not None,
        observed=f"{marker} after {seconds:.1f} s: {', '.join(f'{name}: {what}' for name, what in shown.items())}",
        expected=f"found within {limit:g} s in the log of "
        + (", ".join(wanted) if wanted else "at least one service")
        + (", and in the shipped logs" if env.monitoring.logs.search_url else ""),
        remedy="let the service log each request with its query or its header X-Runbook; see where its output goes",
        tables=(Table(("where", "marker"), tuple(shown.items())),),
    )


def _send(env: Environment, marker: str) -> None:
    """One request that carries `marker`; whatever the answer, it must be one."""
    import httpx

    with http.client(env) as via:
        try:
            via.get(
                env.web.address(env.web.health[0].path if env.web.health else "/"),
                params={"runbook": marker},
                headers={http.HEADER: f"{http.MARK} {marker}"},
            )
        except httpx.HTTPError as error:
            raise Unanswerable(
                f"the request to be found in the logs was not answered: {error or type(error).__name__}",
                remedy="see 8.3 first: the service must answer",
            ) from error


def _searched(env: Environment, marker: str) -> bool:
    """Whether the search of the shipped logs finds `marker`; true where there is none to ask."""
    address = env.monitoring.logs.search_url
    if address is None:
        return True
    answer = monitors.get(
        env,
        address.replace("{marker}", marker),
        who="the log search",
        setting="monitoring.logs.search_url",
        token=env.monitoring.logs.search_token,
    )
    return marker in answer.text


def _require_search_without_echo(env: Environment) -> None:
    """A search that repeats what it is asked would find everything."""
    if env.monitoring.logs.search_url is not None and _searched(env, f"never-sent-{secrets.token_hex(8)}"):
        raise Unanswerable(
            "the log search finds a marker that was never sent: its answer repeats the question",
            remedy="let monitoring.logs.search_url be one whose answer holds the lines found, and not the query",
        )


@check("Logs are kept as long as declared")
def retained(env: Environment) -> Finding:
    """10.3.3: each service's log is rotated, and what is declared of days and bytes is kept at least.

    Rotation by size promises bytes and no number of days, for nobody knows how much will be written: where
    ``retention_days`` is declared, it is proved by rotation in time (``rotation_file``) or by what the shipped logs'
    keeper says (``retention_probe``).

    Raises
    ------
    Unanswerable
        The platform, the file or the keeper does not tell.
    """
    platform = platforms.connect(env)
    rotations = _rotations(env)
    refusal = _refusal_of_the_keeper(env)
    by_keeper = env.monitoring.logs.retention_probe is not None and not refusal
    judged = [_judge(env, platform, service, rotations, by_keeper) for service in env.platform.services]
    problems = [*refusal, *(problem for one in judged for problem in one.problems)]
    declared = env.monitoring.logs
    wanted = ["rotated"]
    wanted += [f"at least {declared.retention_days:g} days kept"] if declared.retention_days is not None else []
    wanted += [f"at least {declared.retention_bytes} bytes kept"] if declared.retention_bytes is not None else []
    return Finding(
        ok=bool(judged) and not problems,
        observed=problems or {one.service: one.kept for one in judged},
        expected=f"each service's log: {', '.join(wanted)}",
        remedy="set the rotation (supervisor: stdout_logfile_maxbytes and stdout_logfile_backups; Compose: "
        "logging.options max-size and max-file; or logrotate); where "
        "days must be promised, rotate by time or ship the logs; where bytes will do, declare retention_bytes",
        tables=(
            Table(
                ("service", "kept", "written so far in bytes", "days until that is full at the present rate"),
                tuple((one.service, one.kept, one.written, one.lasts) for one in judged),
            ),
        ),
    )


@dataclass(frozen=True)
class _Judged:
    """One service's log: how it is kept, what is wrong with that, how much was written, how long that would last."""

    service: str
    kept: str
    problems: tuple[str, ...]
    written: int
    lasts: str


def _judge(
    env: Environment, platform: Platform, service: str, rotations: Sequence[Rotation], by_keeper: bool
) -> _Judged:
    declared, keeping, files = env.monitoring.logs, platform.log_keeping(service), platform.log_files(service)
    in_time = next((one for one in rotations if files and one.covers(files[-1])), None)
    size = keeping.kept_bytes
    kept, problems = [], []
    if size is not None:
        kept.append(f"at least {size} bytes ({keeping.files} files of {keeping.file_bytes} bytes)")
    if in_time is not None:
        kept.append(f"{in_time.days:g} days by logrotate" if in_time.days is not None else "by size, by logrotate")
    if by_keeper:
        kept.append("as long as declared, by the shipped logs' keeper")
    if keeping.driver == "journald":
        kept.append("as long as journald.conf says")
    if not kept:
        # Syslog and the platforms' own drivers are rotated by whoever takes the lines.
        endless = keeping.driver in ENDLESS
        why = "it grows until the disk is full" if endless else f"and its driver '{keeping.driver}' tells of none"
        problems.append(f"{service}: no rotation is set, {why}")
    if size == 0:
        problems.append(f"{service}: each rotation removes the whole log, no rotated file is kept")
    if declared.retention_days is not None and not by_keeper:
        problems += _too_few_days(declared.retention_days, service, keeping, in_time)
    if declared.retention_bytes is not None and (size is None or size < declared.retention_bytes):
        problems.append(f"{service}: {size or 0} bytes are kept at least, fewer than {declared.retention_bytes}")
    written = sum(file.stat().st_size for file in files if file.is_file())
    return _Judged(service, "; ".join(kept) or "not rotated", tuple(problems), written, _lasts(size, written, files))


def _too_few_days(days: float, service: str, keeping: LogKeeping, in_time: Rotation | None) -> list[str]:
    """What stands against a promise of `days`."""
    if keeping.file_bytes is not None:
        return [f"{service}: rotation by size promises no number of days, {days:g} are declared"]
    if in_time is None:
        return [f"{service}: nothing promises the {days:g} days that are declared"]
    if in_time.days is None:
        return [f"{service}: logrotate rotates it by size, which promises no number of days, {days:g} are declared"]
    return [f"{service}: {in_time.days:g} days are kept, fewer than {days:g}"] if in_time.days < days else []


def _lasts(size: int | None, written: int, files: Sequence[Path]) -> str:
    """How many days of logs `size` bytes would hold at the rate since the oldest line; for the reader, no promise."""
    oldest = next((file for file in files if file.is_file() and file.stat().st_size), None)
    if size is None or oldest is None:
        return ""
    with oldest.open(encoding="utf-8", errors="replace") as file:
        began = next((moment for line in islice(file, HEAD_LINES) if (moment := log_lines.moment(line))), None)
    age = (datetime.now(UTC) - began).total_seconds() if began else 0.0
    return f"about {size / (written / age) / SECONDS_A_DAY:.1f}" if age > 0 else ""


def _refusal_of_the_keeper(env: Environment) -> list[str]:
    """What ``retention_probe`` says instead of what is expected; empty where it says that, or none is declared."""
    probe = env.monitoring.logs.retention_probe
    if probe is None:
        return []
    as_declared, seen = uptime.examine(env, probe)
    return [] if as_declared else [f"{probe.name}, which keeps the shipped logs, does not do so as declared: {seen}"]


@dataclass(frozen=True)
class Rotation:
    """One block of logrotate's configuration: its patterns, and how many days it keeps; None where size decides."""

    patterns: tuple[str, ...]
    days: float | None

    def covers(self, file: Path) -> bool:
        """Whether `file` is one of its."""
        return any(fnmatch.fnmatch(str(file), pattern) for pattern in self.patterns)


def _rotations(env: Environment) -> tuple[Rotation, ...]:
    file = env.monitoring.logs.rotation_file
    if file is None:
        return ()
    try:
        return parse_logrotate(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise Unanswerable(
            f"{file} could not be read: {error}", remedy="correct monitoring.logs.rotation_file, or the file"
        ) from error


def parse_logrotate(text: str) -> tuple[Rotation, ...]:
    """The blocks of a configuration of logrotate (its manual page, logrotate(8)); what it includes is not followed.

    Raises
    ------
    ValueError
        A quote or a brace is not closed.
    """
    everywhere: dict[str, str] = {}
    block: dict[str, str] | None = None
    patterns: list[str] = []
    found: list[Rotation] = []
    script = False
    for line in text.splitlines():
        # What stands in a script is the shell's, and may be quoted over several lines.
        first = line.split(maxsplit=1)[:1]
        if script or first in ([name] for name in SCRIPTS):
            script = first != ["endscript"]
            continue
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words == ["}"]:
            if block is None:
                raise ValueError("a } closes nothing")
            found.append(Rotation(tuple(patterns), _kept_days(everywhere | block)))
            block, patterns = None, []
        elif block is not None:
            _take(block, words)
        elif words[-1] == "{":
            patterns += words[:-1]
            block = {}
        elif words[0].startswith("/"):
            patterns += words  # the brace stands on a later line
        else:
            _take(everywhere, words)
    if block is not None:
        raise ValueError("a { is not closed")
    return tuple(found)


def _take(directives: dict[str, str], words: Sequence[str]) -> None:
    # Between a directive and its value logrotate takes blanks, an equals sign, or both.
    name, *values = [part for word in words for part in word.split("=") if part] or [""]
    if name in PERIOD_DAYS:
        directives["period"] = name
    else:
        directives[name] = values[0] if values else ""


def _kept_days(directives: dict[str, str]) -> float | None:
    """Days that are kept at least: rotated files times period, and no more than maxage; None where size decides."""
    if "size" in directives or "maxsize" in directives or "period" not in directives:
        return None
    limits = [_number(directives.get("rotate", "0"), otherwise=0.0) * PERIOD_DAYS[directives["period"]]]
    if "maxage" in directives:
        limits.append(_number(directives["maxage"], otherwise=0.0))
    return min(_endless(limits))


def _endless(limits: Iterable[float]) -> list[float]:
    """A negative count of rotated files means that none is ever removed."""
    return [math.inf if limit < 0 else limit for limit in limits]


def _number(text: str, *, otherwise: float) -> float:
    try:
        return float(int(text))
    except ValueError:
        return otherwise
