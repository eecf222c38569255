"""Load made by k6, the program that the checklist itself names."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook_lib import command
from runbook_lib.environment import Objectives
from runbook_lib.errors import Unanswerable
from runbook_lib.load.interface import Profile, Result
from runbook_lib.programs import program

if TYPE_CHECKING:
    import pandas as pd

SPARE_SECONDS: Final = 0.3
"""What a virtual user is busy with beside waiting for the answer, and what the scheduler may be late."""

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
  const index = turn % plan.requests.length;
  const request = plan.requests[index];
  http.request(request.method, request.url, request.body, {
    headers: request.headers,
    tags: { name: String(index) },
    timeout: plan.timeout,
    redirects: 0,
  });
}
"""


@dataclass(frozen=True)
class K6:
    """The k6 engine.

    It is open-loop: requests leave by the clock, whether or not the earlier ones came back. A sample's duration is what
    the client waited: k6's ``http_req_blocked`` (a free connection, name, connect, TLS) plus ``http_req_duration``.

    Parameters
    ----------
    timeout:
        Seconds after which a request counts as unanswered.
    """

    timeout: float = 10.0

    def run(self, profile: Profile, objectives: Objectives) -> Result:
        """Run the profile. Raises Unanswerable where k6 is missing, ends badly or reports nothing."""
        with tempfile.TemporaryDirectory(prefix="runbook-k6-") as name:
            folder = Path(name)
            (folder / "script.js").write_text(SCRIPT)
            (folder / "plan.json").write_text(json.dumps(self._plan(profile, objectives)))
            (folder / "config.json").write_text("{}")
            completed = command.run(
                [
                    *(program("k6"), "run", "--config", "config.json", "--address", "", "--no-usage-report"),
                    *("--no-color", "--no-summary", "--out", "csv=points.csv", "script.js"),
                ],
                cwd=folder,
                env=_variables(profile),
                timeout=profile.ramp + profile.duration + self.timeout + 60.0,
            )
            if not completed.ok:
                raise Unanswerable(
                    f"k6 ended with exit code {completed.returncode}: {completed.tail(3)}",
                    remedy="see whether the machine has memory and files enough for this rate",
                )
            samples, dropped = _read(folder / "points.csv", profile)
        return Result("k6", profile, samples, dropped)

    def _plan(self, profile: Profile, objectives: Objectives) -> dict[str, Any]:
        """Everything that the script needs, so that no text is ever pasted into JavaScript."""
        return {
            "timeout": f"{self.timeout:g}s",
            "requests": [
                {
                    "method": request.method,
                    "url": profile.base_url.rstrip("/") + request.path,
                    "body": None if request.json_body is None else json.dumps(request.json_body),
                    "headers": {
                        **({} if request.json_body is None else {"Content-Type": "application/json"}),
                        **dict(profile.headers),
                    },
                }
                for request in profile.requests
            ],
            "options": {
                "discardResponseBodies": True,
                "systemTags": ["status", "error", "name"],
                "scenarios": {"load": self._scenario(profile, objectives)},
            },
        }

    def _scenario(self, profile: Profile, objectives: Objectives) -> dict[str, Any]:
        """An arrival rate that climbs for the ramp and is then held.

        By Little's law ``rate × seconds`` users are busy when an answer takes `seconds`; room is made for answers
        of twice the objective, so that only a target clearly outside it, or a starved k6, drops requests.
        """
        busy = 2 * objectives.p95_milliseconds / 1000.0 + SPARE_SECONDS
        per_minute = round(profile.rate * 60)
        return {
            "executor": "ramping-arrival-rate",
            "startRate": 0 if profile.ramp else per_minute,
            "timeUnit": "1m",
            "preAllocatedVUs": max(2, math.ceil(profile.rate * busy)),
            "stages": [
                *([{"target": per_minute, "duration": _milliseconds(profile.ramp)}] if profile.ramp else []),
                {"target": per_minute, "duration": _milliseconds(profile.duration)},
            ],
            "gracefulStop": f"{self.timeout:g}s",
        }


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _variables(profile: Profile) -> Mapping[str, str]:
    """k6 takes a certificate authority by Go's own variable only; what else a user may have set is overruled."""
    settings = {
        "K6_CSV_TIME_FORMAT": "unix_micro",
        "K6_NO_USAGE_REPORT": "true",
        "K6_AUTO_EXTENSION_RESOLUTION": "false",
        "K6_INSECURE_SKIP_TLS_VERIFY": "false",
        "NO_PROXY": "*",
    }
    if profile.certificate_authority is not None:
        settings["SSL_CERT_FILE"] = profile.certificate_authority
    return settings


def _read(points: Path, profile: Profile) -> tuple[pd.DataFrame, int]:
    """Samples, and the number of dropped requests, from k6's CSV output; times in it are ends, in microseconds."""
    import numpy as np
    import pandas as pd

    columns = ["metric_name", "timestamp", "metric_value", "error", "name", "status"]
    rows = pd.read_csv(points, usecols=columns, keep_default_na=False, low_memory=False)
    by_metric = dict(tuple(rows.groupby("metric_name", sort=False)))
    if "began" not in by_metric or "http_req_duration" not in by_metric:
        raise Unanswerable("k6 sent no request", remedy="see whether the rate and the duration are above zero")
    took, blocked = by_metric["http_req_duration"], by_metric["http_req_blocked"]
    # k6 writes one line per metric and request, always in the same order, so that the two go side by side.
    seconds = (took["metric_value"].to_numpy(float) + blocked["metric_value"].to_numpy(float)) / 1000.0
    began = float(by_metric["began"]["metric_value"].iloc[0]) / 1000.0
    status = pd.to_numeric(took["status"], errors="coerce").fillna(0).to_numpy(int)
    samples = pd.DataFrame(
        {
            "start": took["timestamp"].to_numpy(float) / 1e6 - seconds - began,
            "seconds": seconds,
            "status": status,
            "error": np.where(status == 0, took["error"].where(took["error"] != "", "no answer"), ""),
            "request": [profile.requests[int(index)].title for index in took["name"]],
        }
    ).sort_values("start", ignore_index=True)
    dropped = by_metric.get("dropped_iterations")
    return samples, 0 if dropped is None else int(dropped["metric_value"].sum())
