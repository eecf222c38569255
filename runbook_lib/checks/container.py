"""Known vulnerabilities in the images that are deployed, by Trivy."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runbook_lib import command, platforms, programs
from runbook_lib.checks import accepted
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable, Waiting
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, check, progress

SCHEMA: Final = 2
"""The version of Trivy's JSON report that is understood here."""
SEVERITIES: Final = ("LOW", "MEDIUM", "HIGH", "CRITICAL", "UNKNOWN")
"""Lightest first. Nobody has rated an unknown one, so that it counts whatever is declared."""


@dataclass(frozen=True)
class Flaw:
    """One vulnerability of one package in an image."""

    id: str
    package: str
    installed: str
    fixed: str
    severity: str
    title: str


@dataclass(frozen=True)
class Report:
    """What Trivy came to: the image's digest, its operating system, how many places it looked at, and what it found."""

    digest: str
    system: str
    supported: bool
    targets: int
    flaws: tuple[Flaw, ...]


def read_report(text: str) -> Report:
    """Trivy's JSON report of an image, schema version 2. Raises ValueError where it is none."""
    try:
        report = json.loads(text)
        if report["SchemaVersion"] != SCHEMA:
            raise ValueError(f"its schema has the version {report['SchemaVersion']}, expected {SCHEMA}")
        if report["ArtifactType"] != "container_image":
            raise ValueError(f"it is about a {report['ArtifactType']}, not about a container image")
        metadata = report.get("Metadata") or {}
        system = metadata.get("OS") or {}
        results = report.get("Results") or []
        flaws = tuple(_flaws(results))
        if any(flaw.severity not in SEVERITIES for flaw in flaws):
            raise ValueError("it holds a severity that is not known")
        return Report(
            digest=str(next(iter(metadata.get("RepoDigests") or ()), metadata["ImageID"])),
            system=f"{system.get('Family', '')} {system.get('Name', '')}".strip(),
            supported=not system.get("EOSL", False),
            targets=len(results),
            flaws=flaws,
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"it is no report of an image: {type(error).__name__} {error}") from None


def _flaws(results: list[Mapping[str, Any]]) -> Iterator[Flaw]:
    for result in results:
        for found in result.get("Vulnerabilities") or ():
            yield Flaw(
                str(found["VulnerabilityID"]),
                str(found["PkgName"]),
                str(found["InstalledVersion"]),
                str(found.get("FixedVersion") or ""),
                str(found["Severity"]),
                str(found.get("Title") or "")[:200],
            )


@check("The {service} image of {release} has no known vulnerability that counts")
def vulnerabilities(env: Environment, release: Release, service: str) -> Finding:
    """5.2: Trivy over the image that the release's tag names, by its digest.

    What is below ``security_audit.image_severity`` shows, and does not count.

    Raises
    ------
    NotApplicable
        The platform has no container images.
    Waiting
        The image is not built yet.
    Unanswerable
        Trivy is not there, could not look, or its report is not understood.
    """
    _has_images(env, service)
    trivy = programs.program("trivy")
    reference = _digest(env, release, service)
    progress(f"trivy image {reference} ({service} of {release.tag})")
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "trivy.json"
        words = ["image", "--format", "json", f"--output={target}", "--scanners", "vuln", "--no-progress", reference]
        completed = command.run([trivy, *words], timeout=env.limits.audit)
        text = target.read_text(encoding="utf-8", errors="replace") if target.is_file() else ""
    if not completed.ok:
        raise Unanswerable(
            f"trivy ended with {completed.returncode}: {completed.tail(1)}",
            remedy="read its words: its database must be reachable, and the image's registry",
        )
    try:
        report = read_report(text)
    except ValueError as error:
        raise Unanswerable(
            f"trivy's report is not understood: {error}", remedy="look at 'trivy --version'; this kit knows schema 2"
        ) from error
    return _judged(env, reference, _sound(reference, report), text)


def _has_images(env: Environment, service: str) -> None:
    if env.platform.kind == "supervisor":
        raise NotApplicable(
            "platform.kind = 'supervisor': a release's images are archives of its own files; 5.1 audits their packages"
        )
    if service not in env.platform.services:
        raise NotApplicable(f"{env.name}.toml names no {service} in platform.services")


def _digest(env: Environment, release: Release, service: str) -> str:
    """Of the image that the release's tag names: a tag may be moved while it is scanned."""
    images = platforms.connect(env).tagged(release)
    found = next((image.digest for image in images if image.service == service), None)
    if found is None:
        raise Waiting(
            f"{release.tag} names no image of {service} yet",
            remedy="phase 6 builds and tags it; then run phase 5 again",
        )
    return found


def _sound(reference: str, report: Report) -> Report:
    """The report, where its silence means something."""
    if not report.targets:
        raise Unanswerable(
            f"trivy recognized neither an operating system nor a package in {reference}",
            remedy="scan the image by another tool, or build it on a base that Trivy knows",
        )
    if not report.supported:
        raise Unanswerable(
            f"{report.system} is past its end of life: nobody publishes its vulnerabilities any more",
            remedy="build the image on a supported release of its base",
        )
    return report


def _judged(env: Environment, reference: str, report: Report, text: str) -> Finding:
    least = SEVERITIES.index(env.security_audit.image_severity.upper())
    counting = [flaw for flaw in report.flaws if SEVERITIES.index(flaw.severity) >= least]
    # One advisory often names several packages of one source.
    outcome, observed, decisions = accepted.judge(env, [(name,) for name in dict.fromkeys(one.id for one in counting)])
    columns = ("package", "installed", "id", "severity", "fixed in", "title")
    worst_first = sorted(report.flaws, key=lambda flaw: -SEVERITIES.index(flaw.severity))
    rows = tuple(
        (flaw.package, flaw.installed, flaw.id, flaw.severity, flaw.fixed or "no version yet", flaw.title)
        for flaw in worst_first
    )
    return Finding(
        ok=not outcome.open,
        observed={
            "image": reference,
            "digest": report.digest,
            "base": report.system or "none",
            **observed,
            "below": len(report.flaws) - len(counting),
        },
        expected=f"no vulnerability of severity {env.security_audit.image_severity} or above, but accepted ones",
        remedy="build on a mended base, or raise the package; or accept the id as [[security_audit.accepted]] with "
        "reason and expiry",
        tables=(*((Table(columns, rows, f"{len(rows)} vulnerabilities"),) if rows else ()), *decisions),
        evidence=(Evidence("trivy.json", text),),
    )
