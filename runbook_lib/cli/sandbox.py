"""The commands that start and stop a stack to try the runbook on."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from runbook_lib.cli.console import new_console, watching

if TYPE_CHECKING:
    from rich.console import Console

    from runbook_lib.sandbox.stack import Sandbox

app = typer.Typer(
    rich_markup_mode=None,
    help="Start and stop a stack to try it on. PostgreSQL, Valkey, a TLS edge and the demo application.",
)


class Hosted(StrEnum):
    """What runs the sandbox's services."""

    SUPERVISOR = "supervisor"
    COMPOSE = "compose"


HostedBy = Annotated[Hosted, typer.Option("--platform", help="What runs its services; each has a sandbox of its own.")]


@app.command()
def up(platform: HostedBy = Hosted.SUPERVISOR) -> None:
    """Create the sandbox where there is none, and start it."""
    from runbook_lib.step import reporting

    console, sandbox = new_console(), at_home(platform)
    with watching(console) as watcher, reporting(watcher.tell):
        sandbox.up()
    _print(console, sandbox)


@app.command()
def down(platform: HostedBy = Hosted.SUPERVISOR) -> None:
    """Stop the sandbox; what it holds is kept."""
    at_home(platform).down()
    typer.echo("The sandbox is stopped.")


@app.command()
def destroy(platform: HostedBy = Hosted.SUPERVISOR) -> None:
    """Stop the sandbox and remove all that it holds. Data, backups and images; the record of runs is kept."""
    at_home(platform).destroy()
    typer.echo("The sandbox is removed.")


@app.command()
def status(platform: HostedBy = Hosted.SUPERVISOR) -> None:
    """Say what of the sandbox runs."""
    _print(new_console(), at_home(platform))


def at_home(platform: Hosted = Hosted.SUPERVISOR) -> Sandbox:
    """The sandbox of this home that is hosted so."""
    from runbook_lib.home import home
    from runbook_lib.sandbox.stack import Sandbox

    if platform is Hosted.COMPOSE:
        from runbook_lib.sandbox.hosting.containers import Containers

        return Sandbox(home().containers, Containers())
    return Sandbox(home().sandbox)


def _print(console: Console, sandbox: Sandbox) -> None:
    for stack in sandbox.status():
        state = f"up at {stack.url}, release {stack.release}" if stack.running else "down"
        console.print(f"{stack.name}: {state}", soft_wrap=True)
        for service in stack.services:
            console.print(f"  {service.name:10} {service.state} {service.detail}", markup=False)
