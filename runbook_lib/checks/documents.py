"""Documents: whether links answer, what the API and the project say of themselves, whether the handbook is sound."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any, Final

from runbook_lib import command
from runbook_lib.checks import links, openapi
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.record.masking import Mask
from runbook_lib.release import Release
from runbook_lib.step import Finding, check, progress

LARGEST: Final = 1_000_000
"""Characters of a project's document that are read."""


def own_addresses(env: Environment) -> dict[str, str]:
    """The service's own addresses, by what they are."""
    return {
        "Front page": env.web.url,
        "API documentation": env.web.address(env.web.docs_path),
        "OpenAPI document": env.web.address(env.web.openapi_path),
        **{f"Health ({request.title})": env.web.address(request.path) for request in env.web.health},
    }


@check("Every address of {env} and every declared document answers")
def links_answer(env: Environment, release: Release) -> Finding:
    """13.1.1: the service's own addresses and ``documentation.links`` are followed, redirects too.

    Raises
    ------
    Unanswerable
        One did not answer in time, or its name does not resolve, and none has failed.
    """
    visits = []
    for name, address in (own_addresses(env) | env.documentation.links).items():
        progress(f"{name}: {address}")
        visits.append(links.look_up(env, release, links.Link(name, address), accepted=links.LOGIN))
    return links.judge(
        visits,
        expected="each answers with 200 to 299, or 401 where it asks for a password; each file is in the release",
        remedy="correct the link in the TOML, or what it leads to",
    )


@check("Every endpoint that {env} relies on is in the OpenAPI document")
def endpoints_documented(env: Environment) -> Finding:
    """13.1.2: those of ``api``, ``features`` and ``web.health``, but for the metrics, which are no part of the API.

    Raises
    ------
    Unanswerable
        The OpenAPI document cannot be had.
    """
    documented = {(method, path) for method, path, *_ in openapi.operations(openapi.document(env))}
    requests = (env.api.accepted, env.api.refused, env.api.providers, *env.features, *env.web.health)
    used = {(request.method, request.path.partition("?")[0]) for request in requests} - {("GET", env.web.metrics_path)}
    missing = sorted(
        f"{method} {path}" for method, path in used if not any(_same(method, path, each) for each in documented)
    )
    return Finding(
        ok=not missing,
        observed={"documented": len(documented), "relied on": len(used), "not documented": missing},
        expected="none that is not documented",
        remedy="document the endpoint in the application, or correct the request in the TOML",
    )


def _same(method: str, path: str, documented: tuple[str, str]) -> bool:
    """Whether a request is to the documented operation, whose path may have parameters in braces."""
    if method != documented[0]:
        return False
    parts, wanted = path.split("/"), documented[1].split("/")
    return len(parts) == len(wanted) and all(
        part == name or (name.startswith("{") and name.endswith("}") and part)
        for part, name in zip(parts, wanted, strict=True)
    )


def project_documents(env: Environment, release: Release) -> dict[str, str]:
    """The release's own documents by path: what ``documentation.project`` names, Markdown and text of its folders.

    Raises
    ------
    Unanswerable
        git does not list or show them.
    """
    listed = _git(env, "ls-tree", "-r", "-z", "--name-only", release.commit, "--", *env.documentation.project)
    if not listed.ok:
        raise Unanswerable(f"git does not list {release}'s documents: {listed.tail(1)}", remedy="check the repository")
    found = {}
    for path in listed.output.split("\0"):
        if path.endswith((".md", ".rst", ".txt", ".adoc")):
            shown = _git(env, "show", f"{release.commit}:{path}")
            if not shown.ok:
                raise Unanswerable(f"git does not show {path}: {shown.tail(1)}", remedy="check the repository")
            found[path] = shown.output[:LARGEST]
    return found


def lacking(texts: Mapping[str, str], topics: Mapping[str, Sequence[str]]) -> list[str]:
    """The topics of which no text has any of the words."""
    together = "\n".join(texts.values()).casefold()
    return [topic for topic, words in topics.items() if not any(word.casefold() in together for word in words)]


def _git(env: Environment, *arguments: str) -> command.Completed:
    return command.run(["git", "-C", env.application.repository, *arguments], timeout=60.0)


class _Parts(HTMLParser):
    """What a page consists of: its title, and whatever it would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.foreign: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_title = tag == "title"
        if tag in ("script", "link", "img", "iframe", "object", "embed", "form", "base"):
            self.foreign.append(f"<{tag}>")
        self.foreign += [f"{name}=" for name, _ in attrs if name.startswith("on") or name in ("src", "srcset", "style")]
        self.foreign += [
            str(value) for name, value in attrs if name == "href" and not str(value).startswith(("http://", "https://"))
        ]

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False


@check("The handbook's page '{name}' lies where the team looks for it")
def page(env: Environment, name: str, facts: Mapping[str, Any]) -> Finding:
    """Read back from ``documentation.folder``: as it was written, self-contained, and without a secret.

    Raises
    ------
    NotApplicable
        No folder is declared: the page is in the record alone.
    Unanswerable
        This run has written no such page.
    """
    folder = env.documentation.folder
    if folder is None:
        raise NotApplicable(f"{env.name}.toml declares no documentation.folder: the page is in the record alone")
    digests = facts.get(fact(name))
    if digests is None:
        raise Unanswerable(f"this run has written no page '{name}'", remedy="run the action of this item")
    secrets = Mask().learn(env.secrets())
    problems = []
    for file, digest in digests.items():
        path = folder / file
        if not path.is_file():
            problems.append(f"{path} is missing")
            continue
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            problems.append(f"{path} is not as it was written")
        text = content.decode(errors="replace")
        problems += [f"{path} holds the value of {secret}" for secret in secrets.found(text)]
        if path.suffix == ".html":
            problems += _html_faults(text)
    return Finding(
        ok=not problems,
        observed=problems or {"folder": str(folder), "files": list(digests)},
        expected="Markdown and HTML as they were written, with nothing to load and no secret in them",
        remedy="run the action of this item; keep the handbook's pages from being changed by hand",
    )


def _html_faults(text: str) -> list[str]:
    parts = _Parts()
    parts.feed(text)
    parts.close()
    return [
        *([] if parts.title.strip() else ["the HTML has no title"]),
        *(f"the HTML has {one}" for one in parts.foreign),
    ]


def fact(name: str) -> str:
    """The name under which a page's digests are kept, by file."""
    return f"handbook.{name}"
