from __future__ import annotations

from xml.etree import ElementTree

import pytest

from runbook_lib import not_built
from runbook_lib.record.summary import summarize
from runbook_lib.review import junit
from runbook_lib.step import Finding, check

from ..record.conftest import broken, numbered, roles  # noqa: F401
from ..test_runner import NEXT, SOUND, run


def read(summary) -> ElementTree.Element:
    return ElementTree.fromstring(junit.report(summary))


@check("Says {text}")
def says(text: str) -> Finding:
    return Finding(False, text, "something else")


@pytest.mark.parametrize(
    ("step", "totals", "element"),
    [
        (None, {"tests": "2", "failures": "0", "errors": "0", "skipped": "0"}, None),
        (broken(), {"tests": "2", "failures": "1", "errors": "0", "skipped": "0"}, "failure"),
        (not_built("later"), {"tests": "2", "failures": "0", "errors": "0", "skipped": "1"}, "skipped"),
    ],
    ids=["passed", "failed", "pending"],
)
def test_each_item_is_a_case(roles, step, totals, element):  # noqa: F811
    found = read(summarize(roles.ran(steps={"3.2": step} if step else None)))
    assert {name: found.get(name) for name in totals} == totals
    (suite,) = found
    assert suite.get("name") == "3 Database setup"
    case = suite.find("testcase[@name='3.2 Verify Database Connection']")
    assert case.get("classname") == "03_database_setup"
    assert [child.tag for child in case] == ([element] if element else [])


def test_a_failure_says_what_was_seen_and_what_to_do(roles):  # noqa: F811
    found = read(summarize(roles.ran(steps={"3.2": broken()})))
    assert found.find(".//failure").get("message") == "Is broken: observed broken, expected sound; do next: mend it"


def test_what_xml_cannot_hold_is_shown_by_its_code(roles):  # noqa: F811
    found = read(summarize(roles.ran(steps={"3.2": says("<b>\x1b[31m\0 & ]]>")})))
    assert "<b>\\x1b[31m\\x00 & ]]>" in found.find(".//failure").get("message")


def test_a_phase_that_broke_off_is_an_error_and_every_run_writes_its_report(mini):
    _, opened = run(mini, {2: [SOUND[2][0], "import os; os.kill(os.getpid(), 9)"]} | NEXT)
    found = ElementTree.parse(opened.folder / junit.NAME).getroot()
    assert found.get("errors") == "1"
    assert found.find(".//error").get("message") == "kernel died: the kernel died before the notebook's end"


def test_a_gate_that_failed_without_an_item_is_an_error(mini):
    _, opened = run(mini, {2: [SOUND[2][0], "phase.gate()"]})
    found = ElementTree.parse(opened.folder / junit.NAME).getroot()
    assert found.get("errors") == "1"
    assert "2.2" in found.find(".//error").get("message")


def test_a_run_that_was_interrupted_between_two_phases_is_no_green_report(mini):
    _, opened = run(mini, SOUND | NEXT)
    opened.events.append("run closed", outcome="interrupted")
    found = read(summarize(opened))
    assert (found.get("errors"), found.get("failures")) == ("1", "0")
    assert found.find(".//error").get("message") == "interrupted"
