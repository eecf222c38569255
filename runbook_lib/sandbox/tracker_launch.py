"""Prepare Bugsink's database where that was not done yet, then become its server: ``tracker_launch.py FOLDER ADDRESS``.

Run by supervisord on the tracker's own Python, by its path, so that nothing of the kit is imported.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

SETTINGS = "bugsink_conf"
"""Its settings' module, in the folder."""
USER = "operator"
PROJECTS = {"sandbox": 1, "sandbox-staging": 2}
"""Each stack's project, by the number that its DSN ends with."""
_PREPARED = "prepared"


def key_name(project: str) -> str:
    """The name under which the key of a project's DSN is kept."""
    return f"{project.upper().replace('-', '_')}_KEY"


def read(file: Path) -> dict[str, str]:
    """The names and values of a file with lines ``NAME=value``."""
    return dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines())


def prepare(folder: Path) -> None:
    """Migrate its database; make its user, its projects and the token of its API. Can be repeated."""
    import django
    from django.core.management import call_command

    django.setup()
    from bsmain.models import AuthToken
    from django.contrib.auth import get_user_model
    from projects.models import Project
    from teams.models import Team

    call_command("migrate", verbosity=0)
    keys = read(folder / "keys.env")
    users = get_user_model().objects
    if not users.filter(username=USER).exists():
        users.create_superuser(username=USER, email=f"{USER}@sandbox.invalid", password=keys["PASSWORD"])
    team, _ = Team.objects.get_or_create(name="Sandbox")
    for name, number in PROJECTS.items():
        values = {"team": team, "name": name, "slug": name, "sentry_key": keys[key_name(name)]}
        Project.objects.update_or_create(id=number, defaults=values)
    rights = {"issues_read": True, "events_read": True, "projects_read": True}
    AuthToken.objects.get_or_create(token=keys["TOKEN"], defaults={"description": "runbook", **rights})


def main(folder: Path, address: str) -> None:
    """Prepare, and serve at `address` in this process's place."""
    os.umask(0o077)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    stamp = folder / _PREPARED
    # Another version of Bugsink migrates its database anew.
    wanted = version("bugsink")
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        prepare(folder)
        stamp.write_text(wanted, encoding="utf-8")
    gunicorn = os.fspath(Path(sys.executable).with_name("gunicorn"))
    options = [f"--bind={address}", "--workers=1", "--threads=4", "--no-control-socket", f"--worker-tmp-dir={folder}"]
    os.execv(gunicorn, [gunicorn, "bugsink.wsgi", *options])  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
