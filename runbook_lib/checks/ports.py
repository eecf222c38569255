"""What is reachable from outside: ports, data stores, administration."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

from runbook_lib.checks import http
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.step import Finding, Table, check, progress

AT_ONCE: Final = 256
CONNECT_SECONDS: Final = 1.0
"""A port that says nothing for so long is filtered."""

DEFAULT_PORTS: Final = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379, "valkey": 6379}
LOGIN_WORDS: Final = ("login", "signin", "sign-in", "auth", "sso", "oauth")
REDIRECTS: Final = (301, 302, 303, 307, 308)
REDIRECT_BODY_BYTES: Final = 2048
"""A redirect that carries more than this shows something."""


def open_ports(address: str, ports: Iterable[int]) -> frozenset[int]:
    """The ports of `address` that accept a TCP connection.

    Raises
    ------
    Unanswerable
        The address cannot be reached from here at all.
    """
    # In a thread of its own: a notebook's kernel has a loop running already.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _scan(address, sorted(set(ports)))).result()


async def _scan(address: str, ports: list[int]) -> frozenset[int]:
    slots = asyncio.Semaphore(AT_ONCE)
    places = await _resolved(address)
    done = 0

    async def probe(port: int) -> int | None:
        nonlocal done
        async with slots:
            accepted = [await _accepts(family, host, port) for family, host in places]
        done += 1
        if done % 2000 == 0:
            progress(f"{done} of {len(ports)} ports tried")
        return port if any(accepted) else None

    found: set[int] = set()
    for start in range(0, len(ports), 8192):
        results = await asyncio.gather(*(probe(port) for port in ports[start : start + 8192]))
        found |= {port for port in results if port is not None}
    return frozenset(found)


async def _resolved(address: str) -> list[tuple[int, str]]:
    """The family and the numbers of every address that `address` stands for."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address, 0, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _unreachable(address, error) from error
    return [(family, str(place[0])) for family, *_, place in found]


async def _accepts(family: int, host: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(probe, (host, port)), CONNECT_SECONDS)
        except TimeoutError:
            return _connected(probe)
        except ConnectionError:
            return False
        except OSError as error:
            if error.errno in (errno.EHOSTUNREACH, errno.EACCES, errno.EPERM):
                return False  # a firewall said no
            raise _unreachable(host, error) from error
        return True


def _connected(probe: socket.socket) -> bool:
    """Whether it was accepted all the same: where this machine is busy, time is up before the loop has looked."""
    try:
        probe.getpeername()
    except OSError:
        return False
    return True


def _unreachable(address: str, error: OSError) -> Unanswerable:
    return Unanswerable(
        f"{address} cannot be scanned from here: {error}", remedy="check security.public_address and the network"
    )


@check("Only the declared ports answer")
def only_necessary(env: Environment) -> Finding:
    """12.4.1: a TCP connect scan of ``security.public_address`` over ``security.scanned_ports``."""
    security = env.security
    declared = frozenset(security.open_ports)
    wanted = {port for first, last in security.scanned_ports for port in range(first, last + 1)}
    wanted |= set(security.private_ports.values())
    found = _scanned(env, wanted)
    return Finding(
        ok=found <= declared,
        observed=f"{len(wanted | declared)} ports of {security.public_address} tried; open: {_listed(found)}",
        expected=f"open at most: {_listed(declared)}",
        remedy="close the ports in the firewall, bind their services to loopback, or declare them as necessary",
        tables=(_ports(env, found),),
    )


def _scanned(env: Environment, wanted: Iterable[int]) -> frozenset[int]:
    """Which of these and of the declared ports answer. Raises Unanswerable where none of the declared ones does."""
    security = env.security
    declared = frozenset(security.open_ports)
    found = open_ports(security.public_address, declared | set(wanted))
    if declared and not found & declared:
        raise Unanswerable(
            f"not one declared port of {security.public_address} answers, so the scan proves nothing",
            remedy="see that the edge is up, and that security.public_address and open_ports are right",
        )
    return found


def _listed(ports: Iterable[int]) -> str:
    return ", ".join(str(port) for port in sorted(ports)) or "none"


def _ports(env: Environment, found: frozenset[int]) -> Table:
    rows = ((port, "open", "yes" if port in env.security.open_ports else "no") for port in sorted(found))
    return Table(("port", "state", "declared"), tuple(rows))


@check("Database and cache refuse from the public address")
def stores_private(env: Environment) -> Finding:
    """12.4.2: ``security.private_ports``, and the ports in the application's own URLs, do not answer publicly."""
    address = env.security.public_address
    stores = {f"{name}:{port}": port for name, port in env.security.private_ports.items()}
    stores |= {f"{name}:{port}": port for name, port in _own_ports(env)}
    if not stores:
        raise Unanswerable("no port of a data store is known", remedy="declare security.private_ports")
    found = _scanned(env, stores.values()) & set(stores.values())
    seen = {name: "answers" if port in found else "refuses" for name, port in stores.items()}
    return Finding(
        ok=not found,
        observed=seen,
        expected=dict.fromkeys(stores, "refuses"),
        remedy=f"bind the store to a private address, or close its port on {address} in the firewall",
    )


def _own_ports(env: Environment) -> list[tuple[str, int]]:
    references = [("database.url", env.database.url), *([("cache.url", env.cache.url)] if env.cache else [])]
    found = []
    for name, reference in references:
        parts = urlsplit(reference.resolve().get_secret_value())
        port = parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0])
        if port:
            found.append((name, port))
    return found


@check("Administration is closed to strangers")
def administration_protected(env: Environment) -> Finding:
    """12.4.3: each of ``security.admin_paths`` answers 401, 403 or 404, or sends to a login and shows nothing else."""
    if not env.security.admin_paths:
        raise NotApplicable("security.admin_paths is empty")
    with http.client(env) as via:
        seen = [
            _judged(http.examine(env, Request(path=path, status=(401, 403, 404)), via=via))
            for path in env.security.admin_paths
        ]
    return http.judge(seen, remedy="put the path behind authentication, or keep it off the public edge")


def _judged(seen: http.Examination) -> http.Examination:
    """The examination, without its problem where the answer is a bare redirect to a login."""
    answer = seen.answer
    if answer is None or answer.status not in REDIRECTS or len(answer.body) > REDIRECT_BODY_BYTES:
        return seen
    target = urlsplit(str(answer.headers.get("location", ""))).path.lower()
    is_login = any(word in target for word in LOGIN_WORDS)
    return http.Examination(seen.request, answer, ()) if is_login else seen
