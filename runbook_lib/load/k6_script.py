"""What load a k6 script makes, as k6 itself understands its options."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from runbook_lib import command
from runbook_lib.errors import Unanswerable
from runbook_lib.load.interface import Scripted
from runbook_lib.programs import program

BY_CLOCK: Final = frozenset({"constant-arrival-rate", "ramping-arrival-rate"})
"""The executors whose requests leave whether or not the earlier ones came back."""
UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
"""Of a duration as Go writes it, in seconds."""


def load(script: Path, variables: Mapping[str, str]) -> Scripted:
    """What a script's options say. Raises Unanswerable where k6 cannot read them."""
    words = (program("k6"), "inspect", "--execution-requirements", script)
    completed = command.run(words, cwd=script.parent, env=variables, timeout=60.0)
    try:
        # What the script itself prints comes before.
        options = json.loads(completed.output[completed.output.index("{\n") :])
        scenarios, longest = list(options["scenarios"].values()), seconds(options["totalDuration"])
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Unanswerable(
            f"k6 cannot read {script}: {completed.tail(2)}", remedy=f"make 'k6 inspect {script.name}' succeed"
        ) from error
    durations = [_duration(scenario) for scenario in scenarios]
    known = bool(durations) and all(durations)
    duration = max(durations) if known else longest
    stages = held(scenarios[0]) if len(scenarios) == 1 else ()
    return Scripted(
        duration,
        all(scenario["executor"] in BY_CLOCK for scenario in scenarios),
        stages or (((0.0, duration, 0.0),) if known else ()),
        sum(peak(scenario) for scenario in scenarios),
        min((first(scenario) for scenario in scenarios), default=0.0),
    )


def first(scenario: Mapping[str, Any]) -> float:
    """When a scenario begins its first iteration, in seconds after the test.

    A ramp by the clock does once the area below its rate has come to one iteration; one of users with the first user.
    """
    begin, executor = seconds(scenario.get("startTime")), scenario["executor"]
    stages = [(seconds(stage["duration"]), float(stage["target"])) for stage in scenario.get("stages") or []]
    if executor == "ramping-vus" and scenario.get("startVUs") == 0 and stages and stages[0][1]:
        return begin + stages[0][0] / stages[0][1]
    if executor != "ramping-arrival-rate":
        return begin
    unit = seconds(scenario.get("timeUnit")) or 1.0
    rate, due = (scenario.get("startRate") or 0) / unit, 1.0
    for length, target in stages:
        slope = (target / unit - rate) / length if length else 0.0
        area = rate * length + slope * length**2 / 2
        if area >= due:
            # rate · t + slope · t² / 2 = due, solved for t in the form that stands a slope of 0.
            return begin + 2 * due / (rate + math.sqrt(rate**2 + 2 * slope * due))
        begin, due, rate = begin + length, due - area, target / unit
    return begin


def peak(scenario: Mapping[str, Any]) -> float:
    """The most iterations a second that a scenario begins by the clock; 0 of one whose users wait for their answers."""
    if scenario["executor"] not in BY_CLOCK:
        return 0.0
    rates = [scenario.get("rate"), scenario.get("startRate"), *(s["target"] for s in scenario.get("stages") or [])]
    return max(rate or 0.0 for rate in rates) / (seconds(scenario.get("timeUnit")) or 1.0)


def seconds(text: str | None) -> float:
    """A duration as Go writes it, such as ``1m30s``, in seconds; 0 of none."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|us|µs|ns|h|m|s)", text or ""))


def _duration(scenario: Mapping[str, Any]) -> float:
    stages = scenario.get("stages") or []
    own = sum(seconds(stage["duration"]) for stage in stages) or seconds(scenario.get("duration"))
    return seconds(scenario.get("startTime")) + own if own else 0.0


def held(scenario: Mapping[str, Any]) -> tuple[tuple[float, float, float], ...]:
    """Where the load of a scenario in stages stands still; empty where it has none."""
    by_clock = scenario["executor"] in BY_CLOCK
    unit = seconds(scenario.get("timeUnit")) or 1.0
    before = scenario.get("startRate" if by_clock else "startVUs") or (0 if by_clock else 1)
    begin, found = seconds(scenario.get("startTime")), []
    for stage in scenario.get("stages") or []:
        end, target = begin + seconds(stage["duration"]), stage["target"]
        if target == before and end > begin and target:
            found.append((begin, end, target / unit if by_clock else 0.0))
        begin, before = end, target
    if not found and scenario["executor"] == "constant-arrival-rate":
        found.append((begin, begin + seconds(scenario["duration"]), scenario["rate"] / unit))
    return tuple(found)
