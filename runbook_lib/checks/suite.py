"""The application's own tests, judged by the reports that they write."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from xml.etree import ElementTree

from runbook_lib import command, programs
from runbook_lib.checks.dependencies import backend_folder, frontend_folder, interpreter
from runbook_lib.command import Completed
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.observation import Observation
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, check

SLOWEST: Final = 10
WORST: Final = 10
USAGE_ERROR: Final = 4
"""pytest's exit code where it does not know an option."""
NOTHING_COLLECTED: Final = 5
"""pytest's exit code where it found no test."""


@dataclass(frozen=True)
class Case:
    """One test: its full name, how it ended (``passed failed error skipped``), seconds, and what it said."""

    name: str
    outcome: str
    seconds: float
    message: str = ""


class _NoDocumentType(ElementTree.TreeBuilder):
    """No test runner writes a document type; with one come entities that could expand without end."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("the report declares a document type")


def cases(report: bytes) -> tuple[Case, ...]:
    """The tests in a JUnit report. Raises ValueError where it is none."""
    try:
        root = ElementTree.fromstring(report, ElementTree.XMLParser(target=_NoDocumentType()))  # noqa: S314 - see above
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from error
    if root.tag not in {"testsuites", "testsuite"}:
        raise ValueError(f"its root is <{root.tag}>, not <testsuites>")
    return tuple(_case(element) for element in root.iter("testcase"))


def _case(element: ElementTree.Element) -> Case:
    name = "::".join(filter(None, (element.get("classname"), element.get("name"))))
    seconds = float(element.get("time") or 0.0)
    for tag, outcome in (("error", "error"), ("failure", "failed"), ("skipped", "skipped")):
        found = element.find(tag)
        if found is not None:
            return Case(name, outcome, seconds, found.get("message") or (found.text or "").strip()[:500])
    return Case(name, "passed", seconds)


@dataclass(frozen=True)
class Ran:
    """One run of the back end's suite: its output, and the reports that it wrote; None for one that it did not."""

    completed: Completed
    junit: bytes | None
    coverage: bytes | None
    html: bytes


def ran(env: Environment, release: Release) -> Observation[Ran]:
    """The back end's suite, run once for 4.1 and 4.3; with its coverage where the release brings pytest-cov."""
    return Observation(release, lambda: _run(env, release))


def _run(env: Environment, release: Release) -> Ran:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        junit, coverage, html = folder / "junit.xml", folder / "coverage.json", folder / "html"
        covering = ("--cov=.", f"--cov-report=json:{coverage}", f"--cov-report=html:{html}")
        completed = _pytest(env, release, f"--junitxml={junit}", *covering, data=folder / ".coverage")
        if completed.returncode == USAGE_ERROR:
            # Without pytest-cov there is no coverage to judge, yet the tests are.
            completed = _pytest(env, release, f"--junitxml={junit}", data=folder / ".coverage")
        return Ran(completed, _content(junit), _content(coverage), _zipped(html))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


@check("{release}'s back-end tests pass")
def backend(env: Environment, release: Release, tests: Observation[Ran]) -> Finding:
    """4.1: none failed, none in error, and at least ``application.backend.minimum_passed`` passed, by the JUnit report.

    Raises
    ------
    Unanswerable
        The suite wrote no report, crashed, or took longer than ``limits.tests`` seconds.
    """
    seen = tests.for_item("4.1")
    return _judged(
        seen.completed,
        seen.junit,
        minimum=env.application.backend.minimum_passed,
        explained_exits={0, NOTHING_COLLECTED},
    )


@check("{release}'s front-end tests pass")
def frontend(env: Environment, release: Release) -> Finding:
    """``npm test`` without a terminal: none failed, at least ``application.frontend.minimum_passed`` passed.

    Raises
    ------
    Unanswerable
        As for the back end; or npm is missing.
    NotApplicable
        The environment declares no front end.
    """
    folder = frontend_folder(env, release)
    declared = env.application.frontend
    assert declared is not None
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "junit.xml"
        argv, path = programs.node([word.replace("{report}", str(report)) for word in declared.test])
        completed = command.run(argv, cwd=folder, env={**path, "CI": "1"}, timeout=env.limits.tests)
        return _judged(completed, _content(report), minimum=declared.minimum_passed, explained_exits={0})


def _judged(completed: Completed, content: bytes | None, *, minimum: int, explained_exits: set[int]) -> Finding:
    """The verdict on one run of a suite.

    An exit code that the report does not explain means that something else went wrong: that is no verdict.
    """
    if content is None:
        raise Unanswerable(
            f"the tests wrote no report and ended with {completed.returncode}: {completed.tail(3)}",
            remedy="run them by hand in the release's folder; item 2 installs what they need",
        )
    try:
        found = cases(content)
    except ValueError as error:
        raise Unanswerable(f"the tests' report cannot be read: {error}", remedy="see the tests' output") from error
    counts = Counter(case.outcome for case in found)
    bad = [case for case in found if case.outcome in {"failed", "error"}]
    if not bad and completed.returncode not in explained_exits:
        raise Unanswerable(
            f"the tests ended with {completed.returncode}, yet their report names no failure: {completed.tail(3)}",
            remedy="see the tests' output: a crash, or an error outside any test",
        )
    slowest = sorted(found, key=lambda case: -case.seconds)[:SLOWEST]
    return Finding(
        ok=not bad and counts["passed"] >= minimum,
        observed={name: counts[name] for name in ("passed", "failed", "error", "skipped")},
        expected={"passed, at least": minimum, "failed": 0, "error": 0},
        remedy="correct what the failing tests show, and release anew",
        tables=(
            *(
                [Table(("test", "outcome", "message"), tuple((c.name, c.outcome, c.message) for c in bad))]
                if bad
                else []
            ),
            Table(("test", "seconds"), tuple((c.name, round(c.seconds, 3)) for c in slowest), "Slowest"),
        ),
        evidence=(Evidence("junit.xml", content), completed.evidence("tests.log")),
    )


@check("{release}'s back-end tests cover enough lines")
def coverage(env: Environment, release: Release, tests: Observation[Ran]) -> Finding:
    """4.3: at least ``application.backend.minimum_coverage`` per cent of the application's lines, its tests left out.

    Raises
    ------
    Unanswerable
        The tests did not run to their end, or coverage wrote no report.
    """
    seen = tests.for_item("4.3")
    completed = seen.completed
    try:
        covered = lines(json.loads(seen.coverage or b""))
    except (ValueError, KeyError) as error:
        raise Unanswerable(
            f"no coverage report, pytest ended with {completed.returncode}: {completed.tail(3)}",
            remedy="is pytest-cov among the release's requirements? Run the checklist's command by hand",
        ) from error
    if completed.returncode not in {0, 1}:
        raise Unanswerable(
            f"pytest ended with {completed.returncode}: what was covered until then says nothing",
            remedy="see the tests' output",
        )
    return _coverage_finding(env, covered, completed, seen.html)


@dataclass(frozen=True)
class Lines:
    """How many statements a file has, and how many of them the tests ran."""

    file: str
    covered: int
    total: int

    @property
    def percent(self) -> float:
        """Per cent covered; a file without statements is covered."""
        return 100.0 * self.covered / self.total if self.total else 100.0


def lines(report: dict[str, Any]) -> tuple[Lines, ...]:
    """The application's files in coverage.py's JSON report, its tests left out. Raises KeyError where it is none."""
    return tuple(
        Lines(name, entry["summary"]["covered_lines"], entry["summary"]["num_statements"])
        for name, entry in report["files"].items()
        if not _is_test(PurePosixPath(name.replace("\\", "/")))
    )


def _is_test(path: PurePosixPath) -> bool:
    return "tests" in path.parts[:-1] or path.name == "conftest.py" or path.name.startswith("test_")


def _coverage_finding(env: Environment, files: tuple[Lines, ...], completed: Completed, html: bytes) -> Finding:
    packages: dict[str, list[Lines]] = defaultdict(list)
    for entry in files:
        packages[str(PurePosixPath(entry.file).parent)].append(entry)
    by_package = [_sum(name, entries) for name, entries in sorted(packages.items())]
    total = _sum("all", files)
    worst = sorted(files, key=lambda entry: entry.percent)[:WORST]
    minimum = env.application.backend.minimum_coverage
    columns = ("lines covered", "lines", "per cent")
    return Finding(
        ok=completed.ok and total.total > 0 and total.percent >= minimum,
        observed={
            "lines covered, per cent": round(total.percent, 2),
            "lines": total.total,
            "tests passed": completed.ok,
        },
        expected={"lines covered, per cent, at least": minimum, "tests passed": True},
        remedy="write tests for the files below; where tests fail, item 4.1 names them",
        tables=(
            Table(("package", *columns), tuple(_row(entry) for entry in by_package), "By package"),
            Table(("file", *columns), tuple(_row(entry) for entry in worst), "Least covered files"),
        ),
        evidence=(Evidence("coverage-html.zip", html), completed.evidence("coverage.log")),
    )


def _sum(name: str, entries: list[Lines] | tuple[Lines, ...]) -> Lines:
    return Lines(name, sum(entry.covered for entry in entries), sum(entry.total for entry in entries))


def _row(entry: Lines) -> tuple[str, int, int, float]:
    return entry.file, entry.covered, entry.total, round(entry.percent, 1)


def _zipped(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return content.getvalue()


def _pytest(env: Environment, release: Release, *options: str, data: Path) -> Completed:
    """Run the back end's suite by the release's interpreter; its reports and data stay out of the checkout.

    The environment's settings are kept from it: tests have no business with the live database.
    """
    return command.run(
        [interpreter(env, release), *env.application.backend.test, "-p", "no:cacheprovider", *options],
        cwd=backend_folder(env, release),
        env={"COVERAGE_FILE": str(data)},
        timeout=env.limits.tests,
    )
