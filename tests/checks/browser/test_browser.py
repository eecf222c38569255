"""The front page in a real Chromium: the sandbox's own, and small ones with a fault planted in each."""

from __future__ import annotations

import asyncio
import base64
import datetime
import io
import socket
import time

import pytest
import trustme
from PIL import Image

from runbook_lib.checks import browser, front_page
from runbook_lib.checks.browser import chromium
from runbook_lib.environment import Browser, Sample
from runbook_lib.errors import Unanswerable

pytestmark = pytest.mark.usefixtures("chromium")


def pictures(finding):
    return [Image.open(io.BytesIO(kept.content)) for kept in finding.evidence]


def test_the_front_page_loads_on_the_sandbox(env):
    finding = browser.page_loads(env).run()
    assert finding.ok, finding.observed
    assert [picture.size for picture in pictures(finding)] == [(900, 700)]


def test_a_code_before_the_camera_on_the_sandbox(env):
    finding = browser.scans_by_camera(env).run()
    assert finding.ok, finding.observed
    assert "label\nRunbook" in finding.observed["camera"]


def test_a_picture_of_a_code_on_the_sandbox(env):
    finding = browser.scans_picture(env).run()
    assert finding.ok, finding.observed


def test_another_code_than_the_one_expected_on_the_sandbox(env):
    other = Sample(content="satoshi@example.com", shows=env.browser.valid.shows)
    limits = env.limits.model_copy(update={"request": 4.0})
    wrong = env.model_copy(update={"browser": Browser(valid=other), "limits": limits})
    for step in (browser.scans_by_camera(wrong), browser.scans_picture(wrong)):
        finding = step.run()
        assert not finding.ok
        assert "'Bitcoin address' is not shown" in str(finding.observed)
        assert "satoshi@example.com" in str(finding.tables[0].rows)


def test_typed_content_on_the_sandbox(env):
    finding = browser.takes_typed_content(env).run()
    assert finding.ok, finding.observed


def test_results_on_the_sandbox(env):
    finding = browser.displays_results(env).run()
    assert finding.ok, finding.observed
    assert set(finding.observed) == {"valid", "invalid", "hostile-1", "hostile-2"}
    # A notebook carries them inline.
    assert sum(len(kept.content) for kept in finding.evidence) < 150_000


@pytest.mark.parametrize(("written", "ok"), [("Drawn by its script", True), ("Never drawn", False)])
def test_the_front_page_may_be_written_by_its_scripts(planted, written, ok):
    env = planted('document.body.append("Drawn by its " + "script")')
    web = env.web.model_copy(update={"page_contains": written})
    finding = front_page.loads(env.model_copy(update={"web": web})).run()
    assert finding.ok is ok, finding.observed
    assert ok or finding.observed["front page"].endswith(f"and in a browser: {written!r} is not shown")


def test_a_sound_page(planted):
    env = planted()
    for step in (browser.page_loads(env), browser.takes_typed_content(env), browser.displays_results(env)):
        finding = step.run()
        assert finding.ok, finding.observed


def test_within_a_loop_that_runs_already(planted):
    async def cell():
        return browser.page_loads(planted()).run()

    assert asyncio.run(cell()).ok


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("console.error('planted words')", "planted words"),
        ("nowhere.at.all", "nowhere is not defined"),
        ("fetch('/gone').catch(() => {})", "GET {url}/gone: 404"),
        ("fetch('/broken')", "GET {url}/broken: net::ERR_EMPTY_RESPONSE"),
        ("document.body.textContent = 'Something else'", "'Planted' is not shown"),
    ],
    ids=["console", "exception", "missing", "broken", "another page"],
)
def test_a_page_with_an_error(planted, reply, script, words):
    def break_off(asked):
        raise ConnectionAbortedError

    env = planted(script, routes={"/broken": break_off})
    finding = browser.page_loads(env).run()
    assert not finding.ok
    assert words.format(url=env.web.url) in str(finding.observed)
    assert finding.evidence


def test_a_page_that_is_an_error(planted, reply):
    finding = browser.page_loads(planted(routes={"/": reply("Closed", 503)})).run()
    assert finding.observed == ["no page: status 503"]


def test_a_page_without_tls(serve, at, reply):
    finding = browser.page_loads(at(serve({"/": reply("<link rel=icon href='data:,'>plain")}).url)).run()
    assert finding.observed == ["not over https"]


LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ({"by": trustme.CA()}, "certificate verify failed"),
        ({"expires": LONG_AGO}, "certificate has expired"),
        ({"trusted": False}, "ERR_CERT_AUTHORITY_INVALID"),
    ],
    ids=["another authority", "expired", "unknown to the browser"],
)
def test_a_bad_certificate(planted, certificate, words):
    env = planted(**certificate)
    for step in (browser.page_loads(env), browser.takes_typed_content(env)):
        finding = step.run()
        assert not finding.ok
        assert words in str(finding.observed)


def test_only_the_key_that_was_verified_is_accepted(planted, monkeypatch):
    monkeypatch.setattr(chromium, "pinned", lambda env: base64.b64encode(bytes(32)).decode())
    finding = browser.page_loads(planted()).run()
    assert "ERR_CERT_AUTHORITY_INVALID" in str(finding.observed)


def test_nobody_answers(at):
    with socket.socket() as probe:
        # Bound but not listening: nobody else can answer there meanwhile.
        probe.bind(("127.0.0.1", 0))
        finding = browser.page_loads(at(f"https://127.0.0.1:{probe.getsockname()[1]}")).run()
    assert finding.observed == ["no page: net::ERR_CONNECTION_REFUSED"]


def test_a_page_that_never_loads(planted):
    with pytest.raises(Unanswerable, match="did not load within 2 s"):
        browser.page_loads(planted("for (;;) {}")).run()


def test_a_page_that_fails_late(planted, reply):
    def late(asked):
        # Longer than the page is quiet for before it is judged.
        time.sleep(1.0)
        return reply(status=500)

    finding = browser.page_loads(planted("onload = () => fetch('/late')", routes={"/late": late})).run()
    assert "/late: 500" in str(finding.observed)


def test_a_browser_that_breaks_off(planted, browsers):
    def kill(asked):
        for process in browsers():
            process.kill()
        raise ConnectionAbortedError

    with pytest.raises(Unanswerable, match="the browser broke off"):
        browser.takes_typed_content(planted("show = () => fetch('/kill')", routes={"/kill": kill})).run()


def test_a_camera_that_nothing_asks_for(planted):
    finding = browser.scans_by_camera(planted()).run()
    assert not finding.ok
    assert "the page never asked for the camera" in finding.observed["camera"]


ASKS = "at('camera').addEventListener('click', () => navigator.mediaDevices.getUserMedia({ video: true })%s);"


def test_a_camera_whose_picture_nobody_reads(planted):
    finding = browser.scans_by_camera(planted(ASKS % "")).run()
    assert finding.observed["camera"].startswith("'Bitcoin address' is not shown")


def test_a_picture_that_nobody_reads(planted):
    finding = browser.scans_picture(planted()).run()
    assert not finding.ok
    assert "'Bitcoin address' is not shown" in finding.observed["picture"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("show = () => {}", "'Bitcoin address' is not shown"),
        ("show = () => { at('result').textContent = 'Lightning address' }", "'Bitcoin address' is not shown"),
        ("at('result').hidden = true", "'Bitcoin address' is not shown"),
        ("at('content').remove()", "browser.input = '#content' could not be used"),
        ("at('submit').disabled = true", "browser.submit = '#submit' could not be used"),
    ],
    ids=["missing", "wrong", "hidden", "no input", "cannot be sent"],
)
def test_typed_content_without_its_result(planted, script, words):
    finding = browser.takes_typed_content(planted(script)).run()
    assert not finding.ok
    assert words in finding.observed["typed"]


def test_invalid_content_that_passes_for_valid(planted):
    finding = browser.displays_results(
        planted("show = (content) => { at('result').textContent = 'Bitcoin address ' + decodeURIComponent(content) }")
    ).run()
    assert set(finding.observed) == {"invalid", "hostile-1"}


BESIDE = "const sound = show; show = (content) => { sound(content); %s };"


FIRST = {"browser": {"hostile": [{"content": "{markup}", "shows": ["Not a valid payment request", "{markup}"]}]}}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "at('result').insertAdjacentHTML('afterend', answer(content))",
            ["a dialog opened: alert: 1", "the markup fetched GET", "the markup was read as HTML"],
        ),
        (
            "document.body.append(new DOMParser().parseFromString(answer(content), 'text/html').body)",
            ["the markup was read as HTML"],
        ),
        ("if (content.includes('img')) window.open('about:blank')", ["a window opened: about:blank"]),
    ],
    ids=["executed", "read", "window"],
)
def test_hostile_content_that_executes_beside_a_result_that_reads_rightly(planted, script, words):
    finding = browser.displays_results(planted(BESIDE % script, parts=FIRST)).run()
    assert set(finding.observed) == {"hostile-1"}
    assert [word for word in words if word not in finding.observed["hostile-1"]] == []


def test_hostile_content_that_becomes_a_link(planted):
    link = "const a = document.createElement('a'); a.href = content; at('result').append(a)"
    sample = {"content": "JavaScript:alert(1)", "shows": ["Not a valid payment request"]}
    finding = browser.displays_results(planted(BESIDE % link, parts={"browser": {"hostile": [sample]}})).run()
    assert finding.observed == {"hostile-1": "the result has a link that runs a script"}


def test_hostile_content_that_is_swallowed(planted):
    finding = browser.displays_results(
        planted("show = (content) => { at('result').innerHTML = answer(content) }")
    ).run()
    assert "<script>alert(2)</script>' is not shown" in finding.observed["hostile-1"]
    assert "read as HTML" in finding.observed["hostile-2"]


@pytest.fixture
def offline(monkeypatch) -> list[bool]:
    """Whether the machine is cut off from its network at each visit to come: Chromium's own switch for it."""
    visits: list[bool] = []
    sound = chromium.mark

    async def mark(page, env):
        await sound(page, env)
        await page.context.set_offline(visits.pop(0))

    monkeypatch.setattr(chromium, "mark", mark)
    return visits


def test_a_network_of_ours_that_changes_once(planted, offline):
    offline += [True, False]
    finding = browser.page_loads(planted()).run()
    assert finding.ok, finding.observed
    assert offline == []


def test_a_network_of_ours_that_does_not_rest_is_no_finding(planted, offline):
    offline += [True, True]
    with pytest.raises(Unanswerable, match=r"this machine's own network changed .* net::ERR_INTERNET_DISCONNECTED"):
        browser.takes_typed_content(planted()).run()
