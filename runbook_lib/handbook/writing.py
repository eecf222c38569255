"""How a page of the handbook is written: into the record, and into the team's folder where one is declared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from runbook_lib import pages
from runbook_lib.checks import documents
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.home import home
from runbook_lib.pages import Page, Section
from runbook_lib.record.archive import write_atomically
from runbook_lib.record.masking import Mask
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table

SHOWN_ROWS = 20


def publish(env: Environment, page: Page) -> Finding:
    """The finding that carries `page` as Markdown and HTML, which are also put into ``documentation.folder``.

    Raises
    ------
    Unanswerable
        The folder may not be written to.
    """
    mask = Mask(home().root).learn(env.secrets())
    page = pages.masked(page, mask)
    files = {f"{page.name}.md": pages.markdown(page), f"{page.name}.html": pages.html(page)}
    folder = env.documentation.folder
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                write_atomically(folder / name, text.encode())
        except OSError as error:
            raise Unanswerable(
                f"{folder} cannot be written to: {error.strerror}", remedy="correct documentation.folder or its mode"
            ) from error
    tables = tuple(section.table for section in page.sections if section.table is not None)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    return Finding(
        ok=True,
        observed={"pages": list(files), "written to": "the record" if folder is None else f"the record and {folder}"},
        expected="Markdown and HTML",
        # A long page is read in its own file, and need not stand in the notebook and in the events as well.
        tables=tables if sum(len(table.rows) for table in tables) <= SHOWN_ROWS else (),
        evidence=tuple(Evidence(name, text) for name, text in files.items()),
        facts={documents.fact(page.name): digests},
    )


def unsaid(env: Environment, release: Release, topics: Mapping[str, Sequence[str]]) -> Section:
    """What the project's own documents lack of `topics`, each known by any of its words."""
    texts = documents.project_documents(env, release)
    missing = documents.lacking(texts, topics)
    read = ", ".join(texts) or f"none of {', '.join(env.documentation.project)}"
    said = "They lack the following." if missing else "They say something of each of this page's topics."
    rows = tuple((topic,) for topic in missing)
    return Section(
        "What the project's own documents do not say",
        (f"Read, as they are in {release}: {read}. {said}",),
        Table(("topic",), rows, "Lacking in the project's own documents") if rows else None,
    )


def values(pairs: Mapping[str, Any], columns: tuple[str, str] = ("what", "value"), title: str = "") -> Table:
    """A table of two columns, without what is not declared."""
    return Table(columns, tuple((name, value) for name, value in pairs.items() if value not in (None, "")), title)
