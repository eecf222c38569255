import shutil
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import release as releases
from runbook_lib.actions import backup, migrate
from runbook_lib.checks import database, dumps
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{before}"
branch_labels = depends_on = None

def upgrade():
    {upgrade}

def downgrade():
    pass
"""
ADD_COLUMN = "op.add_column('scans', sa.Column('note', sa.Text))"
FAIL_HALFWAY = f"{ADD_COLUMN}; op.execute('SELECT 1 / 0')"


@pytest.fixture(scope="module")
def running(env):
    """The release that the sandbox has installed and runs, and its newest revision."""
    found = releases.find(env, "v0.9.0")
    return found, database.heads(env, found)[0]


@pytest.fixture
def next_release(env, running, tmp_path):
    """A release after the running one: its back end with more migrations: revision, what it follows, its code."""

    def make(*migrations):
        folder = tmp_path / "next"
        backend = folder / env.application.backend.folder
        source = running[0].folder / env.application.backend.folder
        shutil.copytree(source, backend, ignore=shutil.ignore_patterns(".venv", "__pycache__"))
        (backend / ".venv").symlink_to(source / ".venv")
        for revision, before, upgrade in migrations:
            text = MIGRATION.format(revision=revision, before=before, upgrade=upgrade)
            (backend / "migrations" / "versions" / f"{revision}.py").write_text(text)
        return Release("next", "0" * 40, folder)

    return make


@pytest.fixture
def empty(env, tmp_path, on_database):
    """An environment whose database is a scratch one with nothing in it."""
    with backup.scratch_database(env) as address:
        yield on_database(tmp_path, address)


@pytest.fixture(scope="module")
def seed(env, running, tmp_path_factory, on_database):
    """A dump of a database at the running release's revision with three scans in it."""
    with backup.scratch_database(env) as address:
        own = on_database(tmp_path_factory.mktemp("seed"), address)
        assert migrate.apply(own, running[0]).run().ok
        with database.connected(own) as connection:
            connection.execute(
                "INSERT INTO scans (type, content, fields) SELECT 'x', 'y', '{}' FROM generate_series(1, 3)"
            )
        own.backup.folder.mkdir()
        return backup.take(own, "seed").path(own)


@pytest.fixture
def live(empty, seed):
    """An environment whose database is that."""
    backup.restore(empty, seed, database.url(empty))
    return empty


def state(env):
    """The database's revision, and whether the new column is there."""
    with database.connected(env) as connection:
        columns = connection.execute(
            "SELECT count(*) FROM information_schema.columns WHERE table_name = 'scans' AND column_name = 'note'"
        ).fetchone()
        return database.revision(connection), bool(columns[0])


def scratch_databases(env):
    with database.connected(env) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'runbook\\_scratch%'").fetchall()
    return len(rows)


def test_a_rehearsal_and_what_it_rehearsed(live, running, next_release):
    release, (_, head) = next_release(("next1", running[1], ADD_COLUMN)), running
    facts = backup.rollback_point(live, release).run().facts
    databases = scratch_databases(live)
    finding = migrate.rehearse(live, release, facts).run()
    assert finding.ok, finding
    assert (finding.observed["before"], finding.observed["after"]) == (head, "next1")
    assert ("public.scans", 3, 3) in finding.tables[0].rows
    assert [line.partition(",")[0] for line in finding.observed["plan"]] == [f"{head} -> next1 (head)"]
    assert state(live) == (head, False)
    assert scratch_databases(live) == databases

    assert not database.at_head(live, release).run().ok
    assert "not migrated now" in migrate.initialise(live, release).run().observed
    assert migrate.apply(live, release).run().ok
    assert database.at_head(live, release).run().ok
    assert state(live) == ("next1", True)


def test_a_migration_that_fails_in_the_rehearsal(live, running, next_release):
    release = next_release(("next1", running[1], FAIL_HALFWAY))
    facts = backup.rollback_point(live, release).run().facts
    databases = scratch_databases(live)
    finding = migrate.rehearse(live, release, facts).run()
    assert not finding.ok
    assert "division by zero" in finding.observed["alembic"]
    assert scratch_databases(live) == databases
    assert state(live) == (running[1], False)


def test_a_migration_that_fails_leaves_the_revision(live, running, next_release):
    release = next_release(("next1", running[1], FAIL_HALFWAY))
    finding = migrate.apply(live, release).run()
    assert not finding.ok
    assert finding.observed["left where it began"]
    assert state(live) == (running[1], False)


def test_several_heads_fail_with_their_names(live, running, next_release):
    release = next_release(("next1", running[1], ADD_COLUMN), ("next2", running[1], "pass"))
    facts = backup.rollback_point(live, release).run().facts
    steps = (migrate.rehearse(live, release, facts), migrate.apply(live, release), database.at_head(live, release))
    for finding in [step.run() for step in steps]:
        assert not finding.ok
        assert finding.observed == {"heads": ["next1", "next2"]}


def test_a_dump_that_lost_rows(live, running):
    facts = backup.rollback_point(live, running[0]).run().facts
    facts["rollback_point"]["tables"]["public.scans"] = 4
    finding = migrate.rehearse(live, running[0], facts).run()
    assert not finding.ok
    assert finding.observed["rows restored"]["public.scans"] == 3


def test_a_damaged_dump(live, running):
    facts = backup.rollback_point(live, running[0]).run().facts
    dumps.rollback_point(facts).path(live).write_bytes(b"")
    assert not migrate.rehearse(live, running[0], facts).run().ok


def test_no_rollback_point_no_rehearsal(live, running):
    with pytest.raises(Unanswerable, match="no rollback point"):
        migrate.rehearse(live, running[0], {}).run()


def test_an_empty_database_is_migrated_at_once(empty, running):
    release, head = running
    facts = backup.rollback_point(empty, release).run().facts
    assert dumps.rollback_point(facts).revision is None
    assert migrate.rehearse(empty, release, facts).run().ok
    finding = migrate.initialise(empty, release).run()
    assert finding.ok
    assert state(empty)[0] == head
    assert backup.refresh(empty, release, finding.facts).run().ok


def test_an_empty_database_whose_first_migration_fails(empty, running, next_release):
    finding = migrate.initialise(empty, next_release(("next1", running[1], FAIL_HALFWAY))).run()
    assert not finding.ok
    assert state(empty)[0] is None


REVISION = st.text("0123456789abcdef", min_size=4, max_size=12)


@given(st.lists(REVISION, min_size=2, max_size=6, unique=True), st.integers(-1, 5))
def test_the_plan_holds_what_is_pending(revisions, applied):
    """As Alembic prints it: newest first, the range's lower end included."""
    applied = min(applied, len(revisions) - 1)
    lines = [f"{before} -> {after}, a message -> of one" for before, after in pairwise(("<base>", *revisions))]
    shown = lines[max(applied, 0) :]
    shown[-1] = shown[-1].replace(",", " (head),", 1)
    history = "INFO something\n" + "\n".join(reversed(shown)) + "\n"
    expected = shown if applied < 0 else shown[1:]
    assert migrate.pending(history, revisions[applied] if applied >= 0 else None) == expected


@pytest.fixture
def unmigrated(env):
    """The sandbox, declaring that nothing is migrated."""
    backend = env.application.backend.model_copy(update={"migrations": "none"})
    return env.model_copy(update={"application": env.application.model_copy(update={"backend": backend})})


def test_where_nothing_is_migrated_nothing_is_asked_of_alembic(unmigrated, tmp_path):
    bare = Release("bare", "0" * 40, tmp_path)
    applied = migrate.apply(unmigrated, bare)
    assert applied.run().ok
    assert applied.done().ok
    with pytest.raises(NotApplicable, match="migrations = 'none'"):
        database.at_head(unmigrated, bare).run()


def test_migrations_that_are_denied_are_found(unmigrated, running):
    with pytest.raises(Unanswerable, match=r"says application.backend.migrations = 'none', and v0.9.0 has an alembic"):
        migrate.apply(unmigrated, running[0]).run()
