"""Known vulnerabilities in what a release depends on, by pip-audit and npm audit.

Both end with a friendly line when they could not ask; only their JSON reports are believed, and only whole ones.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runbook_lib import command, programs
from runbook_lib.checks import accepted
from runbook_lib.checks.dependencies import frontend_folder, interpreter
from runbook_lib.command import Completed
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, check, progress

NPM_SEVERITIES: Final = ("info", "low", "moderate", "high", "critical")
NPM_REPORT: Final = 2
"""The version of npm's audit report that is understood here; npm 7 and newer write it."""
UNREAD: Final = "Unsupported OSV schema version"
"""What pip-audit logs for an advisory that it leaves out."""


@dataclass(frozen=True)
class Vulnerability:
    """One advisory about one package: all of its names, and where it is mended."""

    package: str
    version: str
    names: tuple[str, ...]
    severity: str
    fixed: str
    title: str = ""


@dataclass(frozen=True)
class PipReport:
    """What pip-audit came to: the packages it looked up, those it skipped and why, and what it found."""

    audited: tuple[str, ...]
    skipped: Mapping[str, str]
    vulnerabilities: tuple[Vulnerability, ...]


def read_pip_report(text: str) -> PipReport:
    """pip-audit's JSON report. Raises ValueError where it is none."""
    try:
        dependencies = json.loads(text)["dependencies"]
        return PipReport(
            audited=tuple(entry["name"] for entry in dependencies if "skip_reason" not in entry),
            skipped={entry["name"]: str(entry["skip_reason"]) for entry in dependencies if "skip_reason" in entry},
            vulnerabilities=tuple(
                Vulnerability(
                    entry["name"],
                    entry["version"],
                    (found["id"], *found.get("aliases", ())),
                    "",
                    ", ".join(found["fix_versions"]),
                    str(found.get("description", ""))[:200],
                )
                for entry in dependencies
                if "skip_reason" not in entry
                for found in entry["vulns"]
            ),
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"no report of pip-audit: {type(error).__name__} {error}") from None


@check("{release}'s back-end packages have no known vulnerability")
def pip_audit(env: Environment, release: Release) -> Finding:
    """5.1.1: pip-audit over what is installed in the release's own virtual environment.

    Raises
    ------
    Unanswerable
        The release is not installed, the vulnerability service did not answer, or a package was skipped.
    """
    folders = _site_packages(env, interpreter(env, release))
    service = env.security_audit.osv_url or env.security_audit.vulnerability_service
    progress(f"asking {service} about every installed package")
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "pip-audit.json"
        words = ["--format=json", f"--output={target}", "--progress-spinner=off", *_service(env)]
        completed = command.run(
            [sys.executable, "-m", "pip_audit", *words, *(f"--path={folder}" for folder in folders)],
            timeout=env.limits.audit,
        )
        text = target.read_text(encoding="utf-8") if target.is_file() else ""
    report = _whole_pip_report(text, completed, str(service))
    outcome, observed, decisions = accepted.judge(env, [found.names for found in report.vulnerabilities])
    return Finding(
        ok=not outcome.open,
        observed={"audited": len(report.audited), "by": service, **observed},
        expected="every installed package audited; no vulnerability but accepted ones",
        remedy="raise the package to a fixed version, or accept the id as [[security_audit.accepted]] with reason "
        "and expiry",
        tables=(*_table(report.vulnerabilities), *decisions),
        evidence=(Evidence("pip-audit.json", text), completed.evidence("pip-audit.log")),
    )


def _service(env: Environment) -> list[str]:
    if env.security_audit.osv_url:
        return ["--vulnerability-service=osv", f"--osv-url={env.security_audit.osv_url}"]
    return [f"--vulnerability-service={env.security_audit.vulnerability_service}"]


def _site_packages(env: Environment, python: Path) -> list[str]:
    """Where the packages of `python` lie."""
    script = "import sysconfig; print(*{sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}, sep='\\n')"
    asked = command.run([python, "-I", "-c", script], timeout=env.limits.request * 3)
    if not asked.ok:
        raise Unanswerable(f"{python} does not run: {asked.tail(1)}", remedy="run phase 2 again")
    return asked.output.split("\n")[:-1]


def _whole_pip_report(text: str, completed: Completed, service: str) -> PipReport:
    """The report, where it covers every package; its friendly words where it does not are no answer."""
    try:
        report = read_pip_report(text)
    except ValueError as error:
        raise Unanswerable(
            f"pip-audit got no answer from {service}: {completed.tail(1) or error}",
            remedy="let this machine reach the service, or name one that it reaches as security_audit.osv_url",
        ) from error
    if report.skipped:
        raise Unanswerable(
            f"pip-audit skipped {len(report.skipped)} of {len(report.skipped) + len(report.audited)} packages: "
            f"{_several(report.skipped)}; the first: {next(iter(report.skipped.values()))}",
            remedy="a package that the service does not know is not audited: let this machine reach the service, "
            "name another as security_audit.osv_url, or take the package from where it is known",
        )
    if not report.audited:
        raise Unanswerable("pip-audit found no installed package to audit", remedy="run item 2.1 again")
    if UNREAD in completed.output:
        raise Unanswerable(
            f"pip-audit left advisories out: {UNREAD}", remedy="use a newer pip-audit, or read its log for the advisory"
        )
    return report


def _several(names: Mapping[str, str]) -> str:
    listed = list(names)
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")


@dataclass(frozen=True)
class NpmReport:
    """What npm audit came to: how many packages it looked up, and what it found, each advisory once a package."""

    audited: int
    vulnerabilities: tuple[Vulnerability, ...]


def read_npm_report(text: str) -> NpmReport:
    """Npm's audit report, version 2. Raises ValueError where it is none, with npm's own words where it has some."""
    try:
        report = json.loads(text)
        if "auditReportVersion" not in report:
            raise ValueError(str(report.get("message") or report.get("error") or "no report")[:300])
        if report["auditReportVersion"] != NPM_REPORT:
            raise ValueError(f"report of version {report['auditReportVersion']}, expected {NPM_REPORT}")
        found = {
            (entry["name"], names[0]): Vulnerability(
                entry["name"], entry["range"], names, via["severity"], _npm_fix(entry), str(via.get("title", ""))
            )
            for entry in report["vulnerabilities"].values()
            for via in entry["via"]
            if isinstance(via, dict)
            for names in [_npm_names(via)]
        }
        if any(one.severity not in NPM_SEVERITIES for one in found.values()):
            raise ValueError("an advisory of unknown severity")
        return NpmReport(int(report["metadata"]["dependencies"]["total"]), tuple(found.values()))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"no report of npm audit: {type(error).__name__} {error}") from None


def _npm_names(via: Mapping[str, Any]) -> tuple[str, ...]:
    """An advisory's names: GitHub's, which its address ends with, and npm's own number."""
    last = str(via.get("url", "")).rstrip("/").rpartition("/")[2]
    return tuple(name for name in (last, str(via["source"])) if name)


def _npm_fix(entry: Mapping[str, Any]) -> str:
    fix = entry.get("fixAvailable")
    if isinstance(fix, dict):
        return f"{fix.get('name')} {fix.get('version')}"
    return "npm audit fix" if fix else "none yet"


@check("{release}'s front-end packages have no known vulnerability")
def npm_audit(env: Environment, release: Release) -> Finding:
    """5.1.2: npm audit over the release's lock file; what is below ``security_audit.npm_severity`` only shows.

    Raises
    ------
    Unanswerable
        There is no lock file, npm is missing, or the registry refuses to audit.
    NotApplicable
        The environment declares no front end.
    """
    folder = frontend_folder(env, release)
    if not folder.is_dir():
        raise Unanswerable(f"release {release} is not checked out: {folder} is missing", remedy="run phase 2 first")
    registry = env.security_audit.npm_registry
    # What a person's npm settings leave out would be left unaudited.
    words = ["audit", "--json", "--include=dev", "--include=optional", "--include=peer", "--audit-level=none"]
    argv, path = programs.node(["npm", *words, "--loglevel=silent", *([f"--registry={registry}"] if registry else [])])
    progress("asking npm's registry about every locked package")
    completed = command.run(argv, cwd=folder, env=path, timeout=env.limits.audit)
    try:
        report = read_npm_report(completed.output)
    except ValueError as error:
        raise Unanswerable(
            f"npm audit got no answer: {error}",
            remedy="see that a package-lock.json is released, let this machine reach the registry, or name one that "
            "audits as security_audit.npm_registry",
        ) from error
    if not report.audited:
        raise Unanswerable("npm audit found no package to audit", remedy="see that the lock file is complete")
    least = NPM_SEVERITIES.index(env.security_audit.npm_severity)
    counting = [one for one in report.vulnerabilities if NPM_SEVERITIES.index(one.severity) >= least]
    outcome, observed, decisions = accepted.judge(env, [found.names for found in counting])
    return Finding(
        ok=not outcome.open,
        observed={"audited": report.audited, **observed, "below": len(report.vulnerabilities) - len(counting)},
        expected=f"no vulnerability of severity {env.security_audit.npm_severity} or above, but accepted ones",
        remedy="npm audit fix in the application; or accept the id as [[security_audit.accepted]] with reason "
        "and expiry",
        tables=(*_table(report.vulnerabilities), *decisions),
        evidence=(Evidence("npm-audit.json", completed.output),),
    )


def _table(found: tuple[Vulnerability, ...]) -> tuple[Table, ...]:
    columns = ("package", "version", "ids", "severity", "fixed in", "title")
    rows = tuple(
        (one.package, one.version, ", ".join(one.names), one.severity, one.fixed or "no version yet", one.title)
        for one in found
    )
    return (Table(columns, rows, f"{len(rows)} vulnerabilities"),) if rows else ()
