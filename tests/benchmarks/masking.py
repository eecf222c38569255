"""How fast secrets are masked and looked for, with 200 of them known.

Run by hand: ``python tests/benchmarks/masking.py``. Prints MB/s of a text at once, of one in pieces of 4 KiB, and of
the search in files, beside SHA-256 of the same files and beside one alternation of all forms in ``re``. Asked for: at
least 50 MB/s.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import string
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runbook_lib.record import forms
from runbook_lib.record.masking import Mask

MEGABYTE = 1_000_000
LINE = '2026-11-25T02:56:22Z GET /api/providers/ 200 0.0123 s {"status": "healthy", "count": 17}\n'
REPETITIONS = 3


def rate(size: int, work: Callable[[], object]) -> float:
    """Megabytes a second of the fastest of a few repetitions."""
    taken = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return size / MEGABYTE / min(taken)


def fed(mask: Mask, text: str) -> int:
    """Mask `text` as a stream; returns how long it has become."""
    stream = mask.stream()
    return sum(len(stream.feed(text[at : at + 4096])) for at in range(0, len(text), 4096)) + len(stream.end())


def main() -> None:
    """Measure, and print."""
    source = random.Random(1)
    signs = string.ascii_letters + string.digits + "+/=&<>\"'@!"
    secrets = {f"S{number}": "".join(source.choices(signs, k=source.randint(16, 48))) for number in range(200)}
    mask = Mask().learn(secrets)
    started = time.perf_counter()
    print(f"{len(mask.finder.patterns)} forms, automaton made in {time.perf_counter() - started:.2f} s")
    clean = LINE * (20 * MEGABYTE // len(LINE))
    sparse = "".join(LINE * 100 + secret + "\n" for secret in [*secrets.values()] * 11)
    dense = "".join(LINE + secret + "\n" for secret in [*secrets.values()] * 100)
    for name, text in (("without secrets", clean), ("one in 100 lines", sparse), ("one in each line", dense)):
        print(
            f"{name:17} text {rate(len(text), lambda t=text: mask.text(t)):6.0f} MB/s, "
            f"in pieces {rate(len(text), lambda t=text: fed(mask, t)):6.0f} MB/s"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for name, content in (
            ("log", clean.encode() * 5),
            ("Base64", base64.b64encode(source.randbytes(75 * MEGABYTE))),
        ):
            path.write_bytes(content)
            size = len(content)
            found = rate(size, lambda: mask.found_in(path))
            with path.open("rb") as file:
                digest = rate(size, lambda f=file: (f.seek(0), hashlib.file_digest(f, "sha256")))
            print(f"file of {size / MEGABYTE:.0f} MB, {name:6} found_in {found:6.0f} MB/s, SHA-256 {digest:6.0f} MB/s")
    every = sorted({form for secret in secrets.values() for form in forms.forms(secret)}, key=len, reverse=True)
    alternation = re.compile(b"|".join(map(re.escape, every)))
    sample = clean[: MEGABYTE // 10].encode()
    print(
        f"re, one alternation of {len(every)} forms: {rate(len(sample), lambda: alternation.sub(b'', sample)):.2f} MB/s"
    )
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
