from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

import runbook_lib
from runbook_lib import environment, not_built, release, runner
from runbook_lib.environment import ROLES
from runbook_lib.errors import ConfigurationError, RecordError
from runbook_lib.record import attestation, keys, manifest, seal
from runbook_lib.record.archive import Way
from runbook_lib.record.summary import summarize
from runbook_lib.step import Status

from .conftest import broken, sound

TODAY = datetime.now(UTC).date()


def test_a_sealed_run_takes_nothing_more(roles):
    run = roles.ran()
    sealed = seal.seal(run, roles.mask)
    assert sealed.digest == manifest.digest(run.folder / manifest.NAME)
    assert summarize(run).sealed
    with pytest.raises(RecordError, match="is sealed: nothing can be added"):
        run.events.append("more")
    with pytest.raises(ConfigurationError, match="is sealed: nothing can be added"):
        runbook_lib.begin(3, environment="mini", release="v1", run_id=run.id)
    with pytest.raises(ConfigurationError, match="is sealed already"):
        seal.seal(run, roles.mask)
    assert all(path.stat().st_mode & 0o222 == 0 for path in manifest.files(run))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"3.2": broken()}, "3.2 is failed: mend it"),
        ({"3.2": not_built("later")}, r"3.2 is pending: whoever is awaited attests it"),
    ],
)
def test_what_stands_open_is_named_and_refuses_the_seal(roles, steps, said):
    run = roles.ran(steps=steps)
    before = run.events.path.read_bytes()
    with pytest.raises(ConfigurationError, match=said):
        seal.seal(run, roles.mask)
    assert run.events.path.read_bytes() == before
    assert not seal.is_sealed(run)


def test_what_is_waived_is_sealed_and_what_was_tolerated_until_yesterday_is_not(roles, monkeypatch):
    run = roles.ran(steps={"3.2": broken()})
    attestation.waive(run, "3.2", roles.mask, person="Grace", reason="TICKET-1", expires=TODAY)
    with monkeypatch.context() as later:
        later.setattr(attestation, "_counts", lambda expires: False)
        with pytest.raises(ConfigurationError, match=r"the waiver of 3\.2 expired"):
            seal.seal(run, roles.mask)
    seal.seal(run, roles.mask)
    assert manifest.read(run)["predicate"]["results"]["3.2"] == Status.WAIVED


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: run.events.append("phase started", phase=2, notebook="02"), "phase 2 is running"),
        (lambda run: (run.folder / "link").symlink_to("/etc/hostname"), "link"),
        (
            lambda run: run.events.append(
                "step started", phase=3, item="3.1", step=9, name="a.b", kind="action", title="Acts", arguments={}
            ),
            "began and never ended: 3.1: Acts",
        ),
    ],
)
def test_what_never_ended_refuses_the_seal(roles, damage, said):
    run = roles.ran()
    damage(run)
    with pytest.raises(ConfigurationError, match=said):
        seal.seal(run, roles.mask)


def test_phases_that_were_to_run_and_have_not_refuse_the_seal(roles):
    env = environment.load("mini")
    run = runner.open_run(env, release.find(env, "v1"), runner.select(only=(3, 4)), runner.Options())
    phase = runbook_lib.begin(3, environment="mini", release="v1", run_id=run.id)
    for item in phase.definition.items:
        phase.item(item.id, sound())
    phase.gate()
    with pytest.raises(ConfigurationError, match="phase 4 was to run and has not: runbook run mini --resume"):
        seal.seal(run, roles.mask)


def test_a_run_that_was_rolled_back_is_sealed_though_its_phases_broke_off(roles):
    run = roles.ran()
    run.events.append("phase started", phase=8, notebook="08")
    run.events.append("run closed", outcome="rolled back")
    seal.seal(run, roles.mask)
    assert manifest.read(run)["predicate"]["outcome"] == "rolled back"


def test_a_neighbour_that_never_began_or_is_damaged_does_not_stand_in_the_way(roles):
    empty, damaged = roles.open(), roles.ran(steps={"3.2": broken()})
    empty.events.path.write_bytes(b"")
    damaged.events.path.write_bytes(damaged.events.path.read_bytes()[40:])
    run = roles.ran()
    seal.seal(run, roles.mask)
    assert manifest.chain(run).witnessed == ()


@pytest.mark.parametrize("name", ["junit.xml", ".ipynb_checkpoints/x.ipynb", "evidence/mini-database-password/x.txt"])
def test_secrets_are_looked_for_everywhere(roles, name):
    run = roles.ran()
    path = run.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mini-database-password")
    with pytest.raises(ConfigurationError, match="holds a secret") as refused:
        seal.seal(run, roles.mask)
    assert "mini-database-password" not in str(refused.value)


def test_what_a_crash_left_half_written_is_removed(roles):
    run = roles.ran()
    (run.folder / ".03_database_setup.ipynb.z8f1q_xv").write_text("{")
    seal.seal(run, roles.mask)
    assert not list(run.folder.glob(".03*"))


def test_an_unsupervised_run_cannot_be_sealed(roles):
    phase = runbook_lib.begin(3, environment="mini", release="v1")
    assert summarize(phase.run).opened["way"] == Way.UNSUPERVISED
    with pytest.raises(ConfigurationError, match="it is unsupervised"):
        seal.seal(phase.run, roles.mask)


@pytest.mark.parametrize("form", ["mini-database-password", b"mini-database-password".hex()])
def test_a_secret_in_any_file_refuses_the_seal_and_is_not_repeated(roles, form):
    run = roles.ran()
    run.keep("3.1", "slipped.log", f"before {form} after".encode())
    with pytest.raises(ConfigurationError, match=r"evidence/3\.1/slipped\.log: ") as refused:
        seal.seal(run, roles.mask)
    assert form not in str(refused.value)


def test_a_secret_that_phase_1_is_to_write_is_masked_in_the_kept_settings(roles):
    dsn = "https://0123456789abcdef0123456789abcdef@sentry.example/1"
    roles.toml.write_text(roles.toml.read_text() + f"\n[dotenv.values]\nSENTRY_DSN = '{dsn}'\n")
    run = roles.ran()
    assert "0123456789abcdef" not in (run.folder / "environment.toml").read_text()
    (roles.home.root / ".env").write_text(f"DATABASE_URL=postgresql://a:mini-database-password@h/d\nSENTRY_DSN={dsn}\n")
    seal.seal(run, roles.mask)


def test_a_sealing_that_was_cut_off_is_brought_to_its_end(roles):
    run = roles.ran()
    run.events.append("run sealed", operator="ada")
    seal.seal(run, roles.mask)
    assert seal.is_sealed(run)
    assert [event.name for event in run.events.read()].count("run sealed") == 1


def test_each_run_is_chained_to_the_one_sealed_before_it(roles):
    first, second = roles.ran(), roles.ran()
    left_open = roles.ran(steps={"3.2": broken()})
    seal.seal(second, roles.mask)
    seal.seal(first, roles.mask)
    place = manifest.chain(first)
    assert (place.number, place.previous) == (2, second.id)
    assert place.digest == manifest.digest(second.folder / manifest.NAME)
    assert [witness.run for witness in place.witnessed] == [left_open.id]
    assert manifest.chain(second).previous is None


def test_four_roles_sign_off(roles):
    run = roles.sealed()
    for number, role in enumerate(ROLES, start=1):
        signed = seal.sign(run, role, keys.signer(roles.private[role]), roles.trust)
        assert signed.missing(roles.trust) == 4 - number
    assert set(seal.signatures(run, roles.trust).by_role) == set(ROLES)


def test_signing_again_changes_nothing(roles):
    run = roles.sealed()
    for _ in range(2):
        signed = seal.sign(run, "security", keys.signer(roles.private["security"]), roles.trust)
    assert signed.missing(roles.trust) == 3


def test_a_key_signs_for_its_own_role_alone(roles, tmp_path):
    run = roles.sealed()
    keys.generate(tmp_path / "stranger")
    for key, said in [
        (roles.private["security"], "trusts this key for security, so it cannot sign for operations"),
        (tmp_path / "stranger", "does not trust this key for any role"),
    ]:
        with pytest.raises(ConfigurationError, match=said):
            seal.sign(run, "operations", keys.signer(key), roles.trust)
    assert json.loads((run.folder / seal.ENVELOPE).read_text())["signatures"] == []


def test_what_is_not_sealed_is_not_signed(roles):
    run = roles.ran(steps={"3.2": broken()})
    with pytest.raises(ConfigurationError, match=r"is not sealed, and cannot be:\n  3\.2 is failed"):
        seal.sign(run, "security", keys.signer(roles.private["security"]), roles.trust)


def test_sign_offs_items_are_what_the_envelope_says(roles):
    steps = {f"O.{number}": runbook_lib.signature(role) for number, role in enumerate(ROLES, start=1)}
    run = roles.ran(number=17, steps=steps)
    seal.seal(run, roles.mask)
    seal.sign(run, "security", keys.signer(roles.private["security"]), roles.trust)
    items = seal.signed_off(summarize(run), seal.standing(run, roles.trust)).items
    assert [items[f"O.{number}"]["status"] for number in range(1, 5)] == ["pending", "passed", "pending", "pending"]


def test_a_waiver_gives_out_on_its_last_day():
    assert attestation.waived({"person": "", "reason": "", "expires": str(TODAY)}).in_force
    yesterday = str(TODAY - timedelta(days=1))
    assert not attestation.waived({"person": "", "reason": "", "expires": yesterday}).in_force
