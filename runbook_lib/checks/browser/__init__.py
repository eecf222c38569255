"""The front page as its users meet it, in a real headless Chromium: it loads, scans, takes input and shows results."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runbook_lib.checks.browser import chromium, codes
from runbook_lib.checks.browser.visit import SHOWN, Disturbed, Visit, flat, visiting
from runbook_lib.environment import MARKUP, QUOTED, Environment, Sample
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Evidence, Finding, Table, check, progress

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext


@dataclass(frozen=True)
class Attempt:
    """One thing that a user did, what the page then showed, and what is wrong with it."""

    name: str
    shows: tuple[str, ...]
    text: str
    problems: tuple[str, ...]
    screenshot: Evidence

    def but(self, problem: str) -> Attempt:
        """The same, with a problem before all others."""
        return replace(self, problems=(problem, *self.problems))


@check("The front page of {env} loads over https, without an error")
def page_loads(env: Environment) -> Finding:
    """9.1.1: in a browser: over TLS, no error on its console, no request that fails, ``web.page_contains`` shown."""

    async def look(context: BrowserContext) -> Finding:
        async with visiting(context, env) as visit:
            await visit.settle(env)
            return await _loaded(env, visit)

    return _in_browser(env, look, expected=_LOADED)


_LOADED = "https, no error on the console, no failed request"


async def _loaded(env: Environment, visit: Visit) -> Finding:
    problems = visit.problems or await _faults(env, visit)
    return Finding(
        ok=not problems,
        observed=problems or f"loaded, {len(visit.requests)} requests, no error",
        expected=_LOADED + (f", {env.web.page_contains!r} shown" if env.web.page_contains else ""),
        remedy="open the page with the browser's developer tools; what fails there first is the cause",
        tables=(Table(("request", "outcome"), tuple(row[:2] for row in visit.requests), "Requests"),),
        evidence=(await visit.screenshot("page"),),
    )


async def _faults(env: Environment, visit: Visit) -> list[str]:
    """What is wrong with a page that has loaded."""
    found = list(visit.errors)
    found += [f"{request}: {outcome}" for request, outcome, sound in visit.requests if not sound]
    if not visit.page.url.startswith("https://"):
        found.append("not over https")
    if flat(env.web.page_contains) not in flat(await visit.text("body")):
        found.append(f"{env.web.page_contains!r} is not shown")
    return found


@check("A QR code before the camera gives its result")
def scans_by_camera(env: Environment) -> Finding:
    """9.1.2: the browser's camera sees a QR code of ``browser.valid``; the page asks for it and shows the result."""

    async def look(context: BrowserContext) -> Finding:
        asked: list[bool] = []
        await chromium.watch_camera(context, lambda: asked.append(True))
        attempt = await _attempt(context, env, "camera", lambda visit: visit.start_camera(env), env.browser.valid.shows)
        return _judged([attempt if asked else attempt.but("the page never asked for the camera")])

    return _in_browser(env, look, expected=env.browser.valid.shows, film=codes.film(env.browser.valid.content))


@check("A picture of a QR code gives its result")
def scans_picture(env: Environment) -> Finding:
    """9.1.2: a PNG with a QR code of ``browser.valid`` is uploaded, and the page shows its result."""
    picture = codes.picture(env.browser.valid.content)

    async def look(context: BrowserContext) -> Finding:
        return _judged(
            [await _attempt(context, env, "picture", lambda visit: visit.upload(env, picture), env.browser.valid.shows)]
        )

    return _in_browser(env, look, expected=env.browser.valid.shows)


@check("Typed content gives its result")
def takes_typed_content(env: Environment) -> Finding:
    """9.1.3: ``browser.valid`` is typed and sent off, and the page shows its result."""

    async def look(context: BrowserContext) -> Finding:
        return _judged([await _typed(context, env, "typed", env.browser.valid)])

    return _in_browser(env, look, expected=env.browser.valid.shows)


@check("Valid, invalid and hostile content is displayed rightly, and nothing in it executes")
def displays_results(env: Environment) -> Finding:
    """9.1.4: each of ``browser.valid``, ``invalid`` and ``hostile`` shows what it must.

    Hostile content carries markup that would open a dialog, fetch an address and become an element, had the page read
    it as HTML; each of these is looked for, and a link that would run a script.
    """
    token = f"runbook-{secrets.token_hex(4)}"

    async def look(context: BrowserContext) -> Finding:
        seen = [
            await _typed(context, env, "valid", env.browser.valid),
            await _typed(context, env, "invalid", env.browser.invalid),
        ]
        for number, sample in enumerate(env.browser.hostile, 1):
            seen.append(await _typed(context, env, f"hostile-{number}", _armed(sample, token), token))
        return _judged(seen)

    return _in_browser(env, look, expected="each result as declared; nothing executes")


def _armed(sample: Sample, token: str) -> Sample:
    """`sample` with markup in its places; without quotes, so that it reads the same wherever it is shown."""
    markup = f"<img id={token} src=/{token} onerror=alert(1)><script>alert(2)</script>"

    def filled(text: str) -> str:
        return text.replace(MARKUP, markup).replace(QUOTED, quote(markup, safe=""))

    return Sample(content=filled(sample.content), shows=tuple(filled(text) for text in sample.shows))


async def _typed(context: BrowserContext, env: Environment, name: str, sample: Sample, token: str = "") -> Attempt:
    return await _attempt(context, env, name, lambda visit: visit.type(env, sample.content), sample.shows, token)


async def _attempt(
    context: BrowserContext,
    env: Environment,
    name: str,
    enter: Callable[[Visit], Awaitable[None]],
    shows: tuple[str, ...],
    token: str = "",
) -> Attempt:
    """Load the page, `enter` something, and wait for its result; where a token is given, look what became of it."""
    async with visiting(context, env) as visit:
        if not visit.problems:
            progress(f"entering the content: {name}")
            await enter(visit)
        text, lacking = ("", []) if visit.problems else await visit.result(env, shows)
        problems = [*visit.problems, *(f"{wanted!r} is not shown" for wanted in lacking)]
        if token:
            await visit.settle(env)
            problems += await _executed(env, visit, token)
        return Attempt(name, shows, text, tuple(problems), await visit.screenshot(name, of=env.browser.result))


async def _executed(env: Environment, visit: Visit, token: str) -> list[str]:
    """What the page did that only the markup can have asked for."""
    found = [f"a dialog opened: {dialog}" for dialog in visit.dialogs]
    found += [f"a window opened: {popup}" for popup in visit.popups]
    found += [f"the markup fetched {request}" for request, *_ in visit.requests if request.endswith(f"/{token}")]
    if await visit.count(f"[id={token}]"):
        found.append("the markup was read as HTML")
    if await visit.count(f"{env.browser.result} a[href^='javascript:' i]"):
        found.append("the result has a link that runs a script")
    return found


def _judged(attempts: Sequence[Attempt]) -> Finding:
    """One finding over all that was tried; ok where nothing has a problem."""
    failing = [one for one in attempts if one.problems]
    rows = tuple(
        (one.name, "; ".join(one.shows), one.text[:SHOWN] or "nothing", "; ".join(one.problems) or "none")
        for one in attempts
    )
    return Finding(
        ok=not failing,
        observed={one.name: "; ".join(one.problems) or one.text[:SHOWN] for one in failing or attempts},
        expected={one.name: one.shows for one in failing or attempts},
        remedy="look at the screenshot; then mend the page, or the table [browser] where it describes another page",
        tables=(Table(("entered", "must show", "showed", "problems"), rows),),
        evidence=tuple(one.screenshot for one in attempts),
    )


def _in_browser(
    env: Environment, look: Callable[[BrowserContext], Awaitable[Finding]], *, expected: Any, film: bytes | None = None
) -> Finding:
    """What `look` finds in a browser of its own, in a second one if this machine's network disturbed the first.

    A service that refuses us is a finding too.

    Raises
    ------
    Unanswerable
        There is no browser, it broke off, took longer than ``limits.browser``, or was disturbed twice.
    """
    try:
        key = chromium.pinned(env)
    except OSError as error:
        return Finding(False, f"no page: {error}", expected, remedy="look at the edge: is it up, with its certificate?")

    async def work() -> Finding:
        from playwright.async_api import Error

        try:
            async with chromium.opened(env, key=key, film=film) as context:
                return await look(context)
        except Error as error:
            first = error.message.partition("\n")[0]
            raise Unanswerable(f"the browser broke off: {first}", remedy="run this phase again") from error

    try:
        return chromium.drive(work, seconds=env.limits.browser)
    except Disturbed as error:
        progress(f"{error}; once more")
        return chromium.drive(work, seconds=env.limits.browser)
