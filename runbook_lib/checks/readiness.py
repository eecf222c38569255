"""Whether a service that was just started answers yet: a running process may still be loading."""

from __future__ import annotations

import time
from typing import Final

from runbook_lib.checks import http
from runbook_lib.environment import Environment
from runbook_lib.step import progress

POLL_SECONDS: Final = 0.1
GATEWAY_ERRORS: Final = (502, 504)
"""What an edge answers for a service behind it that does not."""


def wait_for_answer(env: Environment, seconds: float) -> float | None:
    """Wait until the first health endpoint answers, whatever it says.

    Returns
    -------
    float or None
        Seconds that it took; None where nobody answered for `seconds`.
    """
    started = time.monotonic()
    progress(f"{env.name}: waiting for an answer at {env.web.url}")
    with http.client(env) as via:
        while (waited := time.monotonic() - started) < seconds:
            answer = http.examine(env, env.web.health[0], via=via).answer
            if answer is not None and answer.status not in GATEWAY_ERRORS:
                return waited
            time.sleep(POLL_SECONDS)
    return None
