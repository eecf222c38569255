import sys
import zipfile
from io import BytesIO
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import suite
from runbook_lib.environment import Backend, Frontend
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release

SOUND = """
import code_under_test as code
import pytest

@pytest.mark.parametrize("number", range(3))
def test_it(number):
    assert code.twice(number) == 2 * number
"""
CODE = "def twice(number):\n    return 2 * number\n"
UNTESTED = "def thrice(number):\n    if number:\n        number += 1\n    print(number)\n    return 3 * number\n"


@pytest.fixture
def project(env, tmp_path, monkeypatch):
    """An environment that wants three tests, and a release whose back end consists of the given files."""

    def make(**files):
        backend = tmp_path / "backend"
        for name, text in {"tests/test_it": SOUND, "code_under_test": CODE, **files}.items():
            path = backend / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        # Our own plugins take longer to load than these tests take to run.
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        declared = Backend(test=("-m", "pytest", "-v", "-p", "pytest_cov"), minimum_passed=3)
        # Our own environment has what a release's must have: pytest and pytest-cov.
        (backend / ".venv").symlink_to(sys.prefix)
        application = env.application.model_copy(update={"backend": declared})
        return env.model_copy(update={"application": application}), Release("v1", "0" * 40, tmp_path)

    return make


def judged(check, env, release):
    return check(env, release, suite.ran(env, release)).run()


def test_a_release_without_pytest_cov_has_tests_and_no_coverage(project):
    env, release = project()
    bare = env.application.backend.model_copy(update={"test": ("-m", "pytest", "-v")})
    env = env.model_copy(update={"application": env.application.model_copy(update={"backend": bare})})
    tests = suite.ran(env, release)
    assert suite.backend(env, release, tests).run().ok
    with pytest.raises(Unanswerable, match="no coverage report"):
        suite.coverage(env, release, tests).run()


def test_a_sound_suite(project):
    env, release = project()
    finding = judged(suite.backend, env, release)
    assert finding.ok
    assert finding.observed == {"passed": 3, "failed": 0, "error": 0, "skipped": 0}
    assert len(finding.tables[0].rows) == 3
    assert {path.name for path in release.folder.rglob("*")} >= {"code_under_test.py"}
    assert not [*release.folder.glob("backend/.coverage"), *release.folder.glob("backend/.pytest_cache")]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("def test_more(): assert 1 == 2", "failed"),
        ("import missing_module", "error"),
        ("import pytest\n@pytest.fixture\ndef f(): raise OSError\ndef test_more(f): pass", "error"),
    ],
)
def test_a_failing_test(project, text, outcome):
    finding = judged(suite.backend, *project(**{"tests/test_more": text}))
    assert not finding.ok
    assert finding.observed[outcome] == 1
    assert "test_more" in finding.tables[0].rows[0][0]


def test_too_few_tests(project):
    skipped = "import pytest\n@pytest.mark.skip\ndef test_it(): pass\ndef test_two(): pass\n"
    finding = judged(suite.backend, *project(**{"tests/test_it": skipped}))
    assert not finding.ok
    assert finding.observed == {"passed": 1, "failed": 0, "error": 0, "skipped": 1}


def test_no_test_collected(project):
    finding = judged(suite.backend, *project(**{"tests/test_it": ""}))
    assert not finding.ok
    assert finding.observed["passed"] == 0


@pytest.mark.parametrize(
    "conftest",
    ["import os; os._exit(3)", "import os\ndef pytest_runtest_setup(): os._exit(0)", "raise OSError"],
    ids=["crash", "no report", "conftest"],
)
def test_a_suite_that_does_not_report(project, conftest):
    with pytest.raises(Unanswerable, match="wrote no report"):
        judged(suite.backend, *project(**{"tests/conftest": conftest}))


def test_an_exit_code_that_the_report_does_not_explain(project):
    with pytest.raises(Unanswerable, match="ended with 7, yet"):
        judged(
            suite.backend, *project(**{"tests/conftest": "def pytest_sessionfinish(session): session.exitstatus = 7"})
        )


def test_a_suite_that_takes_too_long(project):
    env, release = project(**{"tests/test_it": "import time\ndef test_it(): time.sleep(60)"})
    limited = env.model_copy(update={"limits": env.limits.model_copy(update={"tests": 1.5})})
    with pytest.raises(Unanswerable, match="did not end within"):
        judged(suite.backend, limited, release)


def test_enough_lines_are_covered(project):
    env, release = project()
    finding = judged(suite.coverage, env, release)
    assert finding.ok
    assert finding.observed == {"lines covered, per cent": 100.0, "lines": 2, "tests passed": True}
    assert finding.tables[0].rows == ((".", 2, 2, 100.0),)
    assert finding.tables[1].rows == (("code_under_test.py", 2, 2, 100.0),)
    with zipfile.ZipFile(BytesIO(finding.evidence[0].content)) as html:
        assert "index.html" in html.namelist()
    assert not (release.folder / "backend" / ".coverage").exists()


def test_too_few_lines_are_covered(project):
    finding = judged(suite.coverage, *project(untested=UNTESTED))
    assert not finding.ok
    assert finding.tables[1].rows[0] == ("untested.py", 0, 5, 0.0)


def test_coverage_of_a_failing_suite_does_not_count(project):
    assert not judged(suite.coverage, *project(**{"tests/test_more": "def test_more(): assert False"})).ok


def test_no_coverage_report(project):
    with pytest.raises(Unanswerable, match="no coverage report"):
        judged(suite.coverage, *project(**{"tests/conftest": "import os; os._exit(3)"}))


WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2]); sys.exit(int(sys.argv[3]))"


@pytest.fixture
def page(env, tmp_path):
    """An environment whose front-end tests write the given report and exit with the given code."""
    (tmp_path / "frontend").mkdir()

    def make(report, code=0):
        declared = Frontend(test=(sys.executable, "-c", WRITE, "{report}", report, str(code)))
        application = env.application.model_copy(update={"frontend": declared})
        return env.model_copy(update={"application": application}), Release("v1", "0" * 40, tmp_path)

    return make


PASSED = '<testsuites><testsuite><testcase classname="page" name="opens" time="0.1"/>{}</testsuite></testsuites>'


def test_a_sound_page(page):
    finding = suite.frontend(*page(PASSED.format(""))).run()
    assert finding.ok
    assert finding.observed["passed"] == 1


def test_a_failing_page(page):
    report = PASSED.format('<testcase name="scans"><failure message="no camera">at line 1</failure></testcase>')
    finding = suite.frontend(*page(report, code=1)).run()
    assert not finding.ok
    assert finding.tables[0].rows == (("scans", "failed", "no camera"),)


def test_a_page_without_tests(page):
    assert not suite.frontend(*page("<testsuites/>")).run().ok


@pytest.mark.parametrize(
    "report", ["", "no XML", "<html/>", "<testsuites>", '<!DOCTYPE x [<!ENTITY a "b">]><testsuites>&a;</testsuites>']
)
def test_a_report_that_is_none(page, report):
    with pytest.raises(Unanswerable, match="cannot be read"):
        suite.frontend(*page(report)).run()


def test_a_page_that_fails_outside_its_tests(page):
    with pytest.raises(Unanswerable, match="names no failure"):
        suite.frontend(*page(PASSED.format(""), code=1)).run()


def test_no_front_end(project):
    env, release = project()
    without = env.model_copy(update={"application": env.application.model_copy(update={"frontend": None})})
    with pytest.raises(NotApplicable):
        suite.frontend(without, release).run()


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\x7f"), max_size=20)
CASES = st.tuples(TEXT, st.sampled_from(["passed", "failed", "error", "skipped"]), st.integers(0, 10**4))
TAGS = {"passed": "", "failed": "<failure/>", "error": "<error/>", "skipped": "<skipped/>"}


@given(st.lists(CASES, max_size=5))
def test_every_case_is_read(rows):
    report = "".join(
        f"<testcase name={quoteattr(name)} time='{millis / 1000}'>{TAGS[outcome]}</testcase>"
        for name, outcome, millis in rows
    )
    found = suite.cases(f"<testsuites><testsuite>{report}</testsuite></testsuites>".encode())
    assert [(case.name, case.outcome, case.seconds) for case in found] == [
        (name, outcome, millis / 1000) for name, outcome, millis in rows
    ]


@given(st.binary(max_size=60))
def test_no_report_breaks_the_parser(content):
    try:
        suite.cases(content)
    except ValueError:
        pass


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=5))
def test_lines_of_tests_do_not_count(sizes):
    files = {
        f"{folder}/module{number}.py": {"summary": {"covered_lines": min(size), "num_statements": max(size)}}
        for number, size in enumerate(sizes)
        for folder in ("api", "api/tests", "tests")
    }
    found = suite.lines({"files": files})
    assert [(entry.covered, entry.total) for entry in found] == [(min(size), max(size)) for size in sizes]
    assert all(0 <= entry.percent <= 100 for entry in found)
