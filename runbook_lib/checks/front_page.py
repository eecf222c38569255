"""The page that users open first, and all that it loads."""

from __future__ import annotations

from typing import Final

from runbook_lib.checks import browser, http
from runbook_lib.environment import Environment, Request
from runbook_lib.step import Finding, check

LOADED_LINKS: Final = frozenset({"stylesheet", "icon", "apple-touch-icon", "manifest", "modulepreload", "preload"})
"""What a browser loads of a page's <link>s; others, such as canonical, name pages."""


@check("The front page of {env} loads with its assets")
def loads(env: Environment) -> Finding:
    """S.3: the page is HTML over https, shows the declared text, and each script and style sheet it names answers.

    Where the HTML itself does not hold the text, a browser opens the page as for 9.1.1: its scripts may write it.

    Raises
    ------
    Unanswerable
        There is no browser where one is needed.
    """
    page = http.examine(env, Request(name="front page", path=env.browser.path))
    problems = list(page.problems)
    if not env.web.url.startswith("https://"):
        problems.append(f"{env.web.url} is not https")
    if page.answer is None or problems:
        return http.judge(
            [http.Examination(page.request, page.answer, tuple(problems))], remedy="look at the edge's log"
        )
    if page.answer.kind != "text/html":
        problems.append(f"is {page.answer.kind or 'of no type'}, expected text/html")
    elif env.web.page_contains not in page.answer.text:
        rendered = browser.page_loads(env).run()
        if not rendered.ok:
            seen = rendered.observed if isinstance(rendered.observed, str) else "; ".join(rendered.observed)
            problems.append(f"its HTML lacks {env.web.page_contains!r}, and in a browser: {seen}")
    with http.client(env) as via:
        assets = [
            http.examine(env, Request(path=path), via=via) for path in _own_assets(page.answer.text, env.browser.path)
        ]
    return http.judge(
        [http.Examination(page.request, page.answer, tuple(problems)), *(_typed(asset) for asset in assets)],
        remedy="build and deploy the front end again; look at the edge's log for what is missing",
    )


def _own_assets(html: str, page: str = "/") -> list[str]:
    """Paths of the scripts, images, style sheets and icons on the page's own host; `page` is its own path."""
    from html.parser import HTMLParser
    from urllib.parse import urljoin

    class Assets(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            named = dict(attrs)
            loads = tag == "link" and LOADED_LINKS & set((named.get("rel") or "").lower().split())
            address = named.get("src") if tag in ("script", "img") else named.get("href") if loads else None
            if address and "://" not in address and not address.startswith(("//", "data:")):
                self.found.append(urljoin(page, address))

    parser = Assets()
    parser.feed(html)
    return list(dict.fromkeys(parser.found))


def _typed(asset: http.Examination) -> http.Examination:
    """An asset answered by an HTML page is missing: the edge fell back to the front page."""
    if asset.answer is not None and asset.answer.kind == "text/html":
        return http.Examination(asset.request, asset.answer, (*asset.problems, "is an HTML page, not the asset"))
    return asset
