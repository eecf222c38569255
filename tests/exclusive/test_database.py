from __future__ import annotations

import os
import signal

import psycopg
import pytest

from runbook_lib.errors import Occupied, Unanswerable
from runbook_lib.exclusive.database import DatabaseLock, key
from runbook_lib.exclusive.holder import HELD, SHARED, Holder
from runbook_lib.sandbox import postgres

from ..waiting import until
from .conftest import on

pytestmark = pytest.mark.xdist_group("exclusive")
OURS, THEIRS = Holder.of("ours"), Holder.of("theirs")


@pytest.fixture
def locks(mine):
    """Two locks of the environment, as two operators on two machines would have them."""
    made = [DatabaseLock(mine.env), DatabaseLock(mine.env)]
    yield made
    for lock in made:
        lock.release()


def held(lock, holder) -> bool:
    """Whether the lock can be had: the server ends a closed session in its own time."""
    try:
        return lock.take(holder) == HELD
    except Occupied:
        return False


def test_one_holds_it_until_it_is_given_back(locks):
    first, second = locks
    assert first.take(OURS) == HELD
    assert first.take(OURS) == HELD
    with pytest.raises(Occupied, match=r"run theirs|run ours of operator \S+ on host \S+, connected .* since 20"):
        second.take(THEIRS)
    first.release()
    until(lambda: held(second, THEIRS))


def test_it_is_shared_by_the_processes_of_one_run_and_taken_by_the_next_when_the_holder_ends(locks):
    first, second = locks
    assert (first.take(OURS), second.take(OURS)) == (HELD, SHARED)
    first.release()
    until(lambda: held(second, OURS))


def test_equal_run_ids_on_two_machines_are_two_runs(locks):
    first, second = locks
    first.take(OURS)
    with pytest.raises(Occupied):
        second.take(Holder.of("ours"))


def test_it_is_of_the_database_however_the_environment_is_called(mine, locks, server):
    locks[0].take(OURS)
    other = DatabaseLock(mine.env.model_copy(update={"name": "another-name"}))
    with pytest.raises(Occupied):
        other.take(THEIRS)
    other.release()
    on(mine.home, server.url.removesuffix(postgres.ROLE) + "postgres")
    elsewhere = DatabaseLock(mine.env)
    assert elsewhere.take(THEIRS) == HELD
    elsewhere.release()


@pytest.fixture
def refused(server):
    """The server lets nobody into its maintenance database."""

    def lets_in() -> bool:
        try:
            server.connect(dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def put(content: str) -> None:
        access.write_text(content)
        os.kill(int((server.stack.database / "postmaster.pid").read_text().split()[0]), signal.SIGHUP)

    access = server.stack.database / "pg_hba.conf"
    before = access.read_text()
    put(f"host postgres all 0.0.0.0/0 reject\n{before}")
    until(lambda: not lets_in())
    yield
    put(before)
    until(lets_in)


def test_where_the_maintenance_database_is_refused_the_applications_own_is_used(locks, server, refused):
    assert locks[0].take(OURS) == HELD
    with server.connect() as connection:
        found = connection.execute(
            "SELECT datname FROM pg_stat_activity WHERE application_name = %s", (OURS.application_name,)
        ).fetchall()
    assert found == [(postgres.ROLE,)]
    with pytest.raises(Occupied):
        locks[1].take(THEIRS)


def test_the_session_outlives_idleness_and_notices_a_dead_peer(locks, server):
    locks[0].take(OURS)
    row = (
        locks[0]
        ._connection.execute(
            "SELECT current_setting('idle_session_timeout'), current_setting('tcp_keepalives_idle'), "
            "current_setting('tcp_user_timeout')"
        )
        .fetchone()
    )
    assert row == ("0", "10", "25000")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:secret-word@127.0.0.1:9/db", "does not answer"),
        ("postgresql://u:secret-word@[host/db", "is no PostgreSQL URL"),
        ("", "no value found"),
    ],
)
def test_a_database_that_does_not_answer_is_said_without_its_password(mine, url, reason):
    on(mine.home, url)
    with pytest.raises(Unanswerable, match=reason) as raised:
        DatabaseLock(mine.env).take(OURS)
    assert "secret-word" not in str(raised.value)


def test_the_keys_are_stable_and_apart():
    assert key("twiga_scan") == key("twiga_scan") != key("twiga_scan_staging")
    assert -(2**63) <= key("twiga_scan") < 2**63
