"""The line that says how a load test goes while it goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from runbook_lib.load import samples
from runbook_lib.load.interface import Profile
from runbook_lib.load.samples import RECORD
from runbook_lib.step import progress


class Line:
    """Reads what the generators have written since the last second.

    Parameters
    ----------
    files:
        Where the generators write; they need not exist yet.
    """

    def __init__(self, profile: Profile, files: Sequence[Path]) -> None:
        self._profile = profile
        self._read = dict.fromkeys(files, 0)
        self._told = time.time()

    def tell(self, begin: float) -> None:
        """Say it, at most once a second; `begin` is the Unix time of the test's zero."""
        now = time.time() - begin
        if now < 1.0 or time.time() - self._told < 1.0:
            return
        left = self._profile.load.duration - now
        seen = self.numbers()
        text = f"{seen['rate']:.0f}/s, p50 {seen['p50']:.1f} ms, p95 {seen['p95']:.1f} ms, errors {seen['errors']:.1%}"
        if not seen["rate"]:
            text = "no answer in the last second"
        progress(f"{text}; {left:.0f} s left" if left > 0 else "waiting for the last answers")

    def numbers(self) -> dict[str, float]:
        """What has ended since the last time: rate per second, percentiles in milliseconds, share of errors."""
        now = time.time()
        seconds, self._told = max(1e-3, now - self._told), now
        seen = samples.together(samples.read(self._rest(file)) for file in self._read)
        median, slow = seen.percentile(50, 95) if len(seen) else (0.0, 0.0)
        failed = float(seen.failed.mean()) if len(seen) else 0.0
        return {"rate": len(seen) / seconds, "p50": float(median), "p95": float(slow), "errors": failed}

    def _rest(self, file: Path) -> bytes:
        if not file.exists():
            return b""
        with file.open("rb") as opened:
            opened.seek(self._read[file])
            content = opened.read()
        whole = len(content) - len(content) % RECORD.size
        self._read[file] += whole
        return content[:whole]
