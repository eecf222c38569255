from __future__ import annotations

import pytest

from runbook_lib.actions import edge
from runbook_lib.errors import Waiting
from runbook_lib.platforms import edges

PROOFS = {
    "R.1.2": "rollback.previous_release",
    "R.1.3": "rollback.restore_database",
    "R.2.1": "services.running",
    "R.2.2": "http.features",
    "R.2.3": "success.error_rate",
}


@pytest.fixture
def where(env, named):
    return named(env)


def prove(recording, **statuses):
    recording.phase(90)
    for item, name in PROOFS.items():
        status = statuses.get(item.replace(".", ""), "passed")
        if status:
            recording.step(90, item, name, status=status)


def test_it_closes_and_reopens_when_everything_is_proved(where, record):
    recording = record(where)
    prove(recording)
    assert edge.close(where).run().ok
    assert where.edge.file.exists()
    finding = edge.reopen(where, recording.run).run()
    assert finding.ok, finding.observed
    assert not where.edge.file.exists()


@pytest.mark.parametrize("status", ["failed", "error", "planned", ""])
@pytest.mark.parametrize("item", PROOFS)
def test_it_stays_closed_while_anything_is_not_proved(where, record, item, status):
    recording = record(where)
    prove(recording)
    prove(recording, **{item.replace(".", ""): status})
    edge.close(where).run()
    try:
        finding = edge.reopen(where, recording.run).run()
        assert not finding.ok
        assert (item if item != "R.2.3" else "the error rate") in finding.observed
        assert where.edge.file.exists()
    finally:
        edges.connect(where).open()


def test_without_an_edge_a_person_stops_the_traffic(where, record):
    alone = where.model_copy(update={"edge": None})
    recording = record(alone)
    prove(recording)
    for step in (edge.close(alone), edge.reopen(alone, recording.run)):
        with pytest.raises(Waiting, match="a person"):
            step.run()
