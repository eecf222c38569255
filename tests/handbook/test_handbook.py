from __future__ import annotations

import shutil
import subprocess

import pytest

import runbook_lib
from runbook_lib import release as releases
from runbook_lib.actions import backup, dotenv_file, restoration
from runbook_lib.checks import backups, database, documents, openapi
from runbook_lib.environment import Contact, Documentation, Dotenv, Secret
from runbook_lib.errors import Unanswerable
from runbook_lib.handbook import operations, procedures, service
from runbook_lib.handbook.writing import publish
from runbook_lib.pages import Page, Section
from runbook_lib.record import archive
from runbook_lib.record.archive import Way
from runbook_lib.step import Finding, Table, check

RESTORATION = {
    "file": "a.dump",
    "taken": "2030-01-01T00:00:00+00:00",
    "restored": "2030-01-01T01:00:00+00:00",
    "size": 12345,
    "rows": 678,
    "seconds": {"restore": 1.25},
}


@pytest.fixture
def own(env, tmp_path):
    """The sandbox, with a handbook of its own."""
    documentation = env.documentation.model_copy(update={"folder": tmp_path / "handbook"})
    return env.model_copy(update={"documentation": documentation})


@pytest.fixture
def running(env):
    return releases.find(env, "v0.9.0")


def written(env, step, name):
    """The Markdown of the page that the step wrote, once its files are found sound."""
    finding = step.run()
    assert finding.ok, finding
    read = documents.page(env, name, finding.facts).run()
    assert read.ok, read.observed
    secrets = env.secrets().values()
    texts = {evidence.name: evidence.content for evidence in finding.evidence}
    assert set(texts) == {f"{name}.md", f"{name}.html"}
    assert not [
        secret for secret in secrets if secret and "://" not in secret and any(secret in t for t in texts.values())
    ]
    return texts[f"{name}.md"]


def test_the_page_of_urls(own, running):
    text = written(own, service.production_urls(own, running), "production-urls")
    for address in (own.web.url, own.web.http_url, own.web.address("/health"), *own.documentation.links.values()):
        assert f"<{address}>" in text
    assert f"the address {own.web.url}" in text.partition("do not say")[2]


def test_the_page_of_endpoints(own, running):
    text = written(own, service.api_endpoints(own, running), "api-endpoints")
    assert "| POST | /api/scan/ | Read a payment request | 200, 422 |" in text


def test_a_service_that_does_not_tell_its_endpoints(own, running):
    silent = own.model_copy(update={"web": own.web.model_copy(update={"openapi_path": "/nothing-here.json"})})
    with pytest.raises(Unanswerable, match="the OpenAPI document cannot be had: 404"):
        service.api_endpoints(silent, running).run()


def test_what_a_service_says_is_text(own, running, serve_openapi):
    text = written(serve_openapi, service.api_endpoints(serve_openapi, running), "api-endpoints")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.fixture
def serve_openapi(own, monkeypatch):
    """A service whose OpenAPI document is hostile."""
    hostile = {"paths": {"/<script>": {"get": {"summary": "](javascript:alert(1))", "responses": {}}}}, "info": []}
    monkeypatch.setattr(openapi, "document", lambda env: hostile)
    return own


def test_the_page_on_deploying(own, running):
    text = written(own, procedures.deployment(own, running), "deployment")
    assert "runbook run sandbox --release v0.9.0\n" in text
    for number in ("## 1 Environment configuration", "## 17 Sign-off"):
        assert number in text
    assert "Start every service on v0.9.0" in text
    production = own.model_copy(update={"kind": "production"})
    finding = procedures.deployment(production, running).run()
    assert "--confirm sandbox\n" in finding.evidence[0].content


def test_the_page_on_rolling_back(own, running):
    text = written(own, procedures.rollback(own, running), "rollback")
    assert "runbook rollback sandbox\n" in text
    assert "Restore database" in text


def test_a_project_whose_documents_cannot_be_read(own, running, tmp_path):
    lost = own.model_copy(
        update={"application": own.application.model_copy(update={"repository": tmp_path / "nowhere"})}
    )
    with pytest.raises(Unanswerable, match="git does not list"):
        service.production_urls(lost, running).run()


def test_a_folder_that_cannot_be_written_to(own, running, tmp_path):
    (tmp_path / "handbook").touch()
    with pytest.raises(Unanswerable, match="cannot be written to"):
        service.production_urls(own, running).run()


@check("Looks at something")
def fails() -> Finding:
    """Whether it is so. It never is."""
    return Finding(False, {"seen": "a broken pump"}, "a sound one", remedy="call the plumber")


@pytest.fixture
def failed_before(mini):
    """A run in which 3.2 failed, in an archive of its own."""
    phase = runbook_lib.begin(3, environment="mini", release="v1")
    phase.item("3.2", fails())
    return phase


def test_what_failed_before_is_remembered(failed_before):
    past = operations.history(failed_before.env)
    assert past.runs == 1
    (failure,) = past.failures
    assert (failure.run, failure.item, failure.step) == (failed_before.run.id, "3.2", "test_handbook.fails")
    assert failure.seen == 'failed: {"seen": "a broken pump"}'
    assert past.remedies == {"test_handbook.fails": "call the plumber"}


def test_a_damaged_run_is_named_and_the_others_are_read(failed_before):
    damaged = archive.create(failed_before.env, failed_before.release, Way.UNSUPERVISED, run_id="99-damaged")
    damaged.events.path.write_text("{}\n")
    past = operations.history(failed_before.env)
    assert past.runs == 2
    assert len(past.failures) == 1
    assert past.unreadable[0].startswith("99-damaged: ")


def test_the_page_of_common_issues(own, running, monkeypatch):
    failure = operations.Failure("2030-01-01", "run-1", "8.3", "http.health", "failed: 503", "read the log")
    past = operations.History(1, ("run-0: is damaged",), (failure,), {"http.health": "read the log"})
    monkeypatch.setattr(operations, "history", lambda env: past)
    text = written(own, operations.common_issues(own, running), "common-issues")
    assert "| 2030-01-01 | run-1 | 8.3 | http.health | failed: 503 | read the log |" in text
    assert "run-0: is damaged" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| 8.3 | Every health")]
    assert line.endswith("the declared status and JSON at each of web.health. | read the log | 1 | ")


def test_what_a_step_looks_at():
    assert operations.looks_at(fails()) == "Whether it is so. It never is."
    assert operations.looks_at(runbook_lib.attest("so")) == ""


def contact(env, role):
    return next(contact for contact in env.contacts if contact.role == role)


def test_the_pages_on_whom_to_call(own, running):
    text = written(own, operations.escalation(own, running), "escalation")
    lead = contact(own, "DevOps Lead")
    assert f"| 30 | DevOps Lead | {lead.name} | {lead.email} |" in text
    text = written(own, operations.on_call(own, running), "on-call")
    assert "answers an alert within 15 minutes" in text
    assert len([line for line in text.splitlines() if "Lead |" in line]) == 8


def test_the_pages_on_whom_to_call_where_nobody_is_declared(own, running):
    documentation = Documentation(folder=own.documentation.folder)
    nobody = own.model_copy(update={"documentation": documentation, "contacts": (Contact(role="Lead"),)})
    written(nobody, operations.escalation(nobody, running), "escalation")
    assert "No rota is declared." in written(nobody, operations.on_call(nobody, running), "on-call")


@pytest.fixture
def live(env, tmp_path):
    """An environment whose database is a scratch one with two tables, with its newest backup, and a handbook."""
    with backup.scratch_database(env) as address:
        with database.connected(env, address) as connection:
            connection.execute("CREATE TABLE scans (id int); INSERT INTO scans SELECT generate_series(1, 100)")
        file = tmp_path / ".env"
        shutil.copy(env.dotenv.file, file)
        dotenv_file.write(file, {"DATABASE_URL": address.replace("postgresql:", "postgresql+psycopg:")})
        yield env.model_copy(
            update={
                "dotenv": env.dotenv.model_copy(update={"file": file}),
                "database": env.database.model_copy(update={"url": Secret(file=file, key="DATABASE_URL")}),
                "backup": env.backup.model_copy(update={"folder": tmp_path / "backups"}),
                "documentation": env.documentation.model_copy(update={"folder": tmp_path / "handbook"}),
            }
        )


def bash(*blocks):
    script = "\n".join(line for block in blocks for line in block)
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60)


def contents(env, name=""):
    address = database.with_database(database.url(env), name) if name else database.url(env)
    with database.connected(env, address) as connection:
        return database.contents(connection)


def drop(env, *names):
    with database.connected(env, database.with_database(database.url(env), "postgres")) as connection:
        for name in names:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_the_recovery_pages_commands_do_recover(live, running):
    assert backup.daily(live).run().ok
    taken = backups.newest(live)
    facts = restoration.restore(live).run().facts
    text = written(live, procedures.recovery(live, running, facts), "recovery")
    assert taken.file in text
    assert str(sum(content.rows for content in taken.tables.values())) in text
    assert contact(live, "Database Admin").name in text
    assert "--release v0.9.0 --only 8" in text
    backup.take(live, "v1.0.0-before-rollback")

    with database.connected(live) as connection:
        connection.execute("DELETE FROM scans WHERE id > 50")
    name = database.name(live)
    blocks = [
        procedures.connecting(live),
        procedures.keeping(live),
        procedures.restoring(live),
        procedures.comparing(),
        procedures.swapping(live),
    ]
    try:
        completed = bash(*blocks)
        assert completed.returncode == 0, completed.stderr
        assert "public.scans 100" in completed.stdout
        assert contents(live) == taken.tables
        assert contents(live, f"{name}_damaged")["public.scans"].rows == 50
    finally:
        drop(live, f"{name}_damaged", f"{name}_restored")
    assert backups.newest(live) == taken


def test_the_recovery_pages_commands_stop_at_a_damaged_backup(live):
    assert backup.daily(live).run().ok
    path = live.backup.folder / backups.newest(live).file
    path.write_bytes(path.read_bytes() + b"!")
    name = database.name(live)
    try:
        assert bash(procedures.connecting(live), procedures.restoring(live)).returncode != 0
        with pytest.raises(Unanswerable, match=f"{name}_restored.* does not exist"):
            contents(live, f"{name}_restored")
    finally:
        drop(live, f"{name}_restored")


@pytest.mark.parametrize(
    "line",
    [
        "DATABASE_URL=postgresql://u:a%2Fb@127.0.0.1/d",
        'DATABASE_URL="postgresql://u:a%2Fb@127.0.0.1/d"',
        "DATABASE_URL='postgresql://u:a%2Fb@127.0.0.1/d'",
        "export DATABASE_URL=postgresql://u:a%2Fb@127.0.0.1/d",
        "DATABASE_URL=postgresql://u@127.0.0.1/d?password=a%2Fb",
    ],
)
def test_the_password_is_found_however_the_address_is_written(env, tmp_path, line):
    file = tmp_path / "with space" / ".env"
    file.parent.mkdir()
    file.write_text(f"OTHER=1\n{line}\n")
    url = Secret(file=file, key="DATABASE_URL")
    here = env.model_copy(update={"database": env.database.model_copy(update={"url": url, "programs": None})})
    assert bash(procedures.connecting(here), ['printf %s "$PGPASSWORD"']).stdout == "a/b"


def pasted(*blocks):
    """As at a terminal: a command that fails does not keep the next from running."""
    script = "\n".join(line for block in blocks for line in block)
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)


def planted(folder, name, script):
    program = folder / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("program", "script", "shown"),
    [
        ("createdb", "echo no room >&2; exit 1", "no room"),
        ("pg_restore", '{real} --schema-only "$@"; echo disk full >&2; exit 1', "disk full"),
        ("pg_restore", '{real} --schema-only "$@"', "> public.scans 0"),
    ],
    ids=["none is made", "it stops half way", "rows are missing"],
)
def test_pasting_on_after_a_failed_restoration_swaps_nothing(live, tmp_path, program, script, shown):
    assert backup.daily(live).run().ok
    before, name = contents(live), database.name(live)
    planted(tmp_path / "bin", program, script.format(real=live.database.programs / program))
    first = [f"export PATH={tmp_path / 'bin'}:$PATH"]
    blocks = [procedures.connecting(live), first, procedures.restoring(live), procedures.comparing()]
    try:
        completed = pasted(*blocks, procedures.swapping(live))
        assert completed.returncode == 1
        assert shown in completed.stdout + completed.stderr
        assert "go no further" in completed.stderr
        assert "Not swapped" in completed.stderr
        assert contents(live) == before
        with pytest.raises(Unanswerable, match=f"{name}_damaged.* does not exist"):
            contents(live, f"{name}_damaged")
    finally:
        drop(live, f"{name}_damaged", f"{name}_restored")


def test_a_swap_that_fails_leaves_the_live_database_its_name(live):
    before, name = contents(live), database.name(live)
    completed = pasted(procedures.connecting(live), ['COMPARED="$NAME"_restored'], procedures.swapping(live))
    assert completed.returncode == 1
    assert "Not swapped" in completed.stderr
    assert contents(live) == before
    with pytest.raises(Unanswerable, match=f"{name}_damaged.* does not exist"):
        contents(live, f"{name}_damaged")


def test_the_recovery_page_needs_a_measured_restoration(live, running):
    with pytest.raises(Unanswerable, match="no restoration was measured"):
        procedures.recovery(live, running, {}).run()
    assert not procedures.recovery(live, running, {"restoration": RESTORATION}).run().ok


def test_a_secret_is_masked_even_where_markdown_escapes_it(bare_env, tmp_path):
    secret = "under_scores_and*stars*in_it_all"
    (tmp_path / ".env").write_text(f"APP_TOKEN='{secret}'\n")
    own = bare_env.model_copy(update={"dotenv": Dotenv(file=tmp_path / ".env")})
    table = Table(("what",), ((f"said {secret}",),))
    page = Page("test-page", f"About {secret}", (secret,), (Section(secret, (secret,), table, (f"echo {secret}",)),))
    for file in publish(own, page).evidence:
        assert "under" not in file.content, file.name
