"""The commands that read the archive for people and for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(rich_markup_mode=None)
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or ENV/ID.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]


@app.command("list")
def list_runs(
    environment: Annotated[str, typer.Argument(metavar="[ENV]", help="Only this environment's.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the environments and their newest runs. Oldest first."""
    from dataclasses import asdict

    from runbook_lib import environment as environments
    from runbook_lib.errors import ConfigurationError
    from runbook_lib.review import listing
    from runbook_lib.terminal import visible

    found = listing.newest(environment, limit=limit)
    known = sorted({*environments.names(), *found.totals})
    if environment and environment not in known:
        raise ConfigurationError(f"There is no environment '{environment}'; there are: {', '.join(known) or 'none'}.")
    if as_json:
        print_json({"environments": known, "runs": [asdict(row) for row in found.rows]})
        return
    typer.echo(f"environments: {', '.join(known) or 'none'}")
    total = found.totals.get(environment, 0) if environment else sum(found.totals.values())
    if total > limit:
        typer.echo(f"{total - limit} earlier runs are not shown: --limit {total}")
    for row in found.rows:
        counts = ", ".join(f"{count} {status}" for status, count in row.counts.items())
        typer.echo(visible(f"{row.run}  {row.release}  {row.state}  {counts}"))


@app.command()
def show(run: RunName, as_json: AsJson = False) -> None:
    """Show what a run came to. Its phases, and every item that did not pass."""
    from runbook_lib.cli.console import new_console
    from runbook_lib.errors import RecordError
    from runbook_lib.record import archive, keys, seal
    from runbook_lib.record.archive import Way
    from runbook_lib.record.summary import summarize
    from runbook_lib.step import Status
    from runbook_lib.terminal import TerminalWatcher, run_table, visible

    found = archive.find(run)
    standing = seal.standing(found, keys.trust_of(found.environment))
    try:
        summary = seal.signed_off(summarize(found), standing)
    except RecordError as error:
        raise RecordError(f"{error}\nWhat does not hold, and what does: runbook verify {found}") from error
    state = seal.state(summary.outcome, standing.words) if summary.sealed else summary.outcome
    if as_json:
        phases = [
            {"phase": each.phase.number, "outcome": each.outcome, "reason": each.reason, "seconds": each.seconds}
            for each in summary.phases
        ]
        told = {"opened": summary.opened, "outcome": summary.outcome, "sealed": summary.sealed, "state": state}
        parts = {**told, "phases": phases}
        print_json({"run": str(found), **parts, "items": summary.items, "unfinished": summary.unfinished})
        return
    console = new_console()
    console.print(run_table(summary))
    watcher = TerminalWatcher(console, [status for status in Status if status is not Status.PASSED])
    for item in summary.items.values():
        if item["status"] != "passed":
            watcher.result(item)
    for unfinished in summary.unfinished:
        console.print(visible(f"  began and never ended: {unfinished}"), markup=False)
    opened = f"opened {summary.started} by {summary.opened.get('operator')}; {state}"
    console.print(visible(opened), markup=False, soft_wrap=True)
    if summary.sealed:
        console.print(f"Whether it holds: runbook verify {found}", soft_wrap=True)
    if summary.opened["way"] == Way.UNSUPERVISED:
        console.print("unsupervised: nobody watched the kernels of this run")


@app.command()
def diff(
    before: RunName,
    after: Annotated[str, typer.Argument(metavar="RUN", help="The run that it is compared with.")],
    as_json: AsJson = False,
) -> None:
    """Say what differs between two runs. Verdicts, what was seen and expected, load, settings, versions, cells.

    Times, run ids, ports and the like make no difference. Latencies under load are compared by the archived samples of
    both runs; where they differ no more than chance can make them, that is only remarked.

    Exit codes: 0 nothing differs; 1 something does.
    """
    from dataclasses import asdict

    from runbook_lib.record import archive
    from runbook_lib.review import difference
    from runbook_lib.terminal import visible

    found = difference.compare(archive.find(before), archive.find(after))
    if as_json:
        print_json(asdict(found))
    else:
        for change in (*found.changes, *found.remarks):
            typer.echo(visible(str(change)))
    raise typer.Exit(1 if found.changes else 0)


@app.command()
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Words that an item said, all of them.")],
    environment: Annotated[str, typer.Option("--env", metavar="ENV", help="Only this environment's runs.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many are shown at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Find what items said, over all runs. Those of the run that was changed last first.

    Looked through are an item's text, who vouched for it, and what its steps saw, in all its first 2,000 characters.

    Exit codes: 0 something was found; 1 nothing was.
    """
    from dataclasses import asdict

    from runbook_lib.review import lookup
    from runbook_lib.terminal import visible

    hits = lookup.search(text, environment, limit)
    if as_json:
        print_json([asdict(hit) for hit in hits])
    else:
        for hit in hits:
            typer.echo(
                visible(f"{hit.environment}/{hit.run}  {hit.item}  {hit.status}  {' '.join(hit.snippet.split())}")
            )
    if not hits:
        where = f"in the runs of {environment}" if environment else "in any run"
        typer.echo(f"Nothing found {where}. Try fewer or other words; `runbook list` names the runs.", err=True)
        raise typer.Exit(1)


@app.command()
def trend(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="The environment whose runs are looked through.")],
    as_json: AsJson = False,
) -> None:
    """Show how load tests, items and times change over the runs. Each test beside the median of those before it.

    Exit codes: 0 there are runs; 2 the environment has none.
    """
    from dataclasses import asdict

    from runbook_lib.errors import ConfigurationError
    from runbook_lib.review import trend as trends
    from runbook_lib.terminal import visible

    found = trends.of(environment)
    if not found.runs:
        raise ConfigurationError(f"No run of '{environment}' can be read; `runbook list` names those that exist.")
    if as_json:
        print_json(asdict(found))
        return
    for line in trends.lines(found):
        typer.echo(visible(line))


@app.command("index")
def write_index() -> None:
    """Write outputs/index.html, all runs on one page. It is written at a run's end too, and at the sealing."""
    from runbook_lib.errors import ConfigurationError
    from runbook_lib.review import runs_page

    try:
        typer.echo(runs_page.write())
    except OSError as error:
        raise ConfigurationError(f"{runs_page.NAME} cannot be written: {error.strerror}.") from error


@app.command()
def review(
    run: RunName,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Else review.html in the run's folder.")] = None,
) -> None:
    """Write a run's review, one HTML file. It is written at a run's end too, at the sealing and at each signature."""
    from runbook_lib.errors import ConfigurationError
    from runbook_lib.record import archive
    from runbook_lib.review import page

    try:
        typer.echo(page.write(archive.find(run), out))
    except OSError as error:
        raise ConfigurationError(f"{out or page.NAME} cannot be written: {error.strerror}.") from error


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))
