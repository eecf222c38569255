"""The commands that speak of a run's record: a person's word, the seal, signatures, and whether all of it holds."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbook_lib.cli.review import AsJson, print_json
from runbook_lib.errors import ConfigurationError
from runbook_lib.home import account

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from runbook_lib.environment import Environment
    from runbook_lib.record.archive import Run
    from runbook_lib.record.masking import Mask
    from runbook_lib.record.verify import Verification

PASSPHRASE = "RUNBOOK_KEY_PASSPHRASE"  # noqa: S105
"""The environment variable that opens an encrypted key where nobody can be asked."""

app = typer.Typer(rich_markup_mode=None)
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or ENV/ID.")]
ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="An item's id, such as 15.1.1.")]
Key = Annotated[Path, typer.Option(help="Your private key: Ed25519, PEM or OpenSSH.")]
Person = Annotated[str, typer.Option("--by", metavar="NAME", help="Whose word it is; else your account's name.")]
Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The last day, in UTC.")]
RoleName = Annotated[str, typer.Option(help="technical-lead, security, operations or product-owner.")]


@app.command()
def attest(
    run: RunName,
    item: ItemId,
    note: Annotated[str, typer.Option(help="What you vouch for, in your words.")],
    files: Annotated[list[Path] | None, typer.Option("--file", help="Kept as evidence; may be given again.")] = None,
    by: Person = "",
) -> None:
    """Vouch for an item that waits for a person. Recorded with who, when, note and files."""
    from runbook_lib.record import archive, attestation

    found = archive.find_open(run)
    person = by or account()
    attestation.attest(found, item, mask_of(_environment(found)), person=person, note=note, files=files or ())
    typer.echo(f"{item} of {found} is attested by {person}.")


@app.command()
def waive(
    run: RunName,
    item: ItemId,
    reason: Annotated[str, typer.Option(help="Why it may go on although the item did not pass.")],
    expires: Day,
    by: Person = "",
) -> None:
    """Tolerate an item that failed or is in error. Until a last day; what it was stays beside it."""
    from runbook_lib.record import archive, attestation

    found = archive.find_open(run)
    person, day = by or account(), expires.date()
    attestation.waive(found, item, mask_of(_environment(found)), person=person, reason=reason, expires=day)
    typer.echo(f"{item} of {found} is waived by {person} until {day}. To go on with the run: {_resume(found)}")


@app.command()
def approve(
    environment: Annotated[str, typer.Argument(metavar="ENV", help="Name of an environment's TOML file.")],
    key: Key,
    expires: Day,
    note: Annotated[str, typer.Option(help="What you approve, in your words.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The approval to be written.")],
    release: Annotated[str, typer.Option("--release", help="Tag of the application; else the environment's own.")] = "",
    phases: Annotated[str, typer.Option(help="The phases whose attestations it stands for.")] = "15",
    by: Person = "",
) -> None:
    """Approve in advance what a headless run would wait for. A signed file for: runbook run ENV --approval FILE."""
    from runbook_lib import environment as environments
    from runbook_lib import release as releases
    from runbook_lib.cli.arguments import phase_numbers
    from runbook_lib.record import approval, keys

    env = environments.load(environment)
    target = releases.find(env, release)
    role = approval.write(
        out,
        env.name,
        target,
        phase_numbers("--phases", phases),
        person=by or account(),
        note=note,
        expires=expires.date(),
        signer=_signer(key),
        trust=keys.trust_of(env.name),
        mask=mask_of(env),
    )
    typer.echo(f"{out}: {role} approves phases {phases} of {target} in {env.name} until {expires.date()}.")


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key is written.")],
    encrypted: Annotated[bool, typer.Option("--encrypted", help="Ask for a passphrase to encrypt it by.")] = False,
) -> None:
    """Make a key to sign with. Prints the public line that the environment's TOML has to trust."""
    from runbook_lib.record import keys

    passphrase = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True) if encrypted else ""
    line = keys.generate(file, passphrase)
    typer.echo(f"{file} is your private key: keep it. For [sign_off.keys] of the environment's TOML, at your role:")
    typer.echo(f'"{line}"')


@app.command()
def seal(run: RunName) -> None:
    """Close a run's record for good. Refused while anything but sign-off stands open."""
    from runbook_lib import exclusive
    from runbook_lib.record import archive
    from runbook_lib.record import seal as seals
    from runbook_lib.review import derived

    found = archive.find(run)
    env = _environment(found)
    with exclusive.alone(env, found.id):
        sealed = seals.seal(found, mask_of(env))
    derived.refresh(found)
    typer.echo(f"{found} is sealed; none of the {sealed.secrets} secret values that are known stands in it.")
    typer.echo(f"Keep this elsewhere, in a ticket or a tag: {sealed.digest}")
    typer.echo(f"Anyone may hold it against the record: runbook verify {found} --expect {sealed.digest}")


@app.command()
def sign(run: RunName, role: RoleName, key: Key) -> None:
    """Sign a sealed run for a role. Verified first; the key must be the one trusted for the role."""
    from runbook_lib.record import archive, keys
    from runbook_lib.record import seal as seals
    from runbook_lib.record.verify import verify as check
    from runbook_lib.review import derived

    found, signer = archive.find(run), _signer(key)
    trust = keys.trust_of(found.environment)
    if seals.is_sealed(found) and (faults := check(found, trust).faults):
        raise ConfigurationError("\n  ".join([f"The run {found} does not hold, and is not signed:", *faults]))
    signed = seals.sign(found, role, signer, trust)
    derived.refresh(found)
    missing = signed.missing(trust)
    more = f"{missing} more of {trust.threshold} have to sign" if missing else "the run is signed off"
    typer.echo(f"{found} is signed for {role}; {more}. Signed by: {', '.join(sorted(signed.by_role))}.")


@app.command()
def verify(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id, ENV/ID, or its folder.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every run of the archive, and the chain of each.")] = False,
    expect: Annotated[
        str, typer.Option(metavar="DIGEST", help="A digest that sealing printed: it must be there.")
    ] = "",
    trust: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML with [sign_off.keys]; else the environment's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether the record is what it was. From files and public keys alone; names whatever does not hold.

    What is made of the record is not looked at: junit.xml, and review.html, which `runbook review RUN` writes anew.

    Exit codes: 0 it holds, and is signed off where keys are declared; 1 something does not hold; 3 it is not sealed,
    or signatures are missing; 4 a run was interrupted.
    """
    from runbook_lib.home import home
    from runbook_lib.record import verify as verifying

    if bool(run) == every:
        raise ConfigurationError("Name a run to verify, or give --all; not both.")
    verifications = [_verified(each, trust) for each in verifying.find(run)]
    if not verifications:
        raise ConfigurationError(f"There is no run in {home().outputs}, so nothing was verified; see RUNBOOK_HOME.")
    wanted = expect.strip().lower().removeprefix("sha256:")
    if expect and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ConfigurationError(f"--expect takes the 64 digits that sealing printed; '{expect}' is something else.")
    faults = [*verifying.across(verifications), *verifying.expected(verifications, wanted)]
    if as_json:
        print_json({"runs": [_row(each) for each in verifications], "faults": faults})
    else:
        for each in verifications:
            _print(each)
        for fault in faults:
            typer.echo(f"✘ {visible(fault)}")
    raise typer.Exit(_code(verifications, faults))


def _verified(run: Run, trust: Path | None) -> Verification:
    """The run verified; one that is at work just now is not interrupted."""
    from dataclasses import replace

    from runbook_lib import exclusive
    from runbook_lib.record import keys
    from runbook_lib.record.verify import State
    from runbook_lib.record.verify import verify as check

    found = check(run, keys.trust_of(run.environment, trust))
    if found.state is State.INTERRUPTED and (holder := exclusive.at_work(run)) is not None:
        return replace(found, state=State.RUNNING, remarks=(f"at work: {holder}",))
    return found


def visible(text: str) -> str:
    """`text` on one line, control characters by their codes: a file's name may not steer the terminal."""
    from runbook_lib.terminal import visible as shown

    return shown(text).replace("\n", "\\n")


def _print(each: Verification) -> None:
    sign = "✔" if each.holds else "✘"
    roles = f", signed by {', '.join(sorted(each.signatures.by_role))}" if each.signatures.by_role else ""
    held = "holds" if each.holds else "does not hold"
    typer.echo(f"{sign} {visible(str(each.run))}: {each.state}{roles}; what is there {held}")
    for fault in each.faults:
        typer.echo(f"    ✘ {visible(fault)}")
    for remark in each.remarks:
        typer.echo(f"    {visible(remark)}")


def _row(each: Verification) -> dict[str, Any]:
    parts = {"state": each.state, "holds": each.holds, "digest": each.digest, "signed": each.signatures.by_role}
    return {"run": str(each.run), **parts, "faults": each.faults, "remarks": each.remarks}


def _code(verifications: list[Verification], faults: list[str]) -> int:
    from runbook_lib.record.verify import State

    if faults or not all(each.holds for each in verifications):
        return 1
    states = {each.state for each in verifications}
    if State.INTERRUPTED in states:
        return 4
    waiting = any(each.state is not State.SIGNED and not each.complete for each in verifications)
    return 3 if waiting else 0


def _resume(run: Run) -> str:
    return f"runbook run {run.environment} --resume {run.id}"


def _environment(run: Run) -> Environment:
    from runbook_lib import environment as environments

    return environments.load(run.environment)


def mask_of(env: Environment) -> Mask:
    """What masks all that the environment keeps secret."""
    from runbook_lib.home import home
    from runbook_lib.record.masking import Mask

    return Mask(home().root).learn(env.secrets())


def _signer(key: Path) -> CryptoSigner:
    """What signs with `key`; its passphrase is asked for where it needs one."""
    from runbook_lib.record import keys

    try:
        return keys.signer(key, os.environ.get(PASSPHRASE, ""))
    except keys.PassphraseNeeded:
        import sys

        if not sys.stdin.isatty() or PASSPHRASE in os.environ:
            raise
        return keys.signer(key, typer.prompt(f"Passphrase of {key}", hide_input=True))
