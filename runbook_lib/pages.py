"""Pages for people, as Markdown and as HTML that needs nothing else: no script, no address but its links."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from runbook_lib.record.masking import Mask
from runbook_lib.step import Table

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class Section:
    """A part of a page: sentences, then a table, then commands for a shell."""

    title: str
    text: Sequence[str] = ()
    table: Table | None = None
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """A page: `name` is that of its files, without a suffix; `text` stands before the first section."""

    name: str
    title: str
    text: Sequence[str]
    sections: Sequence[Section]


def masked(page: Page, mask: Mask) -> Page:
    """The page with every secret masked: before it is rendered, for rendering escapes."""
    return replace(
        page,
        title=mask.text(page.title),
        text=mask.value(list(page.text)),
        sections=[_masked(section, mask) for section in page.sections],
    )


def _masked(section: Section, mask: Mask) -> Section:
    table = section.table
    return replace(
        section,
        title=mask.text(section.title),
        text=mask.value(list(section.text)),
        commands=mask.value(list(section.commands)),
        table=table and replace(table, rows=tuple(map(tuple, mask.value(list(table.rows))))),
    )


def markdown(page: Page) -> str:
    """The page as Markdown (CommonMark, with GitHub's tables); whatever it was given is text, never markup."""
    return _templates().get_template("page.md").render(page=page)


def html(page: Page) -> str:
    """The page as one HTML file; whatever it was given is text, never markup."""
    return _templates().get_template("page.html").render(page=page)


def standalone(name: str, **given: Any) -> str:
    """A page for reviewing: its template `name` given what it shows, with its style and script inline.

    Its Content-Security-Policy lets nothing else run, and nothing be asked for from anywhere.
    """
    style = _part("standalone.css") + _part(f"{name}.css")
    return _templates().get_template(f"{name}.html").render(style=style, script=_part(f"{name}.js"), **given)


def _part(name: str) -> str:
    return resources.files("runbook_lib").joinpath("templates", name).read_text()


def csp(text: str) -> str:
    """As a Content-Security-Policy names what may stand inline (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _templates() -> jinja2.Environment:
    """Where every page is made: what is put into HTML is escaped, and a name that is not given is an error."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("runbook_lib"),
        autoescape=jinja2.select_autoescape(("html",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"plain": plain, "fence": fence, "cell": cell, "csp": csp}
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    templates.tests["address"] = is_address
    return templates


def cell(value: Any) -> str:
    """A value in a table; nothing where there is none."""
    return "" if value is None else str(value)


def is_address(value: Any) -> bool:
    """Whether a cell is an address that may be followed: the web's alone, so that no script hides in one."""
    return isinstance(value, str) and re.fullmatch(r"https?://[^\s<>\"]+", value) is not None


def plain(value: Any) -> str:
    """`value` on one line of Markdown, with all that Markdown would read as markup escaped."""
    line = " ".join(cell(value).split())
    escaped = re.sub(r"([\\`*_{}\[\]|~#!])", r"\\\1", line)
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"^([-+=]|\d+[.)])", r"\\\1", escaped) if re.match(r"[-+=]", escaped) else escaped


def fence(lines: Sequence[str]) -> str:
    """The backticks that enclose `lines`: more than any line has in a row."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    return "`" * max(3, longest + 1)
