from __future__ import annotations

import os
import socket
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.exclusive.holder import NAME_BYTES, Holder, Session


def holder(**changes) -> Holder:
    given = {"run": "r", "operator": "ada", "host": "h", "pid": 1, "since": "2026-01-01T00:00:00+00:00", "token": "t0"}
    return Holder(**given | changes)


@given(run=st.text(min_size=1), operator=st.text(min_size=1), host=st.text(min_size=1))
def test_any_holder_fits_the_session_and_is_known_again(run, operator, host):
    name = holder(run=run, operator=operator, host=host).application_name
    assert len(name.encode("ascii")) <= NAME_BYTES
    assert name.isprintable()
    assert Session(name, "192.0.2.1", "").token == "t0"


def test_a_usual_holder_is_told_whole():
    name = holder(run="20260101T000000Z-v1.0.0", token="abc123").application_name
    assert str(Session(name, "192.0.2.1", "2026-01-01T00:00:00+00:00")) == (
        "run 20260101T000000Z-v1.0.0 of operator ada on host h, "
        "connected to the environment's database from 192.0.2.1 since 2026-01-01T00:00:00+00:00"
    )


@given(name=st.text())
def test_a_foreign_sessions_name_is_told_as_printable_text(name):
    said = str(Session(name, "192.0.2.1", "now"))
    assert said.isascii()
    assert said.isprintable()


def test_a_live_process_is_told_from_a_dead_one():
    here = {"host": socket.gethostname()}
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert holder(pid=os.getpid(), **here).alive
    assert not holder(pid=ended.pid, **here).alive
    assert holder(pid=ended.pid, host="another").alive
