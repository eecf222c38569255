"""Verifying and sealing beside ``sha256sum`` on the same files.

Run by hand: ``python tests/benchmarks/record.py``. Asked: verifying hashes at 80 % or more of what sha256sum reads, and
sealing a run of 100 MB takes under 2 s beyond the hashing.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

MEGABYTES = 100
FILES = 25
SECRETS = 200


def prepare(home: Path) -> None:
    """A kit with an environment that knows SECRETS secrets."""
    environments = home / "notebooks" / "environments"
    environments.mkdir(parents=True)
    example = (Path(__file__).parents[2] / "notebooks/environments/staging.toml").read_text()
    (environments / "staging.toml").write_text(example.replace("../../../twiga-scan", "../../application"))
    application = home / "application"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(application)]
    subprocess.run(["git", "init", "-q", str(application)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    lines = [f"SECRET_{number}={os.urandom(24).hex()}" for number in range(SECRETS)]
    settings = home / "application-staging" / ".env"
    settings.parent.mkdir()
    settings.write_text("\n".join(lines))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure, and print seconds and ratios."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        prepare(home)
        os.environ["RUNBOOK_HOME"] = temporary
        measure()


def measure() -> None:
    """Fill, seal and verify runs, three times each; medians."""
    import runbook_lib
    from runbook_lib import environment, release, runner
    from runbook_lib.record import manifest, seal, verify
    from runbook_lib.record.keys import Trust
    from runbook_lib.record.masking import Mask
    from runbook_lib.step import Finding, check

    env = environment.load("staging")
    sound = check("Is sound")(lambda: Finding(True, "sound", "sound"))
    text = ("2026-01-01T00:00:00Z INFO request served in 12 ms by worker 3, status 200\n" * 60_000).encode()
    text = text[: MEGABYTES * 1_000_000 // FILES]
    sealing, verifying, hashing = [], [], []
    for _ in range(3):
        opened = runner.open_run(env, release.find(env, "v1"), runner.select(only=(3,)), runner.Options())
        phase = runbook_lib.begin(3, environment=env.name, release="v1", run_id=opened.id)
        for id in ("3.1", "3.2"):
            phase.item(id, sound())
        phase.gate()
        for number in range(FILES):
            opened.keep("3.1", f"{number}.log", text)
        mask = Mask().learn(env.secrets())
        assert mask.known >= SECRETS, f"{mask.known} secrets are known"
        hashing.append(seconds(lambda run=opened: manifest.digests(run)))
        sealing.append(seconds(lambda run=opened, mask=mask: seal.seal(run, mask)))
        trust = Trust({}, {}, 4, "nobody")
        verifying.append(seconds(lambda run=opened, trust=trust: verify.verify(run, trust)))
        files = [str(path) for path in manifest.files(opened)]
        theirs = seconds(lambda files=files: subprocess.run(["sha256sum", *files], stdout=subprocess.DEVNULL))
        time.sleep(1.0)  # a run's name is its second
    speed = MEGABYTES / median(verifying)
    print(
        f"verify {median(verifying):.3f} s ({speed:.0f} MB/s), sha256sum {theirs:.3f} s ({MEGABYTES / theirs:.0f} MB/s)"
    )
    print(f"verify reads at {theirs / median(verifying):.0%} of sha256sum's speed (asked: 80 %)")
    beyond = median(sealing) - median(hashing)
    print(
        f"seal {MEGABYTES} MB, {mask.known} secrets known: {median(sealing):.3f} s, of which {median(hashing):.3f} s "
        f"hashing: {beyond:.3f} s beyond it (asked: 2 s)"
    )
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
