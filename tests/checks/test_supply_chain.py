from __future__ import annotations

import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import supply_chain
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release

TODAY = datetime.now(UTC).date()
ADVISORY = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-0001"],
    "summary": "reads what it must not",
    "affected": [
        {
            "package": {"name": "planted", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}
LODASH = {
    "id": 1106913,
    "url": "https://github.com/advisories/GHSA-aaaa-bbbb-cccc",
    "title": "prototype pollution",
    "severity": "moderate",
    "vulnerable_versions": "<2.0.0",
    "cwe": [],
    "cvss": {"score": 0, "vectorString": None},
}


def decision(name, days=1):
    return {"id": name, "reason": "never called with foreign input", "expires": (TODAY + timedelta(days)).isoformat()}


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    """A release whose virtual environment holds two packages."""
    folder = tmp_path_factory.mktemp("release")
    venv = folder / "backend" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    for name in ("planted", "harmless"):
        metadata = packages / f"{name}-1.0.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    return Release("v1", "0" * 40, folder)


@pytest.fixture
def osv(serve, reply):
    """A vulnerability service that answers as OSV does, with these advisories about the package `planted`."""

    def start(*advisories):
        def answer(asked):
            about = json.loads(asked.body)["package"]["name"]
            return reply({"vulns": list(advisories)} if advisories and about == "planted" else {})

        return serve({"/v1/query": answer})

    return start


def audited(at, server, *accepted):
    return at("", security_audit={"osv_url": f"{server.url}/v1/query", "accepted": accepted})


def test_packages_without_a_vulnerability(at, osv, backend):
    server = osv()
    finding = supply_chain.pip_audit(audited(at, server), backend).run()
    assert finding.ok, finding.observed
    assert finding.observed["audited"] == 2
    assert {json.loads(asked.body)["package"]["name"] for asked in server.asked} == {"planted", "harmless"}


def test_a_vulnerable_package_fails_with_id_and_fixed_version(at, osv, backend):
    finding = supply_chain.pip_audit(audited(at, osv(ADVISORY)), backend).run()
    assert not finding.ok
    assert finding.observed["open"] == ["PYSEC-2026-1"]
    assert finding.tables[0].rows[0][:5] == ("planted", "1.0", "PYSEC-2026-1, CVE-2026-0001", "", "1.1")


def test_an_accepted_vulnerability_passes_and_shows(at, osv, backend):
    name = "CVE-2026-0001"
    finding = supply_chain.pip_audit(audited(at, osv(ADVISORY), decision(name)), backend).run()
    assert finding.ok
    assert finding.observed["accepted"] == ["PYSEC-2026-1"]
    assert finding.tables[1].rows[0][:2] == (name, "never called with foreign input")


def test_an_expired_acceptance_counts_no_more_and_is_said(at, osv, backend):
    finding = supply_chain.pip_audit(audited(at, osv(ADVISORY), decision("PYSEC-2026-1", days=-1)), backend).run()
    assert not finding.ok
    assert finding.observed["acceptance expired"] == {"PYSEC-2026-1": str(TODAY - timedelta(1))}


def test_a_service_that_refuses(at, serve, reply, backend):
    server = serve({"/v1/query": reply("no", 403)})
    with pytest.raises(Unanswerable, match="got no answer"):
        supply_chain.pip_audit(audited(at, server), backend).run()


def test_a_service_that_is_not_there(at, backend):
    env = at("", security_audit={"osv_url": "http://127.0.0.1:9/v1/query"})
    with pytest.raises(Unanswerable, match="got no answer"):
        supply_chain.pip_audit(env, backend).run()


def test_an_advisory_that_pip_audit_cannot_read_is_not_nothing(at, osv, backend):
    with pytest.raises(Unanswerable, match="left advisories out"):
        supply_chain.pip_audit(audited(at, osv({**ADVISORY, "schema_version": "2.0.0"})), backend).run()


def test_a_package_that_was_skipped_is_named(at, osv, backend, tmp_path):
    venv = tmp_path / "backend" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    metadata = packages / "oddly_versioned-not.a.version.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: oddly-versioned\nVersion: not.a.version\n")
    with pytest.raises(Unanswerable, match=r"skipped 1 of 1 packages: oddly-versioned"):
        supply_chain.pip_audit(audited(at, osv()), Release("v1", "0" * 40, tmp_path)).run()


def test_nothing_installed_is_nothing_audited(at, osv, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "backend" / ".venv"], check=True)
    with pytest.raises(Unanswerable, match="no installed package"):
        supply_chain.pip_audit(audited(at, osv()), Release("v1", "0" * 40, tmp_path)).run()


def test_a_release_that_is_not_installed(at, osv, tmp_path):
    with pytest.raises(Unanswerable, match="not installed"):
        supply_chain.pip_audit(audited(at, osv()), Release("v1", "0" * 40, tmp_path)).run()


@pytest.fixture
def frontend(tmp_path):
    """A release whose front end locks one package."""
    folder = tmp_path / "frontend"
    folder.mkdir()
    own = {"name": "page", "version": "1.0.0", "dependencies": {"lodash": "1.0.0"}}
    (folder / "package.json").write_text(json.dumps(own))
    locked = {"": own, "node_modules/lodash": {"version": "1.0.0", "resolved": "http://127.0.0.1:9/lodash-1.0.0.tgz"}}
    lock = {"name": "page", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": locked}
    (folder / "package-lock.json").write_text(json.dumps(lock))
    return Release("v1", "0" * 40, tmp_path)


@pytest.fixture
def registry(serve, reply):
    """A registry that knows these advisories about lodash, by the endpoint that npm asks."""

    def start(*advisories, status=200):
        def answer(asked):
            body = gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body
            assert json.loads(body) == {"lodash": ["1.0.0"]}
            return reply({"lodash": list(advisories)} if advisories else {}, status)

        return serve({"/-/npm/v1/security/advisories/bulk": answer, "/lodash": reply({"name": "lodash"})})

    return start


def page(at, server, **audit):
    return at("", application={"repository": "a", "releases": "r", "frontend": {}}, security_audit={
        "npm_registry": server.url, **audit})  # fmt: skip


def test_locked_packages_without_a_vulnerability(at, registry, frontend):
    finding = supply_chain.npm_audit(page(at, registry()), frontend).run()
    assert finding.ok, finding.observed
    assert finding.observed["audited"] == 1


def test_a_vulnerable_locked_package_fails_with_its_id(at, registry, frontend):
    finding = supply_chain.npm_audit(page(at, registry(LODASH)), frontend).run()
    assert not finding.ok
    assert finding.observed["open"] == ["GHSA-aaaa-bbbb-cccc"]
    assert finding.tables[0].rows[0][3] == "moderate"


def test_below_the_declared_severity_it_only_shows(at, registry, frontend):
    finding = supply_chain.npm_audit(page(at, registry(LODASH), npm_severity="high"), frontend).run()
    assert finding.ok
    assert finding.observed["below"] == 1
    assert len(finding.tables[0].rows) == 1


@pytest.mark.parametrize("name", ["GHSA-aaaa-bbbb-cccc", "1106913"])
def test_an_accepted_advisory_passes(at, registry, frontend, name):
    assert supply_chain.npm_audit(page(at, registry(LODASH), accepted=[decision(name)]), frontend).run().ok


def test_an_expired_acceptance_of_an_advisory(at, registry, frontend):
    env = page(at, registry(LODASH), accepted=[decision("1106913", days=-1)])
    finding = supply_chain.npm_audit(env, frontend).run()
    assert not finding.ok
    assert "acceptance expired" in finding.observed


@pytest.mark.parametrize("status", [403, 405])
def test_a_registry_that_refuses_to_audit(at, registry, frontend, status):
    with pytest.raises(Unanswerable, match=f"got no answer: {status}"):
        supply_chain.npm_audit(page(at, registry(status=status)), frontend).run()


def test_without_a_lock_file_nothing_is_audited(at, registry, frontend):
    (frontend.folder / "frontend" / "package-lock.json").unlink()
    with pytest.raises(Unanswerable, match="lockfile"):
        supply_chain.npm_audit(page(at, registry()), frontend).run()


def test_no_front_end(at, registry, frontend):
    with pytest.raises(NotApplicable):
        supply_chain.npm_audit(at(""), frontend).run()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["dependencies", "name", "vulns", "vulnerabilities", "metadata", "via", "auditReportVersion"]),
        inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON.map(json.dumps) | st.text())
def test_no_report_breaks_the_readers(text):
    for read in (supply_chain.read_pip_report, supply_chain.read_npm_report):
        try:
            read(text)
        except ValueError:
            pass


NAME = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@given(st.dictionaries(NAME, st.none() | st.lists(NAME, max_size=3), max_size=5))
def test_every_package_of_a_report_is_either_audited_or_skipped(packages):
    entries = [
        {"name": name, "skip_reason": "unknown"}
        if ids is None
        else {"name": name, "version": "1", "vulns": [{"id": one, "fix_versions": []} for one in ids]}
        for name, ids in packages.items()
    ]
    report = supply_chain.read_pip_report(json.dumps({"dependencies": entries, "fixes": []}))
    assert {*report.audited, *report.skipped} == set(packages)
    assert len(report.vulnerabilities) == sum(len(ids or ()) for ids in packages.values())
