"""One page in the browser: what it asked for, said and did while it was open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from runbook_lib.checks.browser import chromium
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Evidence, progress

if TYPE_CHECKING:
    from playwright.async_api import (
        BrowserContext,
        ConsoleMessage,
        Dialog,
        FilePayload,
        Locator,
        Page,
        Request,
        Response,
    )

_POLL_SECONDS: Final = 0.1
SHOWN: Final = 300
"""Characters of a page's text that are told."""
_QUIET_SECONDS: Final = 0.5
_RESTLESS_SECONDS: Final = 5.0
_COLOURS: Final = 64
_OWN_NETWORK: Final = ("ERR_NETWORK_CHANGED", "ERR_INTERNET_DISCONNECTED", "ERR_NETWORK_IO_SUSPENDED")
"""Chromium's words for what befell the machine it runs on; they tell nothing of the page."""


class Disturbed(Unanswerable):
    """This machine's own network changed under a page; another try may do."""


def plain(url: str) -> str:
    """`url` without what may be secret or long: its query, its fragment, and the content of a data: URL."""
    return url.partition("#")[0].partition("?")[0] if not url.startswith("data:") else "data:…"


def flat(text: str) -> str:
    """`text` as it is compared: style sheets may break lines and change case."""
    return " ".join(text.split()).casefold()


@dataclass
class Visit:
    """A page, and what the browser saw of it so far.

    `requests` are (method and address, outcome, as it should be); `problems` kept us from using the page at all.
    `disturbed` is what befell this machine's own network. `under_way` are the requests without an answer yet, `stirred`
    is when the last one ended, by the monotonic clock.
    """

    page: Page
    problems: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, bool]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    popups: list[str] = field(default_factory=list)
    disturbed: str = ""
    under_way: set[Request] = field(default_factory=set)
    stirred: float = 0.0

    def listen(self) -> None:
        """Begin to note down what happens."""

        async def dismiss(dialog: Dialog) -> None:
            self.dialogs.append(f"{dialog.type}: {dialog.message[:SHOWN]}")
            await dialog.dismiss()

        self.page.on("dialog", dismiss)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught {str(error)[:SHOWN]}"))
        self.page.on("request", self._start)
        self.page.on("requestfinished", self._end)
        self.page.on("response", self._response)
        self.page.on("requestfailed", self._failure)
        self.page.on("popup", lambda page: self.popups.append(plain(page.url)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = plain(message.location["url"])
            self.errors.append(message.text[:SHOWN] + (f" ({where})" if where else ""))

    def _start(self, asked: Request) -> None:
        self.under_way.add(asked)

    def _end(self, asked: Request) -> None:
        self.under_way.discard(asked)
        self.stirred = time.monotonic()

    def _response(self, response: Response) -> None:
        asked = response.request
        self.requests.append((f"{asked.method} {plain(asked.url)}", str(response.status), response.status < 400))

    def _failure(self, asked: Request) -> None:
        self._end(asked)
        reason = asked.failure or "failed"
        if any(word in reason for word in _OWN_NETWORK):
            self.disturbed = reason
        self.requests.append((f"{asked.method} {plain(asked.url)}", reason, False))

    async def go(self, env: Environment) -> None:
        """Open the page. Raises Unanswerable where it does not load in time, or its name does not resolve."""
        from playwright.async_api import Error
        from playwright.async_api import TimeoutError as Late

        address = env.web.address(env.browser.path)
        progress(f"opening {address}")
        try:
            answer = await self.page.goto(address, wait_until="load")
        except Late as error:
            raise Unanswerable(
                f"{address} did not load within {env.limits.request:g} s",
                remedy="look at the service's load and log, or raise limits.request",
            ) from error
        except Error as error:
            reason = error.message.partition(" at ")[0].removeprefix("Page.goto: ")
            if "ERR_NAME_NOT_RESOLVED" in reason:
                raise Unanswerable(f"the name in {address} does not resolve", remedy="check the DNS") from error
            self.problems.append(f"no page: {reason}")
        else:
            if answer is not None and not answer.ok:
                self.problems.append(f"no page: status {answer.status}")

    async def type(self, env: Environment, content: str) -> None:
        """Enter `content` by the keyboard and send it off."""
        await self._use(env, "input", lambda found: found.fill(content))
        await self._use(env, "submit", lambda found: found.click())

    async def upload(self, env: Environment, png: bytes) -> None:
        """Choose a picture."""
        file: FilePayload = {"name": "code.png", "mimeType": "image/png", "buffer": png}
        await self._use(env, "image", lambda found: found.set_input_files(file))

    async def start_camera(self, env: Environment) -> None:
        """Press what starts the camera."""
        await self._use(env, "camera", lambda found: found.click())

    async def _use(self, env: Environment, control: str, act: Callable[[Locator], Awaitable[None]]) -> None:
        from playwright.async_api import Error

        selector = getattr(env.browser, control)
        try:
            await act(self.page.locator(selector).first)
        except Error as error:
            first = error.message.splitlines()[0]
            self.problems.append(f"browser.{control} = {selector!r} could not be used: {first}")

    async def settle(self, env: Environment) -> None:
        """Wait until nothing has been on its way for a moment; a page that never rests has had its time."""
        deadline = time.monotonic() + min(env.limits.request, _RESTLESS_SECONDS)
        since = time.monotonic()
        while (now := time.monotonic()) < deadline and now - since < _QUIET_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
            if self.under_way or self.stirred > since:
                since = time.monotonic()

    async def text(self, selector: str) -> str:
        """What a user reads in the first element that matches; "" where there is none, or it is hidden."""
        from playwright.async_api import Error

        try:
            found = self.page.locator(selector).first
            return await found.inner_text(timeout=1000) if await found.is_visible() else ""
        except Error:
            return ""

    async def result(self, env: Environment, shows: tuple[str, ...]) -> tuple[str, list[str]]:
        """The result as it reads once it holds all of `shows`, or when time is up; and what it then lacks."""
        deadline = time.monotonic() + env.limits.request
        while True:
            text = await self.text(env.browser.result)
            lacking = [wanted for wanted in shows if flat(wanted) not in flat(text)]
            if not lacking or time.monotonic() >= deadline:
                return text, lacking
            await asyncio.sleep(_POLL_SECONDS)

    async def count(self, selector: str) -> int:
        """How many elements match."""
        return await self.page.locator(selector).count()

    async def screenshot(self, name: str, *, of: str = "body") -> Evidence:
        """The window as a PNG, scrolled to the element `of`."""
        from playwright.async_api import Error

        try:
            await self.page.locator(of).first.scroll_into_view_if_needed(timeout=1000)
        except Error:
            pass
        return Evidence(f"{name}.png", _small(await self.page.screenshot(animations="disabled")))


def _small(png: bytes) -> bytes:
    """`png` with a palette of colours, a third of its size: notebooks carry it inline."""
    import io

    from PIL import Image

    small = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


@asynccontextmanager
async def visiting(context: BrowserContext, env: Environment) -> AsyncIterator[Visit]:
    """The front page, loaded in a tab of its own.

    Raises
    ------
    Unanswerable
        As :meth:`Visit.go` does.
    Disturbed
        A request was lost to this machine's own network, so that what was seen is no finding.
    """
    page = await context.new_page()
    visit = Visit(page)
    visit.listen()
    try:
        await chromium.mark(page, env)
        await visit.go(env)
        yield visit
        if visit.disturbed:
            raise Disturbed(
                f"this machine's own network changed while the page was open: {visit.disturbed}",
                remedy="see that nothing sets up interfaces, containers or a VPN here meanwhile; run this phase again",
            )
    finally:
        await page.close()
