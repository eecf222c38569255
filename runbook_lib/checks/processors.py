"""How much of the processors each service uses while something else happens, where the services run on this machine."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from runbook_lib import platforms
from runbook_lib.checks.watching import Watching
from runbook_lib.environment import Environment
from runbook_lib.errors import Unresolved

POLL_SECONDS: Final = 0.5
PID: Final = re.compile(r"\bpid (\d+)\b")
"""As supervisor describes a running process."""


@dataclass(frozen=True)
class Use:
    """Seconds since the first look, and at each of them how many processors each service used since the look before."""

    seconds: tuple[float, ...]
    cores: Mapping[str, tuple[float, ...]]


@dataclass
class Watch(Watching):
    """Looks at the services' processes; where they cannot be looked at there is no use to be seen."""

    _times: list[float] = field(default_factory=list)
    _used: dict[str, list[float]] = field(default_factory=dict)

    def _watch(self) -> None:
        roots = services(self.env)
        while roots:
            self._times.append(time.monotonic())
            for name, seconds in used(roots).items():
                self._used.setdefault(name, []).append(seconds)
            if self._ended.wait(POLL_SECONDS):
                return

    def seen(self) -> Use | None:
        """What was seen; None where nothing could be."""
        if len(self._times) < 2:
            return None
        steps = [later - earlier for earlier, later in pairwise(self._times)]
        # A process that ends takes its time along.
        cores = {
            name: tuple(max(0.0, b - a) / step for (a, b), step in zip(pairwise(times), steps, strict=False))
            for name, times in self._used.items()
        }
        return Use(tuple(moment - self._times[0] for moment in self._times[1:]), cores)


def services(env: Environment) -> dict[str, int]:
    """The process of each service that is known to run on this machine."""
    try:
        known = platforms.connect(env).services()
    except Unresolved:
        return {}
    found = {service.name: PID.search(service.detail) for service in known if service.up}
    return {name: int(pid[1]) for name, pid in found.items() if pid is not None and Path(f"/proc/{pid[1]}").exists()}


def used(roots: Mapping[str, int]) -> dict[str, float]:
    """Seconds of processor time that each process and its descendants have used so far."""
    parents: dict[int, int] = {}
    times: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name, in parentheses, may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        times[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    names = {pid: name for name, pid in roots.items()}
    total = dict.fromkeys(roots, 0.0)
    for pid, seconds in times.items():
        above = pid
        while above and above not in names:
            above = parents.get(above, 0)
        if above:
            total[names[above]] += seconds
    return total
