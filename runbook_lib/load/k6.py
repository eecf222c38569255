"""Load made by k6, the program that the checklist itself names: with the project's own script, or with one of ours."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from runbook_lib import command
from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.load import k6_points, k6_script
from runbook_lib.load.interface import BREAKER, Arrivals, Cost, Profile, Result, Scripted, Users
from runbook_lib.programs import program

NO_BREAKER: Final = "a script of the project's own: it stops by its own thresholds alone, by no circuit breaker"
LAST_SECONDS: Final = 1.0
"""Beyond its time limit, that k6 waits for the last request: else it would forget one that times out."""
SPARE_SECONDS: Final = 0.3
"""What a virtual user is busy with beside waiting for the answer, and what the scheduler may be late."""
THRESHOLDS_CROSSED: Final = 99
"""k6's exit code where a threshold did not hold."""

SCRIPT: Final = """\
import http from 'k6/http';
import exec from 'k6/execution';
import { Gauge } from 'k6/metrics';

const plan = JSON.parse(open('./plan.json'));
const began = new Gauge('began');
export const options = plan.options;

export default function () {
  const turn = exec.scenario.iterationInTest;
  if (turn === 0) began.add(exec.scenario.startTime);
  const index = plan.turns[turn % plan.turns.length];
  const request = plan.requests[index];
  http.request(request.method, request.url, request.body, {
    headers: request.headers,
    tags: { name: String(index) },
    timeout: plan.timeout,
    redirects: 0,
    responseCallback: http.expectedStatuses(...request.status),
  });
}
"""


@dataclass(frozen=True)
class K6:
    """The k6 engine.

    A latency counts from when k6 turned to the request: its ``http_req_blocked`` (a free connection, name, connect,
    TLS) plus ``http_req_duration``. Requests for which it had no virtual user left are dropped, and make the result
    inconclusive.

    Parameters
    ----------
    script:
        The project's own; its options decide what is sent, and the profile gives it ``BASE_URL``, ``RATE`` and
        ``DURATION``. Where it is None, ours sends the profile.
    stall_seconds:
        A stall of the target that is so long does not keep k6 from sending.
    """

    script: Path | None = None
    stall_seconds: float = 2.0

    def run(self, profile: Profile) -> Result:
        """Run the profile, or the script. Raises Unanswerable where k6 is missing, ends badly or reports nothing."""
        with tempfile.TemporaryDirectory(prefix="runbook-k6-") as name:
            folder = Path(name)
            (folder / "config.json").write_text("{}")
            if self.script is None:
                _refuse_expectations(profile)
                (folder / "script.js").write_text(SCRIPT)
                (folder / "plan.json").write_text(json.dumps(plan(profile, self.stall_seconds)))
                return self._measured(profile, folder, folder / "script.js")
            if not self.script.is_file():
                raise Unanswerable(f"{self.script} was not found", remedy="correct load.engine.script in the TOML")
            load = k6_script.load(self.script, _variables(profile))
            if load.peak > profile.ceiling:
                raise Unanswerable(
                    f"{self.script} sends up to {load.peak:g} iterations a second, and load.ceiling allows "
                    f"{profile.ceiling:g} with its margin; nothing was sent",
                    remedy="have the script send RATE, or raise load.ceiling",
                )
            return self._measured(replace(profile, load=load), folder, self.script)

    def _measured(self, profile: Profile, folder: Path, script: Path) -> Result:
        began, stopped, points = time.time(), "", folder / "points.csv"
        words: tuple[str | Path, ...] = (
            *(program("k6"), "run", "--config", folder / "config.json", "--address", "", "--no-usage-report"),
            *("--no-color", "--no-summary", "--out", f"csv={points}", script),
        )
        limit = profile.load.duration + profile.timeout + 60.0
        code, said = 0, ""
        try:
            completed = command.run(words, cwd=script.parent, env=_variables(profile), timeout=limit)
            code, said = completed.returncode, completed.tail(3)
        except KeyboardInterrupt:
            stopped = "interrupted"
        if code not in (0, THRESHOLDS_CROSSED):
            raise Unanswerable(
                f"k6 ended with exit code {code}: {said}",
                remedy="see whether the script is sound, and whether the machine has memory and files enough",
            )
        seen = k6_points.read(points, profile, own_script=self.script is not None)
        if code and self.script is None:
            stopped = f"{BREAKER}: more than {profile.breaker:.0%} of the requests failed"
        return Result(
            "k6",
            replace(profile, calls=seen.calls, load=_placed(profile.load, seen)),
            seen.samples,
            Cost(dropped=seen.dropped),
            stopped=stopped,
            notes=(*_notes(profile, seen), *((NO_BREAKER,) if self.script is not None else ())),
            missed=("a threshold of the script did not hold",) if code and self.script is not None else (),
            began=began,
        )


def _placed(load: Arrivals | Users | Scripted, seen: k6_points.Points) -> Arrivals | Users | Scripted:
    """The load as it was made: a script that makes so many iterations ends with them."""
    if not isinstance(load, Scripted) or load.held:
        return load
    end = float(seen.samples.rows["due"].max())
    return replace(load, duration=end, held=((0.0, end, 0.0),))


def _refuse_expectations(profile: Profile) -> None:
    """Our script for k6 looks at an answer's status alone: it must not pass for having looked into it."""
    if titles := [call.title for call in profile.calls if call.predicate is not None]:
        raise Unanswerable(
            f"k6 does not look into answers, and load.requests says what is expected of {', '.join(titles)}",
            remedy='have them sent by load.engine = "builtin", check them in a script of your own, or leave expect out',
        )


def _notes(profile: Profile, seen: k6_points.Points) -> tuple[str, ...]:
    found = [] if profile.open_loop else ["closed loop: a user who waits sends nothing, so its latencies hide stalls"]
    if seen.checks:
        found.append(f"k6's checks: {seen.checks - seen.checks_failed} of {seen.checks} passed")
    return tuple(found)


def plan(profile: Profile, stall_seconds: float) -> dict[str, Any]:
    """Everything that our script needs, so that no text is ever pasted into JavaScript."""
    from runbook_lib.load.schedule import turns

    return {
        "timeout": f"{profile.timeout:g}s",
        "turns": turns(profile.calls),
        "requests": [
            {
                "method": call.request.method,
                "url": str(call.request.url),
                "body": call.request.read().decode() or None,
                "headers": {
                    name: value
                    for name, value in call.request.headers.items()
                    if name not in ("host", "content-length")
                },
                "status": call.status,
            }
            for call in profile.calls
        ],
        "options": {
            "discardResponseBodies": True,
            "systemTags": ["status", "error", "error_code", "name", "expected_response"],
            "scenarios": {"load": scenario(profile, stall_seconds)},
            "thresholds": {
                "http_req_failed": [
                    {"threshold": f"rate<={profile.breaker}", "abortOnFail": True, "delayAbortEval": "5s"}
                ]
            },
        },
    }


def scenario(profile: Profile, stall_seconds: float) -> dict[str, Any]:
    """The profile's load as k6 says it.

    By Little's law ``rate × seconds`` users are busy when an answer takes `seconds`; there must be as many beforehand,
    for k6 makes new ones too slowly.
    """
    load, patience = profile.load, f"{profile.timeout + LAST_SECONDS:g}s"
    if isinstance(load, Scripted):
        raise ConfigurationError("k6 is given a script as load.engine.script, and not as a profile.")
    if isinstance(load, Users):
        return {
            "executor": "ramping-vus",
            "startVUs": 0 if load.ramp else load.count,
            "stages": _stages([(load.ramp, load.count), (load.duration - load.ramp, load.count)]),
            "gracefulStop": patience,
        }
    stages = [(stage.seconds, round(stage.rate * 60)) for stage in load.stages]
    first = stages[0][1] if not stages[0][0] else 0
    most = max(stage.rate for stage in load.stages)
    return {
        "executor": "ramping-arrival-rate",
        "startRate": first,
        "timeUnit": "1m",
        "preAllocatedVUs": max(2, math.ceil(most * (stall_seconds + SPARE_SECONDS))),
        "stages": _stages(stages[1:] if not stages[0][0] else stages),
        "gracefulStop": patience,
    }


def _stages(pairs: list[tuple[float, int]]) -> list[dict[str, Any]]:
    return [{"target": target, "duration": f"{round(seconds * 1000)}ms"} for seconds, target in pairs]


def _variables(profile: Profile) -> Mapping[str, str]:
    """k6 takes a certificate authority by Go's own variable only; what else a user may have set is overruled."""
    url = profile.calls[0].request.url
    settings = {
        "BASE_URL": str(url.copy_with(raw_path=b"/")).rstrip("/"),
        "DURATION": f"{profile.load.duration:g}s",
        "RATE": f"{max((stage.rate for stage in profile.load.stages), default=0):g}"
        if isinstance(profile.load, Arrivals)
        else "0",
        "K6_CSV_TIME_FORMAT": "unix_micro",
        "K6_NO_USAGE_REPORT": "true",
        "K6_AUTO_EXTENSION_RESOLUTION": "false",
        "K6_INSECURE_SKIP_TLS_VERIFY": "false",
        "NO_PROXY": "*",
    }
    if profile.certificate_authority is not None:
        settings["SSL_CERT_FILE"] = profile.certificate_authority
    return settings
