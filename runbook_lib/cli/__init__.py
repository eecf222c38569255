"""The ``runbook`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli import record, review, sandbox
from runbook_lib.cli.arguments import phase_numbers
from runbook_lib.cli.console import new_console, watching
from runbook_lib.errors import ConfigurationError, Occupied, RunbookError

if TYPE_CHECKING:
    from rich.console import Console

    from runbook_lib.environment import Environment
    from runbook_lib.record.archive import Run
    from runbook_lib.release import Release

INTERRUPTED = 130
"""What Typer makes of an interruption: 128 and the number of SIGINT."""
READING = ("diff", "index", "list", "plan", "review", "search", "show", "trend", "verify")
"""The commands that change nothing: they may be ended at any moment."""
app = typer.Typer(
    name="runbook",
    epilog="Exit codes: 0 all passed; 1 a gate failed; 2 usage or configuration, or another run holds the environment; "
    "3 waiting for a person; 4 interrupted, or the machinery broke.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
EnvironmentName = Annotated[str, typer.Argument(metavar="ENV", help="Name of an environment's TOML file.")]
ReleaseTag = Annotated[str, typer.Option("--release", help="Tag of the application; else the environment's own.")]
Confirm = Annotated[str, typer.Option(help="The environment's name: without it production is only planned.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Answer the checks, plan the actions.")]
From = Annotated[int | None, typer.Option("--from", metavar="PHASE", help="Begin with this phase.")]
RollbackOnFailure = Annotated[
    bool,
    typer.Option(
        "--rollback-on-failure",
        help="Where a gate fails after something was deployed, put back what ran before (notebook 90).",
    ),
]
Only = Annotated[str, typer.Option(metavar="PHASES", help="Run these phases alone, such as 9,11.")]


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"runbook-kit {version('runbook-kit')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Carry out a production deployment checklist as notebooks, and keep the executed notebooks as the proof."""


@app.command()
def run(
    environment: EnvironmentName,
    release: ReleaseTag = "",
    dry_run: DryRun = False,
    confirm: Confirm = "",
    first: From = None,
    only: Only = "",
    rollback_on_failure: RollbackOnFailure = False,
    resume: Annotated[
        str, typer.Option(metavar="RUN", help="Go on with a run, after the last phase whose gate passed.")
    ] = "",
    approvals: Annotated[
        list[Path] | None, typer.Option("--approval", metavar="FILE", help="Approved in advance; may be given again.")
    ] = None,
    notes: Annotated[str, typer.Option(help="Your own words for the deployment record.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what did not pass, and the table.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each phase and item as one line of JSON, and nothing else.")
    ] = False,
) -> None:
    """Run the phases against an environment. Notebook by notebook; stops where a gate does not pass."""
    from runbook_lib import resumption, runner
    from runbook_lib.record import approval, keys
    from runbook_lib.watchers import JsonWatcher, QuietWatcher

    if resume and (first is not None or only):
        raise ConfigurationError("Give --resume alone: it goes on where the run stopped.")
    if quiet and as_json:
        raise ConfigurationError("Give either --quiet or --json.")
    env, target = _load(environment, release or (resume and resumption.release_of(environment, resume)))
    options = runner.Options(dry_run=dry_run, confirm=confirm, notes=notes)
    trust = keys.trust(env.sign_off, f"{env.name}.toml")
    given = [approval.read(path, env.name, target, trust, record.mask_of(env)) for path in approvals or ()]
    if resume:
        opened, phases = resumption.resume(env, resume, target, options)
    else:
        phases = runner.select(first, phase_numbers("--only", only))
        opened = runner.open_run(env, target, phases, options)
    for each in given:
        approval.accept(opened, each)
    if as_json:
        lines = JsonWatcher(sys.stdout)
        code = runner.run(opened, target, phases, options, lines, rollback_on_failure=rollback_on_failure)
        lines.run_ended(opened, code)
        raise typer.Exit(code)
    console = new_console()
    with watching(console) as watcher:
        told = QuietWatcher(watcher) if quiet else watcher
        code = runner.run(opened, target, phases, options, told, rollback_on_failure=rollback_on_failure)
        _report(console, opened)
    raise typer.Exit(code)


@app.command()
def rollback(
    environment: EnvironmentName,
    run: Annotated[
        str, typer.Option("--run", metavar="RUN", help="Take back this run's deployment, within that run's record.")
    ] = "",
    dry_run: DryRun = False,
    confirm: Confirm = "",
) -> None:
    """Put back what ran before a deployment. The newest one; the database too, where its schema has changed.

    Executes notebook 90: traffic stops at the edge, the previous release starts, the database is restored from the
    verified rollback point if and only if its schema has changed (what was written since is kept in a dump), critical
    paths and error rate are proved, traffic is let in again, and a post-mortem is written.
    """
    from runbook_lib import checklist, runner
    from runbook_lib import environment as environments

    env = environments.load(environment)
    options = runner.Options(dry_run=dry_run, confirm=confirm)
    opened, target = runner.open_rollback(env, run, options)
    console = new_console()
    with watching(console) as watcher:
        code = runner.run(opened, target, (checklist.phase(checklist.ROLLBACK),), options, watcher)
        _report(console, opened)
    raise typer.Exit(code)


@app.command()
def plan(environment: EnvironmentName, release: ReleaseTag = "", first: From = None, only: Only = "") -> None:
    """Print every item and step. Nothing is touched.

    After them, what an environment's description asks for and cannot have as things are: files that are not there,
    secrets without a value, waivers that have run out, roles that nobody has.
    """
    from runbook_lib import environment as environments
    from runbook_lib import runner
    from runbook_lib.terminal import plan_lines, visible

    env, target = _load(environment, release)
    console = new_console()
    planned = runner.plan(env, target, runner.select(first, phase_numbers("--only", only)))
    for line in plan_lines(planned):
        console.print(line)
    unbuilt = [entry.item.id for entry in planned if all(step.name == "not_built" for step in entry.steps)]
    console.print(
        f"{len(planned)} items, {sum(len(entry.steps) for entry in planned)} steps; not built: {len(unbuilt)}"
    )
    for line in environments.remarks(env):
        console.print(f"to be mended: {visible(line)}", style="yellow", soft_wrap=True, markup=False)


@app.command("load")
def put_under_load(
    environment: EnvironmentName,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Requests per second to be sustained; else the objective.")
    ] = None,
    duration: Annotated[float, typer.Option(min=1.0, help="Seconds for which the rate is held.")] = 60.0,
    ramp: Annotated[float, typer.Option(min=0.0, help="Seconds in which it climbs before.")] = 3.0,
    confirm: Annotated[str, typer.Option(help="The environment's name: without it production is not touched.")] = "",
) -> None:
    """Put an environment under load. Ctrl-C ends it, and what was measured is kept.

    Two in a hundred requests more are sent than are asked for, so that one more or less does not decide.
    """
    from runbook_lib import environment as environments
    from runbook_lib import loading
    from runbook_lib.step import reporting

    env, console = environments.load(environment), new_console()
    with watching(console) as watcher, reporting(watcher.tell):
        kept = loading.run(env, rate=rate, duration=duration, ramp=ramp, confirm=confirm)
    console.print(f"{kept.outcome}: {kept.finding.observed}", soft_wrap=True, markup=False)
    for line in kept.lines():
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"Charts and samples are in {_relative(kept.folder)}", soft_wrap=True)
    raise typer.Exit(4 if kept.inconclusive else 0 if kept.finding.ok else 1)


app.add_typer(sandbox.app, name="sandbox", no_args_is_help=True)
app.add_typer(record.app)
app.add_typer(review.app)


@app.command("backup")
def take_backup(environment: EnvironmentName) -> None:
    """Take one backup of an environment's database. Then remove those beyond their retention."""
    from runbook_lib import environment as environments
    from runbook_lib.actions import backup, retention

    env = environments.load(environment)
    # Only once the new one is whole: old ones may be all there is.
    for step in (backup.daily(env), retention.apply(env)):
        finding = step.run()
        seen = finding.observed
        typer.echo(seen if isinstance(seen, str) else ", ".join(f"{name}: {value}" for name, value in seen.items()))
        if not finding.ok:
            typer.echo(f"Expected {finding.expected}; {finding.remedy}.", err=True)
            raise typer.Exit(1)


@app.command()
def init(name: Annotated[str, typer.Argument(metavar="NAME", help="The new environment's name.")]) -> None:
    """Write a new environment to be filled in. A commented TOML; nothing is overwritten."""
    from runbook_lib import environment as environments

    typer.echo(f"Wrote {_relative(environments.create(name))}. Fill it in, then: runbook plan {name}")


@app.command()
def lab(environment: EnvironmentName, release: ReleaseTag = "", dry_run: DryRun = False, confirm: Confirm = "") -> None:
    """Step through a run in JupyterLab. Opens a new run, and JupyterLab on that run's own copies."""
    from runbook_lib import checklist, runner
    from runbook_lib import lab as jupyterlab
    from runbook_lib.record.archive import Way

    env, target = _load(environment, release)
    phases = checklist.phases()
    options = runner.Options(dry_run=dry_run, confirm=confirm)
    opened = runner.open_run(env, target, phases, options, Way.LAB)
    first = runner.prepare_lab(opened, target, phases, options)
    typer.echo(
        f"Run {opened.environment}/{opened.id}: stepping through it fills {opened.folder}. Ctrl-C ends JupyterLab."
    )
    sys.stdout.flush()
    jupyterlab.start(opened, first)


@app.command()
def demo(
    release: ReleaseTag = "v1.0.0",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the sandbox up afterwards.")] = False,
    rollback_on_failure: RollbackOnFailure = False,
) -> None:
    """Show the kit at work on its sandbox. Starts the sandbox, runs every phase, stops the sandbox it started."""
    from runbook_lib import checklist, runner
    from runbook_lib.step import reporting

    console, stack = new_console(), sandbox.at_home()
    ours = not stack.running()
    with watching(console) as watcher:
        try:
            with reporting(watcher.tell):
                stack.up()
            env, target = _load("sandbox", release)
            phases, options = checklist.forward(), runner.Options()
            opened = runner.open_run(env, target, phases, options)
            code = runner.run(opened, target, phases, options, watcher, rollback_on_failure=rollback_on_failure)
            _report(console, opened)
        finally:
            if ours and not keep:
                watcher.tell("stopping the sandbox")
                stack.down()
    raise typer.Exit(code)


def _load(environment: str, release: str) -> tuple[Environment, Release]:
    from runbook_lib import environment as environments
    from runbook_lib import release as releases

    env = environments.load(environment)
    return env, releases.find(env, release)


def _report(console: Console, run: Run) -> None:
    """Print the table, what to know about rolling back, and where the record is."""
    from runbook_lib import runner
    from runbook_lib.record.summary import summarize
    from runbook_lib.terminal import run_table

    console.print(run_table(summarize(run)))
    if said := runner.advice(run):
        console.print(said, soft_wrap=True, markup=False)
    folder = _relative(run.folder)
    console.print(f"The executed notebooks are in {folder}", soft_wrap=True)
    console.print(f"Open them: jupyter lab {folder}", soft_wrap=True)


def _relative(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def main() -> None:
    """Run the command line; every error of ours is one sentence on standard error."""
    import errno
    import signal
    import traceback

    from runbook_lib.errors import GateFailed

    # nbformat brings jsonschema, which would compile grammars for a format that no notebook has: seconds at each start.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    # Being told to end is being interrupted: the record is closed and the sandbox stopped in both cases.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if sys.argv[1:2] and sys.argv[1] in READING:
        # Whoever reads the beginning alone has seen enough: that says nothing of what was asked.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except SystemExit as ended:
        sys.exit(_exit_code(ended))
    except GateFailed as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except (ConfigurationError, Occupied) as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
    except RunbookError as error:
        typer.echo(str(error), err=True)
        sys.exit(4)
    except OSError as error:
        typer.echo(f"{error.filename}: {error.strerror}." if error.filename else f"{error}.", err=True)
        if sys.argv[1:2] == ["run"] and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            typer.echo("What was written whole is kept. Make room, then go on: runbook run ENV --resume RUN", err=True)
        sys.exit(4)
    except KeyboardInterrupt:
        typer.echo("Interrupted.", err=True)
        sys.exit(4)
    except Exception as error:
        traceback.print_exc()
        typer.echo(f"\nThe kit itself broke ({type(error).__name__}): a fault to report with these lines.", err=True)
        sys.exit(4)


def _exit_code(ended: SystemExit) -> int | str | None:
    """What to end with: Typer turns an interruption into 130, and a pipe that nobody reads any more into 1."""
    import errno

    if ended.code == INTERRUPTED:
        typer.echo("Interrupted.", err=True)
        return 4
    context = ended.__context__
    return 4 if isinstance(context, OSError) and context.errno == errno.EPIPE else ended.code
