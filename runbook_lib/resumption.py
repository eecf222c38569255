"""Going on with a run that was broken off, where nothing that it depends on has changed since."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import asdict

from runbook_lib import checklist, exclusive
from runbook_lib import environment as environments
from runbook_lib.actions import deployment_record
from runbook_lib.checklist import ROLLBACK, Phase
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.home import home
from runbook_lib.record import archive
from runbook_lib.record.archive import SETTINGS, Run
from runbook_lib.record.earlier import RESUMED
from runbook_lib.record.events import Event
from runbook_lib.record.masking import Mask
from runbook_lib.record.summary import RunSummary, summarize
from runbook_lib.release import Release
from runbook_lib.runner import Options
from runbook_lib.step import Kind

CHANGES_SHOWN = 10


def release_of(environment: str, name: str) -> str:
    """The tag that the run called `name` is for. Raises ConfigurationError where there is no such run."""
    return str(archive.find(name, environment).events.read()[0].data["release"])


def resume(env: Environment, name: str, release: Release, options: Options) -> tuple[Run, tuple[Phase, ...]]:
    """Reopen a run: it goes on after the last phase whose gate passed.

    Parameters
    ----------
    name:
        The run's id.
    release:
        What is to be deployed now, which must be the commit that the run was opened for.

    Raises
    ------
    ConfigurationError
        The run has nothing left to do, or is sealed or rolled back; or the release, the environment or the notebooks
        have changed, or another run has acted since: what, is said. Nothing is recorded then.
    Occupied
        A run holds the environment, be it this one.
    """
    run = archive.find_open(name, env.name)
    hold = exclusive.alone(env, run.id)
    summary = summarize(run)
    _refuse_another(release, summary)
    if reasons := tuple(_reasons(env, summary)):
        listed = "\n".join(f"  {reason}" for reason in reasons)
        raise ConfigurationError(f"The run {run} cannot be resumed; start a new run, for since it ended:\n{listed}")
    phases = remaining(summary)
    if not phases:
        raise ConfigurationError(f"The run {run} has nothing left to do: every one of its gates passed.")
    for phase in summary.phases:
        if phase.outcome == "running":
            reason = "broken off: its runner and its kernel ended without a word"
            run.events.append("phase ended", phase=phase.phase.number, outcome="interrupted", reason=reason)
    run.events.append(
        RESUMED,
        phases=[phase.number for phase in phases],
        unknown=list(summary.unfinished),
        operator=archive.operator(),
        **asdict(options),
    )
    hold.record(run.events)
    return run, phases


def remaining(summary: RunSummary) -> tuple[Phase, ...]:
    """The phases of the run from the first on whose gate has not passed."""
    passed = {phase.phase.number for phase in summary.phases if phase.outcome == "passed"}
    meant = [checklist.phase(number) for number in summary.opened["parameters"]["phases"]]
    first = next((place for place, phase in enumerate(meant) if phase.number not in passed), len(meant))
    return tuple(meant[first:])


def _refuse_another(release: Release, summary: RunSummary) -> None:
    opened = summary.opened
    if release.commit != opened["commit"]:
        raise ConfigurationError(
            f"The run {summary.run} is for {opened['release']} (commit {opened['commit'][:12]}), and {release.tag} is "
            f"commit {release.commit[:12]} now. Start a new run."
        )


def _reasons(env: Environment, summary: RunSummary) -> Iterator[str]:
    """What has changed since the run ended, each as a sentence."""
    if "phases" not in summary.opened["parameters"]:
        yield "it was opened for a single notebook, which can be run again with its run_id"
    sources = dict(summary.opened["sources"])
    if sources.pop(SETTINGS, "") != hashlib.sha256(environments.find(env.name).read_bytes()).hexdigest():
        yield f"{env.name}.toml has changed: {_difference(env, summary.run)}"
    now = archive.notebooks()
    yield from (f"{name} has changed" for name in sorted(sources) if name in now and now[name] != sources[name])
    yield from (f"{name} is gone" for name in sorted(set(sources) - set(now)))
    if ROLLBACK in [phase.phase.number for phase in summary.phases] or deployment_record.is_rolled_back(summary.run):
        yield "its deployment was rolled back"
    last = summary.run.events.read()[-1].time
    yield from (
        f"the run {other.id} has acted" for other in archive.runs(env.name) if _acted_since(other, summary, last)
    )


def _difference(env: Environment, run: Run) -> str:
    """The lines that the environment's TOML has lost and won since the run was opened, secrets masked."""
    before = (run.folder / SETTINGS).read_text(encoding="utf-8").splitlines()
    mask = Mask(home().root).learn(env.secrets())
    now = mask.text(environments.find(env.name).read_text(encoding="utf-8")).splitlines()
    lines = [line for line in difflib.ndiff(before, now) if line.startswith(("- ", "+ "))]
    more = f" … and {len(lines) - CHANGES_SHOWN} lines more" if len(lines) > CHANGES_SHOWN else ""
    return "; ".join(lines[:CHANGES_SHOWN]) + more


def _acted_since(other: Run, summary: RunSummary, time: str) -> bool:
    """Whether another run has carried out an action after `time` (ISO 8601, UTC)."""
    return other.id != summary.run.id and any(_acts(event) and event.time > time for event in other.events.read())


def _acts(event: Event) -> bool:
    return event.name == "step finished" and event.data["kind"] == Kind.ACTION and event.data["status"] != "planned"
