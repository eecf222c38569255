from __future__ import annotations

from runbook_lib.checks import front_page, http
from runbook_lib.environment import Request


def test_the_front_page_passes_on_the_sandbox(env):
    finding = front_page.loads(env).run()
    assert finding.ok
    assert len(finding.tables[0].rows) > 1, "the page and at least one asset"


def test_a_front_page_over_http_fails(serve, at, reply):
    finding = front_page.loads(at(serve({"/": reply("<html>")}).url)).run()
    assert not finding.ok
    assert "is not https" in str(finding.observed)


def test_an_asset_that_is_an_html_page_is_missing(serve, at, reply):
    env = at(serve({"/a.js": reply("<html>"), "/b.js": reply(b"1")}).url)
    seen = [front_page._typed(http.examine(env, Request(path=path))) for path in ("/a.js", "/b.js", "/c.js")]
    assert [bool(one.problems) for one in seen] == [True, False, True]


def test_assets_on_other_hosts_are_not_asked_for():
    html = '<script src="/a.js"></script><script src="https://x.org/b.js"></script><link href="//y.org/c.css">'
    assert front_page._own_assets(html) == ["/a.js"]


def test_what_a_browser_loads_is_asked_for_beside_the_page():
    links = '<link rel="canonical" href="/home"><link rel="Shortcut Icon" href="i.png"><link rel=stylesheet href=s.css>'
    assert front_page._own_assets(links, "/app/") == ["/app/i.png", "/app/s.css"]


def test_the_page_is_the_one_that_is_declared(serve, at, reply):
    pages = {"/": reply("", 302, {"Location": "/app"}), "/app": reply("<html>", headers={"Content-Type": "text/html"})}
    finding = front_page.loads(at(serve(pages).url, browser={"path": "/app"})).run()
    assert "302" not in str(finding.observed)
