"""Fifty runs killed at random instants, each brought to its end, as tests/test_crash.py does with three.

Run by hand, on a machine with half an hour to spare: ``python tests/benchmarks/crash.py``. Prints the seeds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "pytest", "-n0", "-q", "-s", str(Path(__file__).parents[1] / "test_crash.py")]


def main() -> int:
    """Run them; ends with pytest's own exit code."""
    return subprocess.run(COMMAND, env={**os.environ, "CRASHES": os.environ.get("CRASHES", "50")}).returncode


if __name__ == "__main__":
    sys.exit(main())
