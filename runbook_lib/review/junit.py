"""A run as JUnit XML, which continuous integration shows: a suite for each phase, a case for each item.

Source of the form: https://github.com/testmoapp/junitxml (the elements that GitLab, Jenkins and GitHub's actions read).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from runbook_lib.checklist import Phase
from runbook_lib.record.archive import Run, write_atomically
from runbook_lib.record.summary import RunSummary, of_phase, summarize
from runbook_lib.step import Status

NAME = "junit.xml"
BROKEN_OFF = ("interrupted", "broken", "open")
"""Outcomes of a run that did not come to its end."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any form (section 2.2)."""


def write(run: Run) -> Path:
    """Write the run's report beside its record; it is derived and may be deleted."""
    path = run.folder / NAME
    write_atomically(path, report(summarize(run)))
    return path


def report(summary: RunSummary) -> bytes:
    """The report.

    Failed items are failures and those in error are errors; what is skipped, waived, pending or planned is skipped,
    with the reason, for it neither passed nor failed. A phase that broke off, or whose gate failed for another
    reason than an item's, as one that never ran, has an error of its own.
    """
    suites = ElementTree.Element("testsuites", name=_text(f"{summary.run} {summary.opened.get('release', '')}"))
    for phase in summary.phases:
        suite = ElementTree.SubElement(suites, "testsuite", name=f"{phase.phase.number} {phase.phase.title}")
        suite.set("time", f"{phase.seconds:.3f}")
        for item in of_phase(phase.phase, summary.items):
            _case(suite, phase.phase, item)
        told = suite.find("testcase/failure") is not None or suite.find("testcase/error") is not None
        if phase.outcome != "passed" and not (phase.outcome == "failed" and told):
            broken = ElementTree.SubElement(suite, "testcase", name=phase.phase.notebook, classname=phase.phase.name)
            ElementTree.SubElement(broken, "error", message=_text(f"{phase.outcome}: {phase.reason}"))
        _count(suite)
    if summary.outcome in BROKEN_OFF and suites.find("testsuite/testcase/error") is None:
        _broken_off(suites, summary)
    _count(suites)
    ElementTree.indent(suites)
    content: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _broken_off(suites: ElementTree.Element, summary: RunSummary) -> None:
    """Between two phases, so that none of them tells of it."""
    began = {phase.phase.number for phase in summary.phases}
    left = [str(number) for number in summary.opened["parameters"].get("phases", ()) if number not in began]
    suite = ElementTree.SubElement(suites, "testsuite", name="run")
    case = ElementTree.SubElement(suite, "testcase", name=_text(str(summary.run)), classname="run")
    never = f"; phases that never began: {', '.join(left)}" if left else ""
    ElementTree.SubElement(case, "error", message=_text(f"{summary.outcome}{never}"))
    _count(suite)


def _case(suite: ElementTree.Element, phase: Phase, item: Mapping[str, Any]) -> None:
    seconds = sum(step["seconds"] for step in item["steps"])
    case = ElementTree.SubElement(suite, "testcase", name=_text(f"{item['id']} {item['text']}"), classname=phase.name)
    case.set("time", f"{seconds:.3f}")
    status, said = Status(item["status"]), [_said(step) for step in item["steps"]]
    match status:
        case Status.PASSED:
            return
        case Status.FAILED | Status.ERROR:
            worst = next((step for step in item["steps"] if step["status"] == status), item["steps"][-1])
            element = ElementTree.SubElement(case, "failure" if status is Status.FAILED else "error")
            element.set("message", _text(_said(worst)))
            element.text = _text("\n".join(said))
        case _:
            ElementTree.SubElement(case, "skipped", message=_text("; ".join([str(status), *said])))


def _said(step: Mapping[str, Any]) -> str:
    seen = step["reason"] or f"observed {step['observed']}, expected {step['expected']}"
    next_step = f"; do next: {step['remedy']}" if step["remedy"] else ""
    return f"{step['title']}: {seen}{next_step}"


def _count(element: ElementTree.Element) -> None:
    """Write the totals of all cases below an element."""
    counted = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for name, tag in counted.items():
        element.set(name, str(len(element.findall(f".//{tag}"))))


def _text(text: str) -> str:
    """`text` without what XML cannot hold, each such character by its code."""
    return _NOT_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
