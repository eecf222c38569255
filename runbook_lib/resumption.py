"""Going on with a run that was broken off, where nothing that it depends on has changed since."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime

from runbook_lib import checklist, exclusive
from runbook_lib import environment as environments
from runbook_lib.actions import backup, deployment, deployment_record
from runbook_lib.checklist import ROLLBACK, Phase
from runbook_lib.checks import dumps
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, RecordError
from runbook_lib.home import home
from runbook_lib.record import archive, secret_files
from runbook_lib.record.archive import SETTINGS, Run
from runbook_lib.record.earlier import RESUMED
from runbook_lib.record.events import Event
from runbook_lib.record.masking import Mask
from runbook_lib.record.parameters import refuse_secrets
from runbook_lib.record.summary import RunSummary, has_acted, rehearsed, summarize
from runbook_lib.release import Release
from runbook_lib.runner import Options
from runbook_lib.step import Status

CHANGES_SHOWN = 10
WRITERS = ("secrets.generate", "settings.apply")
"""The actions that write the .env file themselves, by their steps' names; each leaves how it was then as a fact."""


def release_of(environment: str, name: str) -> str:
    """The tag that the run called `name` is for. Raises ConfigurationError where no such run can be gone on with."""
    return str(archive.find_open(name, environment).events.read()[0].data["release"])


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
    refuse_secrets(asdict(options), Mask().learn(env.secrets()))
    run = archive.find_open(name, env.name)
    hold = exclusive.alone(env, run.id)
    summary = summarize(run)
    _refuse_another(release, summary)
    if reasons := tuple(_reasons(env, summary)):
        listed = "\n".join(f"  {reason}" for reason in reasons)
        raise ConfigurationError(f"The run {run} cannot be resumed; start a new run, for since it ended:\n{listed}")
    phases = remaining(summary)
    if not phases:
        raise ConfigurationError(
            f"The run {run} has nothing left to do: every one of its gates passed. Close its record: runbook seal {run}"
        )
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
    """The phases of the run from the first on whose gate has not passed, or whose rollback point is too old by now."""
    # A gate that passed on actions that were only planned leaves all of them to be carried out.
    passed = {
        phase.phase.number for phase in summary.phases if phase.outcome == "passed" and not phase.counts[Status.PLANNED]
    } - {_with_an_old_point(summary)}
    meant = [checklist.phase(number) for number in summary.opened["parameters"]["phases"]]
    first = next((place for place, phase in enumerate(meant) if phase.number not in passed), len(meant))
    return tuple(meant[first:])


def _with_an_old_point(summary: RunSummary) -> int | None:
    """The phase that took the rollback point last, where that is too long ago for a deployment yet to begin."""
    events = summary.run.events.read()
    taken = [event for event in events if event.name == "step finished" and dumps.FACT in event.data["facts"]]
    if not taken or has_acted(events, deployment.PHASE):
        return None
    ago = datetime.now(UTC) - datetime.fromisoformat(taken[-1].time)
    return int(taken[-1].data["phase"]) if ago > backup.FRESH else None


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
    yield from _secrets(env, summary)
    now = archive.notebooks()
    yield from (f"{name} has changed" for name in sorted(sources) if name in now and now[name] != sources[name])
    yield from (f"{name} is gone" for name in sorted(set(sources) - set(now)))
    begun = ROLLBACK in [phase.phase.number for phase in summary.phases] and rehearsed(summary) is None
    if begun or deployment_record.is_rolled_back(summary.run):
        yield "its deployment was rolled back"
    last = max(event.time for event in summary.run.events.read() if event.name.startswith(("run opened", "step ")))
    yield from _others(env, summary.run, last)


def _secrets(env: Environment, summary: RunSummary) -> Iterator[str]:
    """The files of secrets that somebody else than the run has written since it looked at them."""
    known = summary.opened.get(secret_files.FACT)
    if known is None:
        yield "how its files of secrets were is not on record"
        return
    cut_off = False
    for event in summary.run.events.read():
        if event.data.get("name") in WRITERS:
            cut_off = event.data.get("status", Status.ERROR) == Status.ERROR
            known = known | event.data.get("facts", {}).get(secret_files.FACT, {})
    if cut_off:
        # What it had written by then nobody knows; it is looked at again when it is repeated.
        return
    for name, now in secret_files.states(env).items():
        if name not in known or known[name] != now:
            seen = f"was written at {now['written']}" if now else "is gone"
            yield f"{name}, which holds secrets, {seen}, and not by this run"


def _others(env: Environment, run: Run, time: str) -> Iterator[str]:
    """The other runs that have acted after `time`, or of which nobody can say."""
    for other in archive.runs(env.name):
        if other.id == run.id:
            continue
        try:
            if _acted_since(other.events.read(), time):
                yield f"the run {other.id} has acted"
        except RecordError:
            yield f"the record of the run {other.id} is damaged, and may hide that it acted: runbook verify {other}"


def _difference(env: Environment, run: Run) -> str:
    """The lines that the environment's TOML has lost and won since the run was opened, secrets masked."""
    kept = run.folder / SETTINGS
    if not kept.is_file():
        return "what it was is not on record"
    before = kept.read_text(encoding="utf-8").splitlines()
    mask = Mask(home().root).learn(env.secrets())
    now = mask.text(environments.find(env.name).read_text(encoding="utf-8")).splitlines()
    lines = [line for line in difflib.ndiff(before, now) if line.startswith(("- ", "+ "))]
    more = f" … and {len(lines) - CHANGES_SHOWN} lines more" if len(lines) > CHANGES_SHOWN else ""
    return "; ".join(lines[:CHANGES_SHOWN]) + more


def _acted_since(events: Iterable[Event], time: str) -> bool:
    """Whether an action was carried out, even half, after `time` (ISO 8601, UTC)."""
    phases = {phase.number for phase in checklist.phases()}
    later = [event for event in events if event.time > time]
    return any(has_acted(later, number) for number in phases)
