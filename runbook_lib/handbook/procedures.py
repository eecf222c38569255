"""Pages about what to do: deploy, roll back, recover."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from runbook_lib import checklist, runner, schedules
from runbook_lib.actions.restoration import RESTORATION
from runbook_lib.checklist import Phase
from runbook_lib.checks import backups, database
from runbook_lib.environment import Environment, Secret, SupervisorPlatform
from runbook_lib.errors import Unanswerable
from runbook_lib.handbook.writing import publish, unsaid, values
from runbook_lib.pages import Page, Section
from runbook_lib.planning import PlannedItem
from runbook_lib.platforms import compose_engine, compose_file
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, action

_EXTRACT: Final = (
    "import sys, urllib.parse as u; url = u.urlsplit(sys.stdin.readline().strip()); "
    "print(u.unquote(url.password or '') or u.parse_qs(url.query).get('password', [''])[0])"
)
"""Python that prints the password of the URL it reads."""
_LOOK_UP: Final = "import sys, dotenv; print(dotenv.dotenv_values(sys.argv[1], interpolate=False)[sys.argv[2]])"
"""Python that prints a key of a .env file, however it is quoted there, or exported."""
_ROWS_TAKEN: Final = (
    "import json, sys; tables = json.load(open(sys.argv[1], encoding='utf-8'))['tables']; "
    "print(*(name + ' ' + str(tables[name]['rows']) for name in sorted(tables)), sep=chr(10))"
)
"""Python that prints each table and its rows by a backup's metadata, sorted."""
_ROWS_RESTORED: Final = (
    "SELECT format('SELECT %L || count(*) FROM %I.%I', schemaname || '.' || tablename || ' ', schemaname, tablename) "
    "FROM pg_tables WHERE schemaname <> 'information_schema' AND schemaname NOT LIKE 'pg\\_%' "
    "ORDER BY (schemaname || '.' || tablename) COLLATE \"C\" \\gexec"
)
"""What lets psql print each table and its rows in the same way."""


@action("Write the handbook's page on deploying to {env}")
def deployment(env: Environment, release: Release) -> Finding:
    """13.1.3: the commands for this environment, then every phase with its items and steps.

    Raises
    ------
    Unanswerable
        The project's documents cannot be read, or the folder cannot be written to.
    """
    planned = runner.plan(env, release, checklist.forward())
    page = Page(
        "deployment",
        f"{env}: deploying",
        (
            "The runbook deploys, phase by phase; a phase whose gate does not pass stops it.",
            f"A phase alone: runbook run {env} --release TAG --only NUMBER. What it came to: runbook show RUN.",
        ),
        (
            Section("The commands", ("In the kit's folder.",), None, _deployment_commands(env, release)),
            Section("What is deployed", (), _what(env)),
            *_phases(planned),
            unsaid(
                env,
                release,
                {
                    "how to deploy": ("deploy", "docker compose", "docker-compose"),
                    "how to migrate the database": ("migrat", "alembic upgrade"),
                    "how to roll back": ("rollback", "roll back"),
                },
            ),
        ),
    )
    return publish(env, page)


def _deployment_commands(env: Environment, release: Release) -> list[str]:
    confirm = f" --confirm {shlex.quote(env.name)}" if env.kind == "production" else ""
    words = f"{shlex.quote(env.name)} --release {shlex.quote(release.tag)}"
    return [
        f"runbook plan {words}                # every step, nothing is touched",
        f"runbook run {words} --dry-run       # checks answered, actions planned",
        f"runbook run {words}{confirm}",
    ]


def _what(env: Environment) -> Table:
    return values(
        {
            "Repository": str(env.application.repository),
            "Checkouts of releases": str(env.application.releases),
            "Settings": str(env.dotenv.file),
            "Platform": env.platform.kind,
            "Services": ", ".join(env.platform.services),
            "Receives a release first": env.staging,
            "Backups": str(env.backup.folder),
        }
    )


def _phases(planned: Sequence[PlannedItem]) -> Iterable[Section]:
    numbers: dict[int, Phase] = {each.phase.number: each.phase for each in planned}
    for number, phase in numbers.items():
        rows = tuple(
            (each.item.id, each.item.text, step.kind, step.title)
            for each in planned
            if each.phase.number == number
            for step in each.steps
        )
        title = f"{number} {phase.title}"
        yield Section(title, (f"Notebook: {phase.notebook}",), Table(("item", "text", "kind", "step"), rows, title))


@action("Write the handbook's page on rolling {env} back")
def rollback(env: Environment, release: Release) -> Finding:
    """13.1.4: when, by which commands, and what each step of the rollback's notebook does.

    Raises
    ------
    Unanswerable
        As :func:`deployment`.
    """
    phase = checklist.phase(checklist.ROLLBACK)
    planned = runner.plan(env, release, (phase,))
    confirm = f" --confirm {shlex.quote(env.name)}" if env.kind == "production" else ""
    page = Page(
        "rollback",
        f"{env}: rolling back",
        (
            "Roll back when users are affected and the cause is not plain: phase 8 or a later one failed, or the error "
            "rate or the response times are beyond the objectives below.",
            "The database is restored from the run's rollback point only if the schema has changed; what was written "
            "since is dumped before anything is overwritten.",
        ),
        (
            Section(
                "The commands",
                (f"Or step through {phase.notebook} in JupyterLab: runbook lab {env}{confirm}.",),
                None,
                [f"runbook rollback {shlex.quote(env.name)}{confirm}"],
            ),
            Section(
                "When",
                (),
                values(
                    {
                        "Error rate above": f"{env.objectives.error_rate:.2%}",
                        "p95 response time above, ms": f"{env.objectives.p95_milliseconds:g}",
                        "Health": ", ".join(env.web.address(request.path) for request in env.web.health),
                    }
                ),
            ),
            *_phases(planned),
            unsaid(
                env,
                release,
                {"how to roll back": ("rollback", "roll back"), "how to restore the database": ("restore", "psql")},
            ),
        ),
    )
    return publish(env, page)


@action("Write the handbook's page on recovering {env}")
def recovery(env: Environment, release: Release, facts: Mapping[str, Any]) -> Finding:
    """14.2.1: where backups lie, the commands for this environment, who may run them, and what 14.1.2 measured.

    Raises
    ------
    Unanswerable
        No restoration was measured in this run, or there is no newest backup.
    """
    if RESTORATION not in facts:
        raise Unanswerable("no restoration was measured in this run", remedy="let item 14.1.2 pass first")
    newest = backups.newest(env)
    if newest is None:
        return backups.none_taken(env)
    measured = facts[RESTORATION]
    page = Page(
        "recovery",
        f"{env}: recovering from a disaster",
        (
            "Restore beside what is left, compare, then swap: nothing is overwritten until the new database is whole.",
            "The commands are for bash, in the kit's folder, in one session from the first to the last.",
        ),
        (
            Section("Who may run them", (), _operators(env)),
            Section("Where backups lie", (), _whereabouts(env, newest)),
            Section("Measured", (f"By item 14.1.2, on {measured['file']}.",), _measured(env, measured)),
            Section("1. Stop what writes", (), None, _stopping(env)),
            Section("2. Reach the database server", (), None, connecting(env)),
            Section("3. Keep what is left", ("Skip it where nothing can be read any more.",), None, keeping(env)),
            Section("4. Restore the newest backup beside it", (), None, restoring(env)),
            Section(
                "5. Compare",
                ("Each table's rows, as they were in the backup and as they are now; a difference is shown.",),
                None,
                comparing(),
            ),
            Section(
                "6. Swap",
                (
                    "Nothing is swapped that has not been compared. Leave the first rename out where the old database "
                    "is gone.",
                ),
                None,
                swapping(env),
            ),
            Section(
                "7. Start the service",
                (
                    "Phase 8 applies the migrations that the backup lacks, starts the services and asks for health.",
                    f"Give another release where {release} was not the last that served: runbook list {env.name}.",
                ),
                None,
                [f"runbook run {shlex.quote(env.name)} --release {shlex.quote(release.tag)} --only 8" + _confirm(env)],
            ),
        ),
    )
    return publish(env, page)


def _confirm(env: Environment) -> str:
    return f" --confirm {shlex.quote(env.name)}" if env.kind == "production" else ""


def _operators(env: Environment) -> Table:
    contacts = {contact.role: contact for contact in env.contacts}
    rows = tuple(
        (role, contact.name, contact.email, contact.phone) if (contact := contacts.get(role)) else (role, "", "", "")
        for role in env.recovery.operators
    )
    return Table(("role", "name", "e-mail", "phone"), rows, "Who may restore")


def _whereabouts(env: Environment, newest: backups.Backup) -> Table:
    return values(
        {
            "Folder": str(env.backup.folder),
            "Newest": f"{newest.file}, {newest.size:,} bytes, taken {newest.taken_at:%Y-%m-%d %H:%M} UTC",
            "Beside each": "its metadata, as .json: SHA-256, rows and checksum of each table",
            "Schedule": schedules.connect(env).describe() if env.backup.schedule else "none declared",
            "Kept for": f"{env.backup.retention_days} days",
        },
        title="Backups",
    )


def _measured(env: Environment, measured: Mapping[str, Any]) -> Table:
    seconds = measured["seconds"]
    return values(
        {
            **{f"{step}, seconds": figure for step, figure in seconds.items()},
            "all, seconds": round(sum(seconds.values()), 3),
            "bytes": f"{measured['size']:,}",
            "rows": f"{measured['rows']:,}",
            "RTO declared, seconds": env.recovery.rto_seconds,
            "RPO declared, seconds": env.recovery.rpo_seconds,
        },
        title="Measured",
    )


def _stopping(env: Environment) -> list[str]:
    """The command that stops the services that are built from a release, and leaves the database alone."""
    if isinstance(env.platform, SupervisorPlatform):
        program = [sys.executable, "-m", "supervisor.supervisorctl", "-s", f"unix://{env.platform.socket}"]
        return [shlex.join([*program, "stop", *env.platform.services])]
    # By the engine: the compose file is the release's own, and may have another name for each.
    labels = (f"label={compose_engine.PROJECT}={env.platform.project}", f"label={compose_file.BUILT}")
    running = shlex.join(["docker", "ps", "--quiet", *(word for label in labels for word in ("--filter", label))])
    return [f"{running} | xargs --no-run-if-empty docker stop"]


def connecting(env: Environment) -> list[str]:
    """Commands that let PostgreSQL's programs reach the server; the password is fetched, never written down."""
    variables = database.libpq_environment(database.url(env))
    path = [f"export PATH={shlex.quote(str(env.database.programs))}:$PATH"] if env.database.programs else []
    exports = [
        f"export {name}={shlex.quote(value)}"
        for name, value in sorted(variables.items())
        if name not in ("PGPASSWORD", "PGDATABASE")
    ]
    fetch = f"export PGPASSWORD=$({_fetching(env.database.url)} | python3 -c {shlex.quote(_EXTRACT)})"
    return [*path, *exports, fetch, f"NAME={shlex.quote(variables['PGDATABASE'])}"]


def _fetching(secret: Secret) -> str:
    """The command that prints what a secret refers to."""
    if secret.env is not None:
        return f"printenv {shlex.quote(secret.env)}"
    if secret.file is not None:
        return shlex.join([sys.executable, "-c", _LOOK_UP, str(secret.file), str(secret.key)])
    return shlex.join(secret.command or ())


def keeping(env: Environment) -> list[str]:
    """Commands that dump what is left of the live database."""
    folder = shlex.quote(str(env.backup.folder))
    return [f'pg_dump --format=custom --dbname="$NAME" --file={folder}/damaged-"$(date -u +%Y%m%dT%H%M%SZ)"']


def restoring(env: Environment) -> list[str]:
    """Commands that verify the newest backup and restore it beside the live database; only then is RESTORED set."""
    pattern = f"{shlex.quote(str(env.backup.folder))}/{shlex.quote(env.name)}-[0-9]*.dump"
    return [
        "RESTORED= COMPARED=",
        "# Without what a rollback took back, which is the data of a release that was rejected.",
        f"BACKUP=$(ls {pattern} | grep -v -e '{backups.REJECTED}[.]dump$' | tail -n 1)",
        "# What follows stops where the file is not what was written, by the digest beside it.",
        'grep "$(sha256sum < "$BACKUP" | cut -d " " -f 1)" "$BACKUP.json" &&',
        '  createdb --template=template0 --maintenance-db=postgres "$NAME"_restored &&',
        '  pg_restore --exit-on-error --no-owner --no-privileges --dbname="$NAME"_restored "$BACKUP" &&',
        '  RESTORED="$NAME"_restored ||',
        '  { echo "Not restored: go no further" >&2; false; }',
    ]


def comparing() -> list[str]:
    """Commands that compare each table's rows with the backup's metadata; only where all agree is COMPARED set."""
    return [
        "COMPARED=",
        '[ -n "${RESTORED:-}" ] &&',
        f'  TAKEN=$(python3 -c {shlex.quote(_ROWS_TAKEN)} "$BACKUP.json") &&',
        '  FOUND=$(printf "%s\\n" ' + shlex.quote(_ROWS_RESTORED) + " |",
        '    psql --no-psqlrc --dbname="$RESTORED" --tuples-only --no-align --set=ON_ERROR_STOP=1 --file=-) &&',
        '  diff <(echo "$TAKEN") <(echo "$FOUND") && COMPARED="$RESTORED" && echo "$FOUND" ||',
        '  { echo "Not the rows of the backup (< taken, > restored): go no further" >&2; false; }',
    ]


def swapping(env: Environment) -> list[str]:
    """Commands that put the compared database in the live one's place, which is kept under another name.

    Both are renamed in one transaction: whatever goes wrong, one database has the live one's name.
    """
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'name' AND usename = current_user;"
    return [
        '[ -n "${COMPARED:-}" ] &&',
        f'  echo "{ends}" | psql --no-psqlrc --dbname=postgres --set=name="$NAME" --quiet --output=/dev/null &&',
        "  printf '%s\\n' \\",
        '    \'ALTER DATABASE :"name" RENAME TO :"old";\' \\',
        '    \'ALTER DATABASE :"new" RENAME TO :"name";\' |',
        "  psql --no-psqlrc --dbname=postgres --single-transaction --set=ON_ERROR_STOP=1 --file=- \\",
        '    --set=name="$NAME" --set=old="$NAME"_damaged --set=new="$COMPARED" && COMPARED= ||',
        '  { echo "Not swapped: the databases have the names that they had" >&2; false; }',
    ]
