from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import environment
from runbook_lib.actions import backup, daily, schedule
from runbook_lib.checks import backups
from runbook_lib.checks import schedule as scheduled
from runbook_lib.environment import CronSchedule, Secret, SupervisorSchedule, SystemdSchedule
from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.platforms.supervisor import calling
from runbook_lib.schedules import interface

from ..waiting import until

SECONDS = 30.0
SUPERVISORD = """\
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
nodaemon=true
{user}logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
[include]
files = schedules/*.conf
"""


@pytest.fixture
def own(env, sandbox, monkeypatch):
    """The sandbox's environment in a home of its own, with its own backups, under a supervisord of its own."""
    folder = Path(tempfile.mkdtemp(prefix="runbook-schedule-")).resolve()
    environments = folder / "notebooks" / "environments"
    environments.mkdir(parents=True)
    text = sandbox.stacks[0].environment.read_text()
    text = text.replace(json.dumps("../sandbox/backups"), json.dumps(str(folder / "backups")))
    text = text.replace(json.dumps("../sandbox/schedules"), json.dumps(str(folder / "schedules")))
    text = text.replace(json.dumps(str(env.platform.socket)), json.dumps(str(folder / "supervisor.sock")))
    text = text.replace('"../', f'"{sandbox.root}/')
    (environments / "sandbox.toml").write_text(text)
    configuration = folder / "supervisord.conf"
    configuration.write_text(SUPERVISORD.format(folder=folder, user="user=root\n" if os.geteuid() == 0 else ""))
    monkeypatch.setenv("RUNBOOK_HOME", str(folder))
    with (folder / "output").open("wb") as output:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", configuration], stdout=output, stderr=output
        )
    try:
        until((folder / "supervisor.sock").is_socket)
        yield environment.load("sandbox")
    finally:
        daemon.terminate()
        daemon.wait(SECONDS)
        shutil.rmtree(folder)


def with_schedule(env, settings):
    return env.model_copy(update={"backup": env.backup.model_copy(update={"schedule": settings})})


def installed(env):
    finding = scheduled.installed(env).run()
    return finding.ok, finding.observed


def test_supervisors_schedule_takes_a_backup_by_itself(own):
    assert not installed(own)[0]
    assert schedule.install(own).run().ok
    assert installed(own)[0], installed(own)
    until(lambda: backups.newest(own))
    assert backups.recent(own).run().ok
    newest = backups.newest(own)
    assert newest.file.endswith("-daily.dump")
    assert not backups.faults(own, newest)

    again = schedule.install(own).run()
    assert [row[1] for row in again.tables[0].rows] == ["as it was"]
    path = own.backup.schedule.folder / "runbook-backup-sandbox.conf"
    path.write_text(path.read_text() + "; changed by hand\n")
    assert installed(own) == (False, [f"{path} is not as it was written"])
    assert schedule.install(own).run().ok
    assert installed(own)[0]

    with calling(own.platform.socket) as supervisord:
        supervisord.stopProcess("runbook-backup-sandbox")
    ok, observed = installed(own)
    assert not ok
    assert "runbook-backup-sandbox is STOPPED" in observed[0]
    path.unlink()
    assert installed(own) == (False, [f"{path} is missing"])


def test_the_first_daily_backup_is_taken_beside_a_runs_own_dumps(own, release):
    assert backup.rollback_point(own, release).run().ok
    assert not backups.recent(own).run().ok
    assert schedule.first_backup(own).run().ok
    assert backups.recent(own).run().ok
    first = backups.newest_daily(own)
    assert daily.step("sandbox") > 0
    assert schedule.first_backup(own).run().observed == f"there is one: {first.file}"
    assert backups.newest_daily(own) == first


@pytest.mark.parametrize("kind", ["supervisor", "cron"])
def test_the_first_backup_has_only_what_the_schedule_gives_it(own, monkeypatch, tmp_path, kind):
    chosen = own if kind == "supervisor" else with_schedule(own, CronSchedule(kind="cron", folder=tmp_path))
    monkeypatch.setenv("ONLY_HERE", "1")
    monkeypatch.setattr(
        interface, "command", lambda env: [sys.executable, "-c", "import os; raise SystemExit(str(sorted(os.environ)))"]
    )
    seen = schedule.first_backup(chosen).run().observed
    assert "RUNBOOK_HOME" in seen
    assert "ONLY_HERE" not in seen


def test_an_address_that_only_this_session_has_is_refused(own):
    url = Secret(env="DATABASE_URL")
    here = own.model_copy(update={"database": own.database.model_copy(update={"url": url})})
    finding = schedule.install(here).run()
    assert not finding.ok
    assert "$DATABASE_URL of this session" in finding.observed


def test_a_first_backup_that_cannot_be_taken(own, monkeypatch):
    monkeypatch.setattr(interface, "command", lambda env: [sys.executable, "-c", "raise SystemExit('disk full')"])
    finding = schedule.first_backup(own).run()
    assert not finding.ok
    assert "ended with 1: disk full" in finding.observed


def test_each_daily_backup_removes_those_beyond_their_retention(own):
    own.backup.folder.mkdir()
    old = backup.take(own, "daily").path(own)
    then = datetime.now(UTC) - timedelta(days=own.backup.retention_days + 1)
    taken = backups.newest_daily(own).model_copy(update={"taken_at": then})
    backups.metadata_of(old).unlink()
    taken.write(own.backup.folder)
    os.utime(old, (then.timestamp(), then.timestamp()))
    daily.step("sandbox")
    left = backups.newest_daily(own)
    assert left.taken_at > then
    assert {path.name for path in own.backup.folder.iterdir()} == {left.file, f"{left.file}.json"}


def test_the_schedule_takes_its_backup_whatever_runs_have_dumped(own, release):
    assert backup.rollback_point(own, release).run().ok
    daily.step("sandbox")
    assert backups.newest_daily(own) is not None


def test_a_supervisord_that_reads_another_folder(own, tmp_path):
    elsewhere = with_schedule(own, SupervisorSchedule(kind="supervisor", folder=tmp_path))
    with pytest.raises(Unanswerable, match="refused: BAD_NAME"):
        schedule.install(elsewhere).run()
    ok, observed = installed(elsewhere)
    assert not ok
    assert "does its [include] read" in observed[0]


def test_a_supervisord_that_is_down(env, tmp_path):
    down = with_schedule(env, SupervisorSchedule(kind="supervisor", folder=tmp_path))
    down = down.model_copy(update={"platform": env.platform.model_copy(update={"socket": tmp_path / "none"})})
    with pytest.raises(Unanswerable, match="does not answer"):
        schedule.install(down).run()
    with pytest.raises(Unanswerable, match="does not answer"):
        scheduled.installed(down).run()


def test_no_schedule_declared(env):
    undeclared = with_schedule(env, None)
    for step in (schedule.first_backup(undeclared), schedule.install(undeclared), scheduled.installed(undeclared)):
        with pytest.raises(Unanswerable, match=r"sandbox\.toml declares no backup\.schedule"):
            step.run()


def test_a_folder_that_may_not_be_written_to(env, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unanswerable, match="could not be written"):
        schedule.install(with_schedule(env, CronSchedule(kind="cron", folder=tmp_path / "file"))).run()


def test_crons_file(env, tmp_path):
    own = with_schedule(env, CronSchedule(kind="cron", folder=tmp_path, at=time_of_day(4, 5), user="backup"))
    assert schedule.install(own).run().ok
    assert installed(own) == (True, "cron, daily at 04:05, as backup")
    path = tmp_path / "runbook-backup-sandbox"
    *variables, line = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert [variable.partition("=")[0] for variable in variables] == ["RUNBOOK_HOME"]
    *when, user, command = line.split(" ", 6)
    assert (when, user) == (["5", "4", "*", "*", "*"], "backup")
    assert shlex.split(command)[1:] == ["backup", "sandbox"]
    path.chmod(0o666)
    assert "cron skips it" in installed(own)[1][0]


def test_systemds_units(env, tmp_path):
    own = with_schedule(env, SystemdSchedule(kind="systemd", folder=tmp_path, user="root"))
    assert schedule.install(own).run().ok
    ok, observed = installed(own)
    assert ok, observed
    assert f"units written to {tmp_path}" in observed
    assert "OnCalendar=*-*-* 03:00:00" in (tmp_path / "runbook-backup-sandbox.timer").read_text()
    service = tmp_path / "runbook-backup-sandbox.service"
    service.write_text(service.read_text().replace("Type=oneshot", "Type=twoshot"))
    assert installed(own) == (False, [f"{service} is not as it was written"])


@pytest.fixture
def systemctl(monkeypatch, tmp_path):
    """A stand-in for systemctl, since a machine under test need not run systemd: it answers with these exit codes."""
    monkeypatch.setattr("runbook_lib.schedules.systemd.SYSTEM", tmp_path / "system")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def answering(**codes):
        cases = "".join(f"{word.replace('_', '-')}) echo inactive; exit {code};;\n" for word, code in codes.items())
        program = tmp_path / "bin" / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\ncase "$1" in\n{cases}esac\n')
        program.chmod(0o755)
        return tmp_path / "system"

    return answering


def test_a_timer_that_runs(env, systemctl, tmp_path):
    own = with_schedule(env, SystemdSchedule(kind="systemd", folder=systemctl()))
    assert schedule.install(own).run().ok
    assert installed(own)[0]
    asked = (tmp_path / "asked").read_text().splitlines()
    timer = "runbook-backup-sandbox.timer"
    assert asked == ["daemon-reload", f"enable --now {timer}", f"is-enabled {timer}", f"is-active {timer}"]


def test_a_timer_that_does_not_run(env, systemctl):
    own = with_schedule(env, SystemdSchedule(kind="systemd", folder=systemctl(is_active=3)))
    assert schedule.install(own).run().ok
    assert installed(own) == (False, ["systemctl is-active runbook-backup-sandbox.timer: inactive"])


def test_a_systemd_that_refuses(env, systemctl):
    own = with_schedule(env, SystemdSchedule(kind="systemd", folder=systemctl(enable=1)))
    with pytest.raises(Unanswerable, match=r"systemctl enable --now .* ended with 1"):
        schedule.install(own).run()


MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, st.times())
def test_the_next_backup_is_due_within_a_day(newest, at):
    when = daily.due(newest, at)
    assert newest < when <= newest + timedelta(days=1, hours=2)
    assert daily.due(None, at) is None


def test_an_environment_that_is_gone_ends_the_program(mini):
    with pytest.raises(ConfigurationError, match="There is no environment 'gone'"):
        daily.step("gone")
