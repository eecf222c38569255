from __future__ import annotations

import asyncio
import os
import signal

import pytest

from runbook_lib.checks import browser, http
from runbook_lib.checks.browser import chromium
from runbook_lib.environment import BYPASS, Secret, WebBehindEdge
from runbook_lib.errors import Unanswerable


def test_a_browser_is_found_where_it_is_declared_on_the_path_or_with_playwright(at, tmp_path, monkeypatch):
    program = tmp_path / "chromium"
    program.touch(mode=0o755)
    own = tmp_path / "own"
    own.touch(mode=0o755)
    declared = at("http://127.0.0.1:9", browser={"executable": str(program)})
    undeclared = at("http://127.0.0.1:9")
    monkeypatch.setenv("PATH", "/nowhere")
    assert chromium.executable(declared, own) == program
    assert chromium.executable(undeclared, own) == own
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.executable(undeclared, own) == program


def test_no_browser_on_this_machine(at, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(Unanswerable, match="there is no Chromium") as caught:
        browser.page_loads(at("http://127.0.0.1:9")).run()
    assert caught.value.remedy.startswith("apt-get install chromium, or: playwright install chromium")


def test_a_declared_browser_that_is_none(at, tmp_path):
    (tmp_path / "text").touch()
    with pytest.raises(Unanswerable, match="text is no program"):
        browser.page_loads(at("http://127.0.0.1:9", browser={"executable": "text"})).run()


def test_a_browser_that_does_not_start(at, tmp_path):
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(Unanswerable, match="does not start"):
        browser.page_loads(at("http://127.0.0.1:9", browser={"executable": str(program)})).run()


@pytest.mark.usefixtures("chromium")
def test_only_the_service_is_told_who_asks(serve, at, reply, monkeypatch):
    monkeypatch.setenv("PLANTED_BYPASS", "planted-secret")
    other = serve({"/picture": reply(status=204), "/moved": reply(status=204)})
    page = f"<link rel=icon href='data:,'><img src='{other.url}/picture'><img src='/moved'>"
    own = serve({"/": reply(page), "/moved": reply(status=302, headers={"Location": f"{other.url}/moved"})})
    env = at(own.url)
    closed = env.model_copy(update={"web": WebBehindEdge(url=own.url, bypass=Secret(env="PLANTED_BYPASS"))})
    browser.page_loads(closed).run()
    assert {asked.path for asked in own.asked} == {"/", "/moved"}
    assert all(asked.headers[http.HEADER] == http.MARK for asked in own.asked)
    assert all(asked.headers[BYPASS] == "planted-secret" for asked in own.asked)
    assert {asked.path for asked in other.asked} == {"/picture", "/moved"}
    assert all(asked.headers[name] is None for asked in other.asked for name in (http.HEADER, BYPASS))


@pytest.mark.usefixtures("chromium")
def test_the_browser_gets_no_secret_and_is_closed(at, browsers, monkeypatch):
    monkeypatch.setenv("PLANTED_SECRET", "planted-secret")

    async def work():
        async with chromium.opened(at("http://127.0.0.1:9"), key=None):
            return [process.environ() for process in browsers()]

    environments = chromium.drive(work, seconds=60.0)
    assert environments
    assert not any("PLANTED_SECRET" in environment for environment in environments)
    assert browsers() == []


@pytest.mark.usefixtures("chromium")
def test_a_browser_whose_time_is_up_is_closed(at, browsers):
    started = []

    async def work():
        async with chromium.opened(at("http://127.0.0.1:9"), key=None):
            started.extend(browsers())
            await asyncio.sleep(3600)

    with pytest.raises(Unanswerable, match="within 8 s"):
        chromium.drive(work, seconds=8.0)
    assert started
    assert browsers() == []


def test_an_interrupt_ends_what_the_browser_does():
    ended = []

    async def work():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        chromium.drive(work, seconds=60.0)
    assert ended == [True]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example", "https://a.example:443/x?y", True),
        ("http://a.example:80/", "http://A.example", True),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example.evil.example", False),
        ("https://a.example", "https://a.example@evil.example", False),
        ("https://a.example", "https://a.example:8443", False),
    ],
)
def test_origins(one, other, same):
    assert (chromium.origin(one) == chromium.origin(other)) is same
