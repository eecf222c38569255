"""A real Chromium, and a small page to plant faults in."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import psutil
import pytest
import trustme

from runbook_lib.environment import Environment

PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>Planted</title><link rel="icon" href="data:,"></head><body>
<h1>Planted</h1>
<textarea id="content"></textarea> <button id="submit">Check</button>
<button id="camera">Camera</button> <input id="image" type="file">
<section id="result"></section>
<script>
const at = (id) => document.getElementById(id);
const answer = (content) => {
  const text = decodeURIComponent(content);
  return (text.startsWith("bitcoin:") ? "Bitcoin address " : "Not a valid payment request ") + text;
};
let show = (content) => { at("result").textContent = answer(content); };
at("submit").addEventListener("click", () => show(at("content").value));
__SCRIPT__
</script>
</body></html>
"""


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def planted(serve, reply, at, authority, tmp_path) -> Callable[..., Environment]:
    """An environment whose front page runs `script` beside its own, served by TLS on loopback with `routes`."""

    def start(script="", *, routes=None, by=authority, expires=None, trusted=True, parts=None) -> Environment:
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        by.issue_cert("127.0.0.1", not_after=expires, key_type=trustme.KeyType.ECDSA).configure_cert(context)
        page = {"/": reply(PAGE.replace("__SCRIPT__", script), headers={"Content-Type": "text/html"})}
        server = serve({**page, **(routes or {})}, context)
        web = {"url": server.url, "page_contains": "Planted"}
        if trusted:
            web["certificate_authority"] = str(tmp_path / "authority.pem")
        return at(server.url, web=web, **(parts or {}))

    return start


@pytest.fixture
def browsers() -> Callable[[], list[psutil.Process]]:
    """The processes of browsers that this process has started and that still run."""

    def running() -> list[psutil.Process]:
        found = []
        for child in psutil.Process().children(recursive=True):
            try:
                if "chrom" in child.name():
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    return running
