"""The commands that read the archive for people and for other programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(rich_markup_mode=None)
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or ENV/ID.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]


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


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))
