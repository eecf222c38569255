"""Whatever is done to a sealed run is found, and a run that nobody touched holds."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import runbook_lib
from runbook_lib.environment import ROLES
from runbook_lib.record import keys, manifest, seal, verify
from runbook_lib.record.archive import Run
from runbook_lib.record.events import GENESIS, digest_of
from runbook_lib.record.verify import State

from .conftest import Kit, broken, sound


def faults(roles: Kit) -> list[str]:
    """What does not hold in the whole archive, or is not signed off although it was."""
    found = [verify.verify(run, roles.trust) for run in verify.find("")]
    unsigned = [f"{each.run} is {each.state}" for each in found if each.state is not State.SIGNED]
    return [*(fault for each in found for fault in each.faults), *verify.across(found), *unsigned]


@pytest.fixture
def archive_of_three(roles) -> tuple[Kit, list[Run]]:
    return roles, [roles.signed() for _ in range(3)]


def test_an_untouched_archive_verifies(archive_of_three):
    roles, runs = archive_of_three
    assert faults(roles) == []
    digests = [manifest.digest(run.folder / manifest.NAME) for run in runs]
    found = [verify.verify(run, roles.trust) for run in verify.find("")]
    assert [verify.expected(found, digest) for digest in digests] == [(), (), ()]


Mutation = tuple[str, Callable[[Path], None]]


def test_every_mutation_is_found(archive_of_three, tmp_path, capsys):
    roles, runs = archive_of_three
    kept = [run.id for run in runs]
    shutil.copytree(runs[0].folder.parent, tmp_path / "sound")
    missed, count = [], 0
    for run in runs[:2]:
        for name, mutate in [*mutations(run.folder), ("the run removed", shutil.rmtree)]:
            mutate(run.folder)
            if not faults(roles):
                missed.append(f"{run.id}: {name}")
            count += 1
            for each in run.folder.parent.glob("run-*"):
                if each.name not in kept or each == run.folder:
                    shutil.rmtree(each)
            shutil.copytree(tmp_path / "sound" / run.id, run.folder)
    with capsys.disabled():
        print(f"\n{count} mutations, {len(missed)} missed")
    assert not missed, missed
    assert count >= 500
    assert faults(roles) == []


def mutations(folder: Path) -> Iterator[Mutation]:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    for name in names:
        if name.endswith(".lock"):
            continue
        size = (folder / name).stat().st_size
        for place in sorted({*range(0, size, max(1, size // 18)), size - 1}):
            yield f"{name}: byte {place}", on_file(name, lambda old, place=place: flipped(old, place))
        for keep in sorted({0, size // 2, size - 1}):
            yield f"{name}: cut to {keep} bytes", on_file(name, lambda old, keep=keep: old[:keep])
        yield f"{name}: a line more", on_file(name, lambda old: old + b"{}\n")
        yield f"{name}: removed", lambda where, name=name: (where / name).unlink()
        yield f"{name}: renamed", lambda where, name=name: (where / name).rename(where / f"{name}.old")
        yield f"{name}: a link in its place", lambda where, name=name: linked(where / name)
    for name in ("new.txt", "evidence/3.1/new.log", "evidence/new/new.log", ".hidden", "18_more.ipynb"):
        yield f"{name}: added", lambda where, name=name: added(where / name)
    yield from event_mutations(folder)
    yield "the manifest hashed anew, the signatures kept", hash_anew
    yield "the manifest hashed anew, the signatures dropped", lambda where: hash_anew(where, sign=())
    yield "the folder renamed", lambda where: where.rename(where.with_name("run-999"))


def event_mutations(folder: Path) -> Iterator[Mutation]:
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    for place in range(len(lines)):
        yield f"event {place}: dropped", on_events(lambda old, at=place: old[:at] + old[at + 1 :])
        yield f"event {place}: twice", on_events(lambda old, at=place: old[: at + 1] + old[at:])
        yield f"event {place}: edited", on_events(lambda old, at=place: [*old[:at], edited(old[at]), *old[at + 1 :]])
        yield (
            f"event {place}: edited, and the chain made anew",
            on_events(lambda old, at=place: chained([*old[:at], edited(old[at]), *old[at + 1 :]])),
        )
        yield (
            f"event {place}: dropped, and the chain made anew",
            on_events(lambda old, at=place: chained(old[:at] + old[at + 1 :])),
        )
        yield (
            f"event {place}: edited, chain and manifest made anew",
            lambda where, at=place: (
                on_events(lambda old: chained([*old[:at], edited(old[at]), *old[at + 1 :]]))(where),
                hash_anew(where),
            ),
        )
        if place:
            yield (
                f"event {place}: before the one before it",
                on_events(lambda old, at=place: [*old[: at - 1], old[at], old[at - 1], *old[at + 1 :]]),
            )


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def on_file(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def mutate(folder: Path) -> None:
        path = folder / name
        content = change(path.read_bytes())
        path.chmod(0o644)
        path.write_bytes(content)

    return mutate


def on_events(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    return on_file("events.jsonl", lambda old: b"".join(change(old.splitlines(keepends=True))))


def edited(line: bytes) -> bytes:
    event = json.loads(line)
    event["time"] = "2020-01-01T00:00:00.000+00:00"
    return json.dumps(event, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def chained(lines: list[bytes]) -> list[bytes]:
    """The lines as a forger would write them: numbered, each with the digest of the one before it."""
    made, previous = [], GENESIS
    for number, line in enumerate(lines, start=1):
        event = json.loads(line) | {"number": number, "previous": previous}
        made.append(json.dumps(event, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        previous = digest_of(made[-1])
    return made


def linked(path: Path) -> None:
    copy = path.parent.parent.parent / f"{path.name}.outside"
    copy.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(copy)


def added(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new")


def hash_anew(folder: Path, sign: tuple | None = None) -> None:
    """What somebody can do who has the folder and no key: one file changed, manifest and envelope made to fit."""
    notebook = next(folder.glob("*.ipynb"))
    on_file(notebook.name, lambda old: old + b" ")(folder)
    statement = json.loads((folder / manifest.NAME).read_text())
    for subject in statement["subject"]:
        subject["digest"]["sha256"] = manifest.digest(folder / subject["name"])
    content = (json.dumps(statement, indent=1) + "\n").encode()
    on_file(manifest.NAME, lambda old: content)(folder)
    envelope = json.loads((folder / seal.ENVELOPE).read_text()) | {"payload": b64encode(content).decode()}
    if sign is not None:
        envelope["signatures"] = list(sign)
    write_envelope(folder, envelope)


def test_a_run_removed_from_the_middle_is_named_by_the_one_after_it(archive_of_three):
    roles, runs = archive_of_three
    shutil.rmtree(runs[1].folder)
    after = verify.verify(runs[2], roles.trust)
    assert after.faults == (f"the run {runs[1].id}, sealed before this one, is gone",)
    assert verify.across([verify.verify(run, roles.trust) for run in verify.find("")]) == (
        "mini: number 2 of the chain is gone",
    )


def test_a_removed_newest_run_is_noticed_by_its_digest_alone(archive_of_three):
    roles, runs = archive_of_three
    digest = manifest.digest(runs[2].folder / manifest.NAME)
    shutil.rmtree(runs[2].folder)
    found = [verify.verify(run, roles.trust) for run in verify.find("")]
    assert faults(roles) == []
    assert verify.expected(found, digest) == (
        f"no manifest has the SHA-256 {digest}: the run was removed, or its record is another",
    )


def test_a_run_that_failed_beside_a_sealed_one_cannot_vanish(roles):
    failed = roles.ran(steps={"3.2": broken()})
    witness = roles.signed()
    assert verify.verify(witness, roles.trust).holds
    first = failed.events.path.read_bytes().splitlines(keepends=True)
    failed.events.path.write_bytes(b"".join(chained([edited(first[0]), *first[1:]])))
    assert verify.verify(witness, roles.trust).faults == (
        f"the run {failed.id} is not what it was when this one was sealed",
    )
    shutil.rmtree(failed.folder)
    assert verify.verify(witness, roles.trust).faults == (
        f"the run {failed.id}, which was there when this one was sealed, is gone",
    )


def write_envelope(folder: Path, envelope: dict) -> None:
    """To the letter as the kit writes it, so that only what it says can give it away."""
    (folder / seal.ENVELOPE).write_text(json.dumps(envelope, indent=1) + "\n")


def envelope_of(run: Run) -> dict:
    return json.loads((run.folder / seal.ENVELOPE).read_text())


@pytest.mark.parametrize("role", ROLES)
def test_a_signature_under_the_wrong_roles_key_does_not_hold(roles, role):
    run = roles.signed()
    envelope = envelope_of(run)
    ids = {name: key for key, name in roles.trust.roles.items()}
    other = next(each for each in ROLES if each != role)
    signatures = {signature["keyid"]: signature for signature in envelope["signatures"]}
    signatures[ids[role]]["sig"] = signatures[ids[other]]["sig"]
    write_envelope(run.folder, envelope)
    found = verify.verify(run, roles.trust)
    assert f"the signature of {role} does not hold for this manifest" in found.faults


def test_a_strangers_signature_does_not_hold(roles, tmp_path):
    from runbook_lib.record import envelope as envelopes

    run = roles.signed()
    keys.generate(tmp_path / "stranger")
    envelope = envelopes.read(run.folder / seal.ENVELOPE)
    envelope.sign(keys.signer(tmp_path / "stranger"))
    envelopes.write(run.folder / seal.ENVELOPE, envelope, by=tmp_path)
    (fault,) = verify.verify(run, roles.trust).faults
    assert "does not trust for any role" in fault


def test_an_edited_payload_is_told_from_the_manifest(roles):
    run = roles.signed()
    envelope = envelope_of(run)
    envelope["payload"] = b64encode(b64decode(envelope["payload"]) + b" ").decode()
    write_envelope(run.folder, envelope)
    assert f"{seal.ENVELOPE} encloses another manifest than {manifest.NAME}" in verify.verify(run, roles.trust).faults


def test_what_changed_is_named(roles):
    run = roles.sealed()
    kept = run.folder / "evidence" / "3.1" / "seen.log"
    kept.rename(kept.with_name("renamed.log"))
    (run.folder / "03_database_setup.ipynb").chmod(0o644)
    (run.folder / "03_database_setup.ipynb").write_text("{}")
    (run.folder / "added.txt").write_text("x")
    assert verify.verify(run, roles.trust).faults == (
        "evidence/3.1/seen.log is missing; evidence/3.1/renamed.log has its content",
        "added.txt was added",
        "evidence/3.1/renamed.log was added",
        "03_database_setup.ipynb was changed",
    )


def test_states_on_the_way(roles):
    run = roles.open()
    assert verify.verify(run, roles.trust).state is State.INTERRUPTED
    assert "nothing says that the run was closed" in verify.verify(run, roles.trust).remarks
    closed = roles.ran(steps={"3.2": broken()})
    found = verify.verify(closed, roles.trust)
    assert (found.state, found.faults) == (State.OPEN, ())
    assert found.remarks == ("not sealed: 3.2 is failed: mend it and run its phase again, or waive it (runbook waive)",)
    sealed = roles.sealed()
    assert verify.verify(sealed, roles.trust).state is State.SEALED
    assert verify.verify(sealed, roles.trust).remarks == ("4 more of 4 roles have to sign it (runbook sign)",)


def test_a_run_that_was_closed_and_not_sealed_is_compared_with_its_manifest_too(roles):
    run = roles.ran()
    (run.folder / "03_database_setup.ipynb").write_text("{}")
    assert verify.verify(run, roles.trust).faults == ("03_database_setup.ipynb was changed",)


def test_a_sealing_cut_off_before_its_manifest_is_no_fault(roles):
    run = roles.ran()
    run.events.append("run sealed", operator="ada")
    found = verify.verify(run, roles.trust)
    assert (found.state, found.faults) == (State.INTERRUPTED, ())
    assert found.remarks == (f"the sealing was cut off; to bring it to its end: runbook seal {run}",)


def test_a_run_at_work_is_not_compared_with_the_manifest_of_its_last_phase(roles):
    run = roles.open()
    phase = runbook_lib.begin(3, environment="mini", release="v1", run_id=run.id)
    for item in phase.definition.items:
        phase.item(item.id, sound())
    phase.gate()
    manifest.write(run)
    (run.folder / "04_testing.ipynb").write_text("{}")
    assert verify.verify(run, roles.trust).faults == ()


def test_an_unsealed_run_that_was_cut_short_is_told(roles):
    run = roles.ran(steps={"3.2": broken()})
    on_events(lambda lines: lines[:-3])(run.folder)
    (fault,) = verify.verify(run, roles.trust).faults
    assert "and had" in fault


def in_the_predicate(**said):
    def change(folder: Path) -> None:
        statement = json.loads((folder / manifest.NAME).read_text())
        statement["predicate"] |= said
        content = (json.dumps(statement, indent=1, ensure_ascii=False) + "\n").encode()
        on_file(manifest.NAME, lambda old: content)(folder)
        envelope = json.loads((folder / seal.ENVELOPE).read_text())
        write_envelope(folder, envelope | {"payload": b64encode(content).decode()})

    return change


def test_the_manifests_overview_is_held_against_the_events(roles):
    run = roles.sealed()
    seen = manifest.read(run)["predicate"]["overview"]
    in_the_predicate(overview=seen | {"release": "another"})(run.folder)
    assert verify.verify(run, roles.trust).faults == (
        "what the manifest says of the run's overview is not what the events say",
    )


def test_a_manifest_without_an_overview_or_with_one_of_another_version_holds(roles):
    run = roles.sealed()
    for seen in (None, {"version": 0}):
        in_the_predicate(overview=seen)(run.folder)
        assert verify.verify(run, roles.trust).faults == ()


@pytest.mark.parametrize("name", ["commit", "operator", "outcome"])
def test_what_the_manifest_says_is_held_against_the_events(roles, name):
    run = roles.sealed()
    in_the_predicate(**{name: "another"})(run.folder)
    assert verify.verify(run, roles.trust).faults == (
        f"what the manifest says of the run's {name} is not what the events say",
    )


@pytest.mark.parametrize(
    "mutate",
    [
        on_file(manifest.NAME, lambda old: old.replace(b'"predicate": {', b'"predicate": [1], "x": {')),
        on_file(manifest.NAME, lambda old: b"[" * 100_000),
        on_events(lambda lines: chained([json.dumps(json.loads(lines[0]) | {"data": None}).encode()])),
        in_the_predicate(chain={"number": 2, "previous": "x" * 5000, "digest": "0", "witnessed": []}),
        lambda folder: write_envelope(folder, {"payload": "", "payloadType": "x", "signatures": [{"keyid": None}]}),
        lambda folder: (folder / "\udcff.txt").write_text("x"),
    ],
    ids=["no predicate", "deep", "no data", "long name", "no key id", "no name"],
)
def test_whatever_lies_there_is_a_fault_in_words(roles, mutate):
    run = roles.sealed()
    mutate(run.folder)
    assert verify.verify(run, roles.trust).faults


def test_an_approval_that_nobody_signed_is_told(roles):
    run = roles.ran()
    said = {"role": "security", "person": "Eve", "phases": [15], "note": "fine", "expires": "2099-01-01"}
    run.events.append("approval given", **said, file="evidence/approvals/x.json", sha256="0" * 64)
    manifest.write(run)
    seal.seal(run, roles.mask)
    assert "the approval of security is not the file that was accepted" in verify.verify(run, roles.trust).faults


def test_keys_that_were_exchanged_since_are_remarked(roles):
    run = roles.signed()
    assert verify.verify(run, roles.trust).remarks == ()
    roles.toml.write_text(roles.toml.read_text() + "\n# changed\n")
    (remark,) = verify.verify(run, roles.trust).remarks
    assert "has changed since the run was opened" in remark


def test_a_sealing_cut_off_before_its_envelope_is_told(roles):
    run = roles.sealed()
    (run.folder / seal.ENVELOPE).unlink()
    (fault,) = verify.verify(run, roles.trust).faults
    assert "was removed, or the sealing was cut off" in fault


def test_a_run_made_to_look_as_if_it_was_never_sealed_is_told(roles):
    run = roles.signed()
    (run.folder / seal.ENVELOPE).unlink()
    on_events(lambda lines: lines[:-1])(run.folder)
    faults = verify.verify(run, roles.trust).faults
    assert "events.jsonl was changed" in faults
    assert any("was removed, or the sealing was cut off" in fault for fault in faults)


def test_where_no_key_is_known_signatures_are_neither_held_good_nor_against_it(roles):
    run = roles.signed()
    roles.toml.write_text(roles.toml.read_text().partition("[sign_off.keys]")[0])
    found = verify.verify(run, keys.trust_of("another"))
    assert (found.state, found.faults, found.complete) == (State.SEALED, (), False)
    assert "by whom it is signed cannot be said: 4 signatures" in found.remarks
    assert any("without another.toml or another.trust" in remark for remark in found.remarks)


def test_without_keys_it_says_what_that_is_worth(roles):
    run = roles.sealed()
    roles.toml.write_text(roles.toml.read_text().partition("[sign_off.keys]")[0])
    found = verify.verify(run, roles.trust)
    assert found.state is State.SEALED
    assert any("whoever could write to this folder could have written it all anew" in each for each in found.remarks)


def test_jupyterlabs_checkpoints_and_the_derived_pages_are_no_part_of_it(roles):
    run = roles.signed()
    (run.folder / ".ipynb_checkpoints").mkdir()
    for name in (".ipynb_checkpoints/x.ipynb", "review.html", "junit.xml"):
        (run.folder / name).write_text("x")
    assert verify.verify(run, roles.trust).holds


def test_a_run_that_is_run_in_the_lab_is_open_until_it_is_sealed(roles):
    from runbook_lib import environment, release, runner
    from runbook_lib.record.archive import Way

    env = environment.load("mini")
    run = runner.open_run(env, release.find(env, "v1"), runner.select(only=(3,)), runner.Options(), Way.LAB)
    runbook_lib.begin(3, environment="mini", release="v1", run_id=run.id).item("3.1", runbook_lib.not_built("x"))
    assert verify.verify(run, roles.trust).state is State.INTERRUPTED


def test_the_digest_of_a_run_that_is_not_sealed_proves_nothing(roles):
    run = roles.ran()
    found = [verify.verify(run, roles.trust)]
    digest = manifest.digest(run.folder / manifest.NAME)
    assert found[0].digest == digest
    (fault,) = verify.expected(found, digest)
    assert fault == f"the manifest with the SHA-256 {digest} is of {run}, which is not sealed: it proves nothing"
