"""One stand-in for Trivy, which writes reports of its published schema: Trivy itself is a program of its own."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import container
from runbook_lib.errors import NotApplicable, Unanswerable, Waiting
from runbook_lib.release import Release

RELEASE = Release("v1.0.0", "0" * 40, None)
DIGEST = "twiga-scan-backend@sha256:" + "a" * 64


def flaw(severity="HIGH", name="CVE-2026-0002", package="libssl3"):
    return {
        "VulnerabilityID": name,
        "PkgName": package,
        "InstalledVersion": "3.0.1",
        "FixedVersion": "3.0.2",
        "Severity": severity,
        "Title": "a buffer is read past its end",
    }


def report(*flaws, **changed):
    system = {"Target": "debian", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": list(flaws)}
    # Trivy leaves out what is empty.
    return {
        "SchemaVersion": 2,
        "CreatedAt": "2026-01-01T00:00:00Z",
        "ArtifactName": "twiga-scan-backend:v1.0.0",
        "ArtifactType": "container_image",
        "Metadata": {
            "OS": {"Family": "debian", "Name": "12.5"},
            "ImageID": "sha256:" + "b" * 64,
            "RepoDigests": [DIGEST],
        },
        "Results": [system if flaws else {key: system[key] for key in ("Target", "Class", "Type")}],
        **changed,
    }


@pytest.fixture
def trivy(tmp_path, monkeypatch):
    """Put the stand-in on the PATH: it writes `content` where it is told to, says `words`, and ends with `code`."""

    def install(content, words="", code=0):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "report").write_text(content if isinstance(content, str) else json.dumps(content))
        program = folder / "trivy"
        program.write_text(
            f"#!{sys.executable}\nimport pathlib, shutil, sys\n"
            "assert sys.argv[1:4] == ['image', '--format', 'json'], sys.argv\n"
            "pathlib.Path(__file__).with_name('asked').write_text(sys.argv[-1])\n"
            f"print({words!r})\n"
            f"if {code}: sys.exit({code})\n"
            "target = next(word for word in sys.argv if word.startswith('--output=')).partition('=')[2]\n"
            "shutil.copy(pathlib.Path(__file__).with_name('report'), target)\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return folder

    return install


@pytest.fixture
def compose(at):
    def environment(**audit):
        platform = {"kind": "compose", "project": "demo", "services": ["backend"]}
        return at("", platform=platform, security_audit=audit)

    return environment


def scan(env, service="backend"):
    return container.vulnerabilities(env, RELEASE, service).run()


def test_a_clean_image(trivy, compose):
    folder = trivy(report())
    finding = scan(compose())
    assert finding.ok
    assert finding.observed["digest"] == DIGEST
    assert (folder / "asked").read_text() == "twiga-scan-backend:v1.0.0"


def test_a_clean_front_end_image(trivy, compose):
    folder = trivy(report())
    assert scan(compose(), "frontend").ok
    assert (folder / "asked").read_text() == "twiga-scan-frontend:v1.0.0"


@pytest.mark.parametrize("service", ["backend", "frontend"])
@pytest.mark.parametrize("severity", ["HIGH", "CRITICAL", "UNKNOWN"])
def test_a_vulnerable_image(trivy, compose, service, severity):
    trivy(report(flaw(severity), flaw("LOW", "CVE-2026-0003")))
    finding = scan(compose(), service)
    assert not finding.ok
    assert finding.observed["open"] == ["CVE-2026-0002"]
    assert finding.observed["below"] == 1
    assert [row[3] for row in finding.tables[0].rows] == [severity, "LOW"]


def test_below_the_declared_severity(trivy, compose):
    trivy(report(flaw("MEDIUM")))
    assert scan(compose()).ok


def test_from_the_declared_severity_on(trivy, compose):
    trivy(report(flaw("MEDIUM")))
    assert not scan(compose(image_severity="medium")).ok


@pytest.mark.parametrize(("days", "ok"), [(1, True), (-1, False)])
def test_an_accepted_vulnerability(trivy, compose, days, ok):
    expires = (datetime.now(UTC) + timedelta(days)).date().isoformat()
    trivy(report(flaw(), flaw(package="libcrypto3")))
    decision = {"id": "CVE-2026-0002", "reason": "not reachable", "expires": expires}
    assert scan(compose(accepted=[decision])).ok is ok


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no report"),
        ('{"SchemaVersion": 2, "Artif', "no report"),
        ([], "no report"),
        (report(SchemaVersion=3), "version 3, expected 2"),
        (report(ArtifactType="filesystem"), "filesystem"),
        (report(flaw("SEVERE")), "severity that is not known"),
        (report({"VulnerabilityID": "CVE-1"}), "no report"),
    ],
)
def test_a_report_that_is_not_understood(trivy, compose, content, words):
    trivy(content)
    with pytest.raises(Unanswerable, match=words):
        scan(compose())


def test_an_image_in_which_nothing_was_recognized(trivy, compose):
    trivy(report(Results=None))
    with pytest.raises(Unanswerable, match="neither an operating system nor a package"):
        scan(compose())


def test_an_operating_system_past_its_end(trivy, compose):
    metadata = {"OS": {"Family": "debian", "Name": "8", "EOSL": True}, "ImageID": "sha256:c"}
    trivy(report(Metadata=metadata))
    with pytest.raises(Unanswerable, match="past its end of life"):
        scan(compose())


def test_a_scan_that_failed(trivy, compose):
    trivy("", "FATAL failed to download vulnerability DB", 1)
    with pytest.raises(Unanswerable, match="vulnerability DB"):
        scan(compose())


def test_an_image_that_is_not_built_yet(trivy, compose):
    trivy("", 'FATAL unable to find the specified image "twiga-scan-backend:v1.0.0"', 1)
    with pytest.raises(Waiting, match="not there yet"):
        scan(compose())


def test_without_trivy_the_reason_and_the_way_to_get_it(compose, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(Unanswerable, match="not on this machine") as caught:
        scan(compose())
    assert "brew install trivy" in caught.value.remedy


@pytest.mark.parametrize("service", ["backend", "frontend"])
def test_archives_are_no_container_images(env, release, service):
    with pytest.raises(NotApplicable, match=r"platform\.kind = 'supervisor'"):
        container.vulnerabilities(env, release, service).run()


def test_a_service_without_an_image(compose):
    with pytest.raises(NotApplicable, match=r"security_audit\.images"):
        scan(compose(images={"backend": "b"}), "frontend")


@given(st.text() | st.recursive(
    st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["SchemaVersion", "ArtifactType", "Metadata", "Results", "OS", "Vulnerabilities"]), inner,
        max_size=4), max_leaves=8).map(json.dumps))  # fmt: skip
def test_no_text_breaks_the_reader(text):
    try:
        container.read_report(text)
    except ValueError:
        pass


@given(st.lists(st.tuples(st.sampled_from(container.SEVERITIES), st.text(min_size=1, max_size=8)), max_size=5))
def test_every_vulnerability_of_a_report_is_read(flaws):
    found = container.read_report(json.dumps(report(*(flaw(severity, name) for severity, name in flaws))))
    assert [(one.severity, one.id) for one in found.flaws] == flaws
