"""What surrounds a real service and the sandbox lacks: where alerts and announcements arrive, a status page, documents.

``sink.py --address 127.0.0.1 --port N --folder F --service URL --authority CERTIFICATE``, run by
supervisord by its path, so that nothing of the kit is imported.

``POST /hooks/NAME`` keeps a JSON body, ``GET /hooks/NAME`` lists what arrived, the newest last. ``/status`` and
``/status.json`` say how the service is, ``/probe.json`` whether it answers now, as an uptime monitor would;
``/docs/NAME`` and ``/dashboards/NAME`` are pages to link to.
"""

from __future__ import annotations

import argparse
import html
import http.client
import json
import os
import re
import ssl
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LARGEST = 256 * 1024
"""Bytes of a body that is taken."""
KEPT = 200
"""Bodies kept for each name, the newest."""
NAMES = 50
"""How many names there may be."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PROBE_SECONDS = 3.0
_PAGES = {
    "/docs/deployment-guide": (
        "Deployment guide",
        "A release is deployed by the runbook's notebooks, 01 to 17 in order: runbook run sandbox --release v1.0.0.",
    ),
    "/docs/optimization-report": (
        "Optimization report",
        "Objectives: 500 requests a second, p95 below 200 ms. Notebook 11 measures both and keeps the charts.",
    ),
    "/docs/runbook": (
        "Runbook",
        "What to do when a check fails stands in its result as the remedy. Notebook 90 puts the previous release back.",
    ),
    "/docs/support": (
        "Support",
        "The sandbox's operator is whoever started it: runbook sandbox status says what runs and where.",
    ),
    "/dashboards/errors": (
        "Errors",
        "Errors are collected by the tracker that SENTRY_DSN names; its own pages show them.",
    ),
    "/dashboards/metrics": ("Metrics", "The service counts its requests at /monitoring/metrics, for Prometheus."),
    "/dashboards/logs": ("Logs", "Each program of the stack writes one file in the stack's folder logs/."),
}


class Hooks:
    """What arrived, by name: in memory, and in one file of JSON lines for each name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._arrived = {path.stem: _read(path) for path in sorted(folder.glob("*.jsonl"))[:NAMES]}

    def keep(self, name: str, body: Any) -> bool:
        """Keep `body` as the newest of `name`; False where there are too many names already."""
        with self._lock:
            if name not in self._arrived and len(self._arrived) >= NAMES:
                return False
            arrived = self._arrived.setdefault(name, [])
            arrived.append(body)
            path = self._folder / f"{name}.jsonl"
            if len(arrived) >= 2 * KEPT:
                del arrived[:-KEPT]
                whole = path.with_suffix(".new")
                whole.write_text("".join(_line(one) for one in arrived), encoding="utf-8")
                whole.replace(path)
            else:
                with path.open("a", encoding="utf-8") as file:
                    file.write(_line(body))
            return True

    def arrived(self, name: str) -> list[Any]:
        """The bodies of `name`, at most :data:`KEPT`, the newest last."""
        with self._lock:
            return self._arrived.get(name, [])[-KEPT:]


def _line(body: Any) -> str:
    return json.dumps(body) + "\n"


def _read(path: Path) -> list[Any]:
    """The bodies in a file; a last line that was cut short is left out."""
    bodies = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            bodies.append(json.loads(line))
        except ValueError:
            continue
    return bodies[-KEPT:]


@dataclass(frozen=True)
class Observer:
    """Looks at the service from outside, each time it is asked."""

    service: str
    authority: Path

    def health(self) -> tuple[int | None, str | None, str]:
        """How ``/health`` is answered: with which status code, None where nobody answers; by which release, None where
        it does not say; and what was seen, in words.
        """
        request = urllib.request.Request(f"{self.service}/health", headers={"User-Agent": "runbook-sandbox-probe"})  # noqa: S310
        trust = ssl.create_default_context(cafile=self.authority)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        try:
            with opener.open(request, timeout=_PROBE_SECONDS) as answer:
                return answer.status, _release(answer.read(LARGEST)), f"/health is answered with {answer.status}"
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _release(error.read(LARGEST)), f"/health is answered with {error.code}"
        except (OSError, http.client.HTTPException) as error:
            return None, None, f"/health is not answered: {getattr(error, 'reason', None) or error}"

    def status(self) -> dict[str, Any]:
        """How the service is now."""
        code, release, seen = self.health()
        state = "operational" if code == HTTPStatus.OK else "down" if code is None else "unavailable"
        return {
            "service": "Twiga Scan",
            "state": state,
            "release": release,
            "detail": seen,
            "checked": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def probe(self) -> dict[str, Any]:
        """What an uptime monitor says."""
        code, _, seen = self.health()
        return {"monitor": {"url": f"{self.service}/health", "status": "up" if code == HTTPStatus.OK else "down"}} | {
            "detail": seen
        }


def _release(body: bytes) -> str | None:
    """The tag of the version that an answer names."""
    try:
        return f"v{json.loads(body)['version']}"
    except (ValueError, KeyError, TypeError):
        return None


@dataclass
class Answer:
    """What is sent back."""

    status: HTTPStatus
    body: str
    kind: str = "application/json"

    @classmethod
    def json(cls, value: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
        """`value` as JSON."""
        return cls(status, json.dumps(value))

    @classmethod
    def page(cls, title: str, *paragraphs: str) -> Answer:
        """A page of plain paragraphs."""
        text = "".join(f"<p>{html.escape(paragraph)}</p>\n" for paragraph in paragraphs)
        head = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        return cls(HTTPStatus.OK, f"{head}<h1>{html.escape(title)}</h1>\n{text}", "text/html; charset=utf-8")

    @classmethod
    def refusal(cls, status: HTTPStatus, why: str) -> Answer:
        """An error, with its reason."""
        return cls.json({"detail": why}, status)


@dataclass
class Site:
    """What is answered to which path."""

    hooks: Hooks
    observer: Observer
    pages: dict[str, tuple[str, str]] = field(default_factory=lambda: dict(_PAGES))

    def get(self, path: str) -> Answer:
        """Answer a GET."""
        if name := _hook(path):
            return Answer.json(self.hooks.arrived(name))
        if path == "/status.json":
            return Answer.json(self.observer.status())
        if path == "/probe.json":
            return Answer.json(self.observer.probe())
        if path == "/status":
            seen = self.observer.status()
            release = seen["release"] or "none"
            words = (f"State: {seen['state']}", f"Release: {release}", f"{seen['detail']}, at {seen['checked']}.")
            return Answer.page(seen["service"], *words)
        if path in self.pages:
            return Answer.page(*self.pages[path])
        return Answer.refusal(HTTPStatus.NOT_FOUND, "Not Found")

    def post(self, path: str, body: bytes) -> Answer:
        """Answer a POST."""
        name = _hook(path)
        if name is None:
            return Answer.refusal(HTTPStatus.NOT_FOUND, "Not Found")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return Answer.refusal(HTTPStatus.BAD_REQUEST, "the body is not JSON")
        if not self.hooks.keep(name, value):
            return Answer.refusal(HTTPStatus.INSUFFICIENT_STORAGE, f"there are {NAMES} hooks already")
        return Answer.json({"kept": True}, HTTPStatus.CREATED)


def _hook(path: str) -> str | None:
    folder, _, name = path.rpartition("/")
    return name if folder == "/hooks" and _NAME.fullmatch(name) else None


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the site."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: Sink

    def do_GET(self) -> None:
        """Answer by the site."""
        self._send(self.server.site.get(urlsplit(self.path).path))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Read at most :data:`LARGEST` bytes, and answer by the site."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            self._send(Answer.refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing"))
        elif int(length) > LARGEST:
            self.close_connection = True
            self._send(Answer.refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {LARGEST} bytes"))
        else:
            self._send(self.server.site.post(urlsplit(self.path).path, self.rfile.read(int(length))))

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """One line for each request, with its time."""
        words = (format % args).encode("unicode_escape").decode()
        print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} INFO sink {words}", flush=True)


class Sink(ThreadingHTTPServer):
    """The server; `port` 0 takes a free one."""

    daemon_threads = True

    def __init__(self, address: str, port: int, site: Site) -> None:
        super().__init__((address, port), Handler)
        self.site = site


def main() -> None:
    """Serve until we are ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="holds what arrived")
    parser.add_argument("--service", required=True, help="the edge's URL")
    parser.add_argument("--authority", type=Path, required=True, help="certificate that the edge's is signed by")
    given = parser.parse_args()
    os.umask(0o077)
    observer = Observer(given.service.rstrip("/"), given.authority)
    Sink(given.address, given.port, Site(Hooks(given.folder), observer)).serve_forever()


if __name__ == "__main__":
    main()
