import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.actions import backup as action
from runbook_lib.checks import database, dumps
from runbook_lib.errors import Unanswerable


@pytest.fixture
def taken(env, tmp_path):
    """An environment with a backup folder of its own, and the facts of a dump of its database in there."""
    own = env.model_copy(update={"backup": env.backup.model_copy(update={"folder": tmp_path})})
    return own, action.take(own, "test").facts()


def test_a_whole_dump(taken):
    env, facts = taken
    finding = dumps.readable(env, facts).run()
    assert finding.ok, finding.observed


def test_a_dump_of_a_partitioned_table_is_whole(env, tmp_path):
    own = env.model_copy(update={"backup": env.backup.model_copy(update={"folder": tmp_path})})
    with database.connected(env) as connection:
        connection.execute("CREATE TABLE planted (at int) PARTITION BY RANGE (at)")
        try:
            connection.execute("CREATE TABLE planted_1 PARTITION OF planted FOR VALUES FROM (0) TO (9)")
            facts = action.take(own, "test").facts()
        finally:
            connection.execute("DROP TABLE planted")
    finding = dumps.readable(own, facts).run()
    assert finding.ok, finding.observed
    assert "public.planted_1" in dumps.rollback_point(facts).tables


def test_a_missing_dump(taken):
    env, facts = taken
    dumps.rollback_point(facts).path(env).unlink()
    assert "missing" in faults(env, facts)


def test_a_changed_dump(taken):
    env, facts = taken
    path = dumps.rollback_point(facts).path(env)
    path.write_bytes(path.read_bytes() + b"\0")
    assert "SHA-256" in faults(env, facts)


def test_a_dump_that_others_can_read(taken):
    env, facts = taken
    dumps.rollback_point(facts).path(env).chmod(0o644)
    assert "0644" in faults(env, facts)


def test_a_dump_without_a_table(taken):
    env, facts = taken
    facts["rollback_point"]["tables"]["public.lost"] = 7
    assert "public.lost" in faults(env, facts)


def test_a_file_that_is_no_dump(taken):
    env, facts = taken
    path = dumps.rollback_point(facts).path(env)
    path.write_bytes(b"no dump")
    facts["rollback_point"]["sha256"] = dumps.digest(path)
    with pytest.raises(Unanswerable, match="cannot read"):
        dumps.readable(env, facts).run()


def test_no_dump_in_this_run(env):
    with pytest.raises(Unanswerable, match="no rollback point"):
        dumps.readable(env, {}).run()


def faults(env, facts):
    finding = dumps.readable(env, facts).run()
    assert not finding.ok
    return " ".join(finding.observed["faults"])


NAMES = st.text("az_09", min_size=1, max_size=8)


@given(st.dictionaries(st.tuples(NAMES, NAMES), NAMES, max_size=3))
def test_the_table_of_contents_is_read(tables):
    listing = "; Archive created at\n" + "".join(
        f"{number}; 0 {16000 + number} TABLE DATA {schema} {table} {owner}\n{number}; 1259 7 TABLE {schema} x {owner}\n"
        for number, ((schema, table), owner) in enumerate(tables.items())
    )
    assert dumps.tables_in(listing) == {f"{schema}.{table}" for schema, table in tables}
