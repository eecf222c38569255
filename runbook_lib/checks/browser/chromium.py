"""One headless Chromium for one check: found, started, kept to what it may do, and closed whatever happens."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from runbook_lib.checks import http
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import progress

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Playwright

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
INSTALL: Final = "apt-get install chromium, or: playwright install chromium; or name one as browser.executable"
_MEND: Final = "start it by hand as this user; Debian keeps the sandbox it needs in the package chromium-sandbox"
_WIDTH: Final = 900
_HEIGHT: Final = 700
"""Pixels of the window, and so of a screenshot."""
_QUIET: Final = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)
"""What keeps a browser to the page that it was asked for."""
_CAMERA: Final = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
_START_SECONDS: Final = 30.0
_CLOSING_SECONDS: Final = 10.0

T = TypeVar("T")


def drive(work: Callable[[], Awaitable[T]], *, seconds: float) -> T:
    """Run `work` on an event loop in a thread of its own, for a notebook's kernel has a loop that runs already.

    Raises
    ------
    Unanswerable
        It took longer than `seconds`.
    """
    ended: Future[T] = Future()
    loop = asyncio.new_event_loop()

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await work()

    task = loop.create_task(bounded())

    def run() -> None:
        try:
            with closing(loop):
                result = loop.run_until_complete(task)
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(result)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="browser", daemon=True)
    try:
        thread.start()
        return ended.result()
    except TimeoutError:
        raise Unanswerable(
            f"the browser did not come to an end within {seconds:g} s",
            remedy="look at the load of this machine and of the service, or raise limits.browser",
        ) from None
    finally:
        if not ended.done():
            # We are interrupted: the browser is closed before we go.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)
            wait([ended], timeout=_CLOSING_SECONDS)


def executable(env: Environment, own: Path) -> Path:
    """The Chromium to start: the declared one, else one on the PATH, else `own`, which Playwright downloads.

    Raises
    ------
    Unanswerable
        There is none; the remedy says how to get one.
    """
    declared = env.browser.executable
    if declared is not None:
        if os.access(declared, os.X_OK) and declared.is_file():
            return declared
        raise Unanswerable(
            f"{declared} is no program", remedy="correct browser.executable in the TOML, or leave it out"
        )
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found:
        return Path(found)
    if own.is_file():
        return own
    raise Unanswerable("there is no Chromium on this machine", remedy=INSTALL)


def pinned(env: Environment) -> str | None:
    """The key of the service's certificate, once it verified by ``web.certificate_authority``; None without one.

    Chromium has no flag for an authority's file. So the certificate is verified here, by name and date too, and the
    browser is told to accept this one key: SHA-256 of its SubjectPublicKeyInfo (RFC 7469, 2.4), in Base64.

    Raises
    ------
    OSError
        The service refused, or showed a certificate that does not verify: that is an observation.
    Unanswerable
        Nobody answered in time, or the name does not resolve: that is none.
    """
    address = urlsplit(env.web.url)
    if address.scheme != "https" or env.web.certificate_authority is None:
        return None
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    place = (address.hostname or "", address.port or 443)
    try:
        with (
            socket.create_connection(place, timeout=env.limits.request) as plain,
            http.tls_context(env).wrap_socket(plain, server_hostname=place[0]) as secured,
        ):
            certificate = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
    except TimeoutError as error:
        raise Unanswerable(
            f"{env.web.url} did not answer within {env.limits.request:g} s",
            remedy="look at the service's load and log, or raise limits.request",
        ) from error
    except socket.gaierror as error:
        raise Unanswerable(f"{place[0]} does not resolve", remedy="check web.url and the DNS") from error
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@asynccontextmanager
async def opened(env: Environment, *, key: str | None, film: bytes | None = None) -> AsyncIterator[BrowserContext]:
    """A browser without memory of earlier ones, closed at the end.

    Parameters
    ----------
    key:
        As :func:`pinned` gives it.
    film:
        What the browser's camera sees, as :func:`codes.film` makes it; without it there is no camera.

    Raises
    ------
    Unanswerable
        There is no browser, or it does not start.
    """
    from playwright.async_api import async_playwright

    with tempfile.TemporaryDirectory(prefix="runbook-browser-", ignore_cleanup_errors=True) as folder:
        words = [*_QUIET, *([f"--ignore-certificate-errors-spki-list={key}"] if key else [])]
        if film is not None:
            path = Path(folder) / "camera.y4m"
            path.write_bytes(film)
            words += [*_CAMERA, f"--use-file-for-fake-video-capture={path}"]
        async with async_playwright() as playwright:
            browser = await _launch(playwright, env, words, folder)
            try:
                context = await browser.new_context(
                    viewport={"width": _WIDTH, "height": _HEIGHT}, accept_downloads=False, service_workers="block"
                )
                context.set_default_timeout(env.limits.request * 1000)
                yield context
            finally:
                await browser.close()


async def _launch(playwright: Playwright, env: Environment, words: list[str], folder: str) -> Browser:
    """The browser: in its own sandbox but for root, who has none, and without this process's secrets."""
    from playwright.async_api import Error

    program = executable(env, Path(playwright.chromium.executable_path))
    progress(f"starting {program}")
    try:
        return await playwright.chromium.launch(
            executable_path=program,
            args=words,
            chromium_sandbox=os.geteuid() != 0,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "LANG": "C.UTF-8"},
            timeout=_START_SECONDS * 1000,
        )
    except Error as error:
        lines = [line.strip() for line in error.message.splitlines() if line.strip()]
        raise Unanswerable(f"{program} does not start: {' '.join(lines)[:500]}", remedy=_MEND) from error


async def watch_camera(context: BrowserContext, asked: Callable[[], None]) -> None:
    """Call `asked` whenever a page asks for the camera, before it gets it."""
    name = f"runbook{secrets.token_hex(4)}"
    await context.expose_function(name, asked)
    await context.add_init_script(
        f"""const devices = navigator.mediaDevices;
        if (devices) {{
            const real = devices.getUserMedia.bind(devices);
            devices.getUserMedia = (wanted) => {{ {name}(); return real(wanted); }};
        }}"""
    )


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of `url`: what browsers keep apart (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


async def mark(page: Page, env: Environment) -> None:
    """Have every request of `page` to the service's own origin carry what those of :func:`http.client` do.

    By Chromium's own protocol (the domain Fetch), which asks again before each redirect is followed. Playwright's
    routes take headers along to wherever a redirect leads, and so would hand the edge's secret to others.
    """
    from playwright.async_api import Error

    own = origin(env.web.url)
    ours = {http.HEADER: http.MARK, **env.web.headers}
    names = {name.lower() for name in ours}
    session = await page.context.new_cdp_session(page)

    async def resume(paused: dict[str, Any]) -> None:
        headers = {name: value for name, value in paused["request"]["headers"].items() if name.lower() not in names}
        if origin(paused["request"]["url"]) == own:
            headers |= ours
        entries = [{"name": name, "value": value} for name, value in headers.items()]
        try:
            await session.send("Fetch.continueRequest", {"requestId": paused["requestId"], "headers": entries})
        except Error:
            # The page was closed, or gave the request up, meanwhile.
            pass

    session.on("Fetch.requestPaused", resume)
    await session.send("Fetch.enable", {"patterns": [{"urlPattern": "*"}]})
