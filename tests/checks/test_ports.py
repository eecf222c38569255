from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from runbook_lib.checks import ports
from runbook_lib.errors import NotApplicable, Unanswerable


@contextlib.contextmanager
def listening(address="127.0.0.1"):
    with socket.socket() as server:
        server.bind((address, 0))
        server.listen(16)
        yield server.getsockname()[1]


def closed():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scanned(at, first, *, open_ports, **more):
    security = {"public_address": "127.0.0.1", "scanned_ports": [[first, first]], "open_ports": open_ports}
    return at("http://127.0.0.1:1", security=security | {"private_ports": {}} | more)


def test_ports_pass_on_the_sandbox(env):
    finding = ports.only_necessary(env).run()
    assert finding.ok, finding.observed


def test_a_port_that_is_not_declared_fails_and_is_named(at):
    with listening() as declared, listening() as other:
        finding = ports.only_necessary(scanned(at, other, open_ports=[declared])).run()
    assert not finding.ok
    assert str(other) in finding.observed


def test_a_scan_that_finds_nothing_at_all_proves_nothing(at):
    with pytest.raises(Unanswerable, match="proves nothing"):
        ports.only_necessary(scanned(at, closed(), open_ports=[closed()])).run()


def test_more_ports_than_are_tried_at_once(at):
    with listening() as port:
        assert port in ports.open_ports("127.0.0.1", range(port - 300, port + 300))


def test_a_port_is_open_however_late_this_machine_looks(monkeypatch):
    monkeypatch.setattr(ports, "CONNECT_SECONDS", 1e-9)
    with listening() as port:
        assert ports.open_ports("127.0.0.1", [port, closed()]) == {port}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("address", ["localhost", "::1"])
def test_an_address_may_be_a_name_or_of_the_sixth_version(address):
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        assert ports.open_ports(address, [port, closed()]) == {port}


def test_the_stores_are_private_in_the_sandbox(env):
    finding = ports.stores_private(env).run()
    assert finding.ok, finding.observed
    assert len(finding.observed) >= 2


def test_a_store_on_the_public_address_fails(at, monkeypatch):
    with listening() as port, listening() as edge:
        monkeypatch.setenv("PLANTED_DATABASE_URL", f"postgresql://u:p@127.0.0.1:{port}/d")
        finding = ports.stores_private(scanned(at, port, open_ports=[edge])).run()
    assert not finding.ok
    assert finding.observed == {f"database.url:{port}": "answers"}


def test_stores_that_are_silent_where_all_is_silent_are_no_verdict(at, monkeypatch):
    monkeypatch.setenv("PLANTED_DATABASE_URL", f"postgresql://u:p@127.0.0.1:{closed()}/d")
    with pytest.raises(Unanswerable, match="proves nothing"):
        ports.stores_private(scanned(at, 1, open_ports=[closed()])).run()


def test_administration_passes_on_the_sandbox(env):
    finding = ports.administration_protected(env).run()
    assert finding.ok, finding.observed


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (("", 401), True),
        (("", 403), True),
        (("", 404), True),
        (("<h1>Admin", 200), False),
        (("", 302, {"Location": "/login?next=/admin"}), True),
        (("", 302, {"Location": "https://sso.example.org/oauth/authorize"}), True),
        (("", 302, {"Location": "/dashboard?from=login"}), False),
        (("secrets " * 1000, 302, {"Location": "/login"}), False),
        (("", 500), False),
    ],
)
def test_administration_is_judged_by_its_answer(serve, at, reply, answer, ok):
    finding = ports.administration_protected(at(serve({"/admin": reply(*answer)}).url)).run()
    assert finding.ok is ok


def test_without_admin_paths_there_is_nothing_to_look_at(at):
    with pytest.raises(NotApplicable, match="admin_paths"):
        ports.administration_protected(scanned(at, 1, open_ports=[], admin_paths=[])).run()


def test_ports_are_scanned_where_a_loop_runs_already():
    """As in a notebook's kernel."""

    async def scan():
        return ports.open_ports("127.0.0.1", [1])

    assert asyncio.run(scan()) == frozenset()
