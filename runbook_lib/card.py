"""How results look in a notebook. Whatever a target sent is text: escaped wherever it is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from runbook_lib.record.result import MIME, ItemResult, StepResult
from runbook_lib.step import Status

ICONS: Mapping[str, str] = {
    Status.PASSED: "✔",
    Status.FAILED: "✘",
    Status.ERROR: "⚠",
    Status.SKIPPED: "↷",
    Status.PENDING: "◷",
    Status.WAIVED: "✎",
    Status.PLANNED: "☐",
    "running": "▶",
}
# White upon each of them has a contrast above 4.5 to 1 (WCAG 2.2, 1.4.3), whatever theme surrounds it.
_COLOURS: Mapping[str, str] = {
    Status.PASSED: "#1a7f37",
    Status.FAILED: "#cf222e",
    Status.ERROR: "#bc4c00",
    Status.SKIPPED: "#6e7781",
    Status.PENDING: "#9a6700",
    Status.WAIVED: "#8250df",
    Status.PLANNED: "#0969da",
    "running": "#0969da",
}
ROWS_SHOWN = 25
CHARACTERS_SHOWN = 2000


def bundle(result: ItemResult) -> dict[str, Any]:
    """The finished item as a MIME bundle: structured, as HTML and as text."""
    return {MIME: result.data(), "text/html": _item_html(result), "text/plain": _item_text(result)}


def running(item: str, text: str, message: str) -> dict[str, Any]:
    """The item while it runs, with the latest lines of its progress."""
    head = _head("running", f"{item} {text}", 0.0)
    return {
        MIME: {"id": item, "text": text, "status": "running", "message": message},
        "text/html": _frame(
            "running",
            f"{head}<pre style='margin:.3em 0;white-space:pre-wrap;overflow-wrap:anywhere'>{escape(message)}</pre>",
        ),
        "text/plain": f"… {item} {text} {message}",
    }


def gate(title: str, passed: bool, sentence: str) -> dict[str, Any]:
    """The verdict at a phase's end."""
    status = Status.PASSED if passed else Status.FAILED
    head = _head(status, f"Gate of {title}", 0.0)
    return {
        MIME: {"gate": title, "passed": passed, "sentence": sentence},
        "text/html": _frame(status, f"{head}<div>{escape(sentence)}</div>"),
        "text/plain": f"{ICONS[status]} gate of {title} {status}: {sentence}",
    }


def _item_html(result: ItemResult) -> str:
    head = _head(result.status, f"{result.id} {result.text}", sum(step.seconds for step in result.steps))
    waiver = f"<div>{escape(str(result.waiver))}</div>" if result.waiver else ""
    return _frame(result.status, head + waiver + "".join(_step_html(step) for step in result.steps))


def _frame(status: str, body: str) -> str:
    return (
        f"<div style='border-left:4px solid {_COLOURS[status]};padding:.3em .8em;margin:.3em 0;"
        f"font-family:system-ui,sans-serif'>{body}</div>"
    )


def _head(status: str, title: str, seconds: float) -> str:
    took = f" <small>{seconds:.1f} s</small>" if seconds else ""
    return f"<div>{_badge(status)} <b>{escape(title)}</b>{took}</div>"


def _badge(status: str) -> str:
    """The status by colour, icon and word, on a ground of its own."""
    style = f"background:{_COLOURS[status]};color:#fff;padding:0 .5em;border-radius:3px"
    return f"<b style='{style}'>{ICONS[status]} {status}</b>"


def _step_html(step: StepResult) -> str:
    lines = [
        f"<div style='margin-top:.4em'>{ICONS[step.status]} {step.status}: {escape(step.title)} "
        f"<small>{escape(step.kind)}, {step.seconds:.2f} s</small></div>"
    ]
    if step.reason:
        lines.append(_row("reason", step.reason))
    if not step.reason or step.observed is not None:
        lines.append(_row("observed", step.observed) + _row("expected", step.expected))
    if step.note:
        lines.append(_row("note", step.note))
    if step.remedy and step.status not in (Status.PASSED, Status.SKIPPED):
        lines.append(_row("do next", step.remedy))
    lines += [_table(table) for table in step.tables]
    if step.evidence:
        kept = "".join(
            f"<li><a href='{quote(file.path)}'>{escape(file.path)}</a> "
            f"<small>{file.size:,} bytes, SHA-256 {file.sha256[:16]}…</small></li>"
            for file in step.evidence
        )
        lines.append(f"<details><summary>evidence ({len(step.evidence)})</summary><ul>{kept}</ul></details>")
    return "".join(lines)


def _row(label: str, value: Any) -> str:
    return (
        f"<div style='display:flex;gap:.6em'><small style='min-width:5em;opacity:.75'>{label}</small>"
        f"<code style='white-space:pre-wrap;overflow-wrap:anywhere'>{escape(shorten(value))}</code></div>"
    )


def _table(table: Mapping[str, Any]) -> str:
    rows: Sequence[Sequence[Any]] = table["rows"]
    head = "".join(f"<th scope='col'>{escape(str(column))}</th>" for column in table["columns"])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>" for row in rows[:ROWS_SHOWN]
    )
    more = f"<small>and {len(rows) - ROWS_SHOWN} more rows in the record</small>" if len(rows) > ROWS_SHOWN else ""
    caption = f"<caption style='text-align:left'>{escape(table['title'])}</caption>" if table["title"] else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def shorten(value: Any) -> str:
    """A value as text, long ones by their head and tail."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= CHARACTERS_SHOWN:
        return text
    half = CHARACTERS_SHOWN // 2
    return f"{text[:half]}\n… {len(text) - CHARACTERS_SHOWN:,} characters more …\n{text[-half:]}"


def _item_text(result: ItemResult) -> str:
    lines = [f"{ICONS[result.status]} {result.status} {result.id} {result.text}"]
    lines += [f"  {result.waiver}"] if result.waiver else []
    for step in result.steps:
        lines.append(f"  {step.status}: {step.title}")
        lines += [f"    {step.reason}"] if step.reason else []
        if not step.reason or step.observed is not None:
            lines.append(f"    observed {shorten(step.observed)}; expected {shorten(step.expected)}")
        lines += [f"    {step.note}"] if step.note else []
        if step.remedy and step.status not in (Status.PASSED, Status.SKIPPED):
            lines.append(f"    do next: {step.remedy}")
    return "\n".join(lines)
