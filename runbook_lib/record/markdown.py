"""Documents of the record, written as Markdown and shown as HTML; what a target sent is text in both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

_MEANINGFUL: Final = frozenset("\\`*[]<>|&")
"""Within a line. No more than these are escaped, so that a secret keeps the form by which it is masked."""
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Runbook</title>
<style>body{font-family:system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:.2em .6em;text-align:left;vertical-align:top}
pre{background:#f6f8fa;padding:.6em;overflow-x:auto}</style></head>
<body>
"""


def text(value: object) -> str:
    """`value` as one line in which nothing means anything to Markdown or HTML."""
    return "".join(f"\\{one}" if one in _MEANINGFUL else one for one in " ".join(str(value).split()))


def block(content: str) -> str:
    """`content` as a block of its own, which nothing in it can end."""
    fence = "```"
    while fence in content:
        fence += "`"
    return f"{fence}\n{content}\n{fence}\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(text(column) for column in columns)} |"
    yield f"|{' --- |' * len(columns)}"
    yield from (f"| {' | '.join(text(value) for value in row)} |" for row in rows)


def as_html(document: str) -> str:
    """A page of its own; HTML that stands in `document` is shown as text."""
    from markdown_it import MarkdownIt

    body: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(document)
    return f"{_PAGE}{body}</body>\n</html>\n"
