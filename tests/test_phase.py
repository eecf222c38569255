from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import runbook_lib
from runbook_lib import card
from runbook_lib.errors import ConfigurationError, GateFailed, NotApplicable, RecordError, Unanswerable, Waiting
from runbook_lib.planning import planning
from runbook_lib.record import archive
from runbook_lib.record.archive import Way
from runbook_lib.record.result import ItemResult, StepResult
from runbook_lib.record.summary import summarize
from runbook_lib.step import Evidence, Finding, Kind, Status, Table, action, check


@check("Two and {number} are alike")
def alike(number: int) -> Finding:
    return Finding(ok=number == 2, observed=number, expected=2, remedy="make it two", facts={"number": number})


@check("Raises {error}")
def raises(error: BaseException) -> Finding:
    raise error


@action("Changes {what}")
def changes(what: list) -> Finding:
    what.append("changed")
    return Finding(ok=True, observed="changed", expected="changed")


@action("Fails to change anything")
def fails() -> Finding:
    return Finding(ok=False, observed="unchanged", expected="changed")


def begin(**options):
    return runbook_lib.begin(3, environment="mini", release="v1", **options)


def results(phase) -> dict:
    return {id: item["status"] for id, item in summarize(phase.run).items.items()}


@pytest.mark.parametrize(
    ("step", "status"),
    [
        (alike(2), Status.PASSED),
        (alike(3), Status.FAILED),
        (raises(Unanswerable("the tool is missing")), Status.ERROR),
        (raises(OSError("no route")), Status.ERROR),
        (raises(Waiting("the mail has not come")), Status.PENDING),
        (raises(NotApplicable("cache is not declared")), Status.SKIPPED),
        (runbook_lib.not_built("later"), Status.PENDING),
        (runbook_lib.attest("The team is trained"), Status.PENDING),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_a_step_does_becomes_its_status(mini, step, status):
    phase = begin()
    phase.item("3.2", step)
    assert results(phase) == {"3.2": status}


def test_an_item_is_as_bad_as_its_worst_step(mini):
    phase = begin()
    phase.item("3.1", alike(2), raises(Unanswerable("why")), alike(2))
    assert results(phase) == {"3.1": Status.ERROR}


def test_what_was_measured_in_vain_is_kept_and_in_error(mini):
    seen = Finding(False, "20 ms", "< 200 ms", tables=(Table(("ms",), ((20,),)),), evidence=(Evidence("a.txt", "b"),))
    phase = begin()
    phase.item("3.1", raises(Unanswerable("inconclusive", seen=seen)))
    (step,) = summarize(phase.run).items["3.1"]["steps"]
    assert (step["status"], step["observed"], step["reason"]) == (Status.ERROR, "20 ms", "inconclusive")
    assert step["tables"][0]["rows"] == [[20]]
    assert (phase.run.folder / step["evidence"][0]["path"]).read_text() == "b"


def test_what_was_measured_in_vain_is_shown_beside_the_reason():
    step = StepResult("a", Kind.CHECK, "A", {}, Status.ERROR, "20 ms", "< 9 ms", "inconclusive", "", 0.1)
    shown = card.bundle(ItemResult("3.1", "text", (step,)))
    for kind in ("text/html", "text/plain"):
        assert "inconclusive" in shown[kind]
        assert "20 ms" in shown[kind]


def test_what_follows_a_failed_action_is_not_run(mini):
    phase = begin()
    phase.item("3.1", fails(), alike(2))
    second = summarize(phase.run).items["3.1"]["steps"][1]
    assert second["status"] == Status.FAILED
    assert "not run: it depends on 'Fails to change anything'" in second["reason"]


@pytest.mark.parametrize("found", [alike(3), raises(Unanswerable("the tool is missing"))], ids=["failed", "error"])
def test_no_action_follows_on_what_a_check_of_the_same_item_found_wrong(mini, found):
    touched: list = []
    phase = begin()
    phase.item("3.1", found, alike(2), changes(touched))
    phase.item("3.2", changes(touched))
    first, second, third = summarize(phase.run).items["3.1"]["steps"]
    assert second["status"] == Status.PASSED
    assert third["status"] == first["status"] != Status.PASSED
    assert f"not run: it depends on '{first['title']}'" in third["reason"]
    # Only the other item's.
    assert touched == ["changed"]
    assert results(phase)["3.2"] == Status.PASSED


def test_a_dry_run_plans_actions_and_answers_checks(mini):
    touched: list = []
    phase = begin(dry_run=True)
    phase.item("3.1", changes(touched), alike(2))
    phase.item("3.2", alike(2))
    assert touched == []
    assert results(phase) == {"3.1": Status.PLANNED, "3.2": Status.PASSED}


@pytest.mark.parametrize(("confirm", "acts"), [("", False), ("other", False), ("mini", True)])
def test_production_acts_only_when_its_name_is_given(mini, confirm, acts):
    toml = mini.environments[0] / "mini.toml"
    toml.write_text(toml.read_text().replace('kind = "sandbox"', 'kind = "production"'))
    touched: list = []
    phase = begin(confirm=confirm)
    phase.item("3.1", changes(touched))
    assert bool(touched) is acts


def test_the_gate_fails_on_what_failed_and_on_what_never_ran(mini):
    phase = begin()
    phase.item("3.1", alike(3))
    with pytest.raises(GateFailed, match=r"1 failed; not passed: 3\.1; never ran: 3\.2"):
        phase.gate()
    assert summarize(phase.run).phases[-1].outcome == "failed"


def test_the_gate_passes_with_pending_items(mini):
    phase = begin()
    phase.item("3.1", alike(2))
    phase.item("3.2", runbook_lib.not_built("later"))
    phase.gate()
    assert summarize(phase.run).phases[-1].outcome == "passed"


def test_facts_reach_later_steps_even_of_the_same_item(mini):
    seen = []

    @check("Sees the fact")
    def sees(facts) -> Finding:
        seen.append(facts["number"])
        return Finding(ok=True, observed=facts["number"], expected="a number")

    phase = begin()
    phase.item("3.1", alike(2), sees(phase.facts))
    assert seen == [2]


def test_secrets_are_masked_before_they_are_kept(mini):
    secret = "mini-database-password"

    @check("Echoes {text}")
    def echoes(text: str) -> Finding:
        table = Table(("column",), ((text,),))
        return Finding(
            True, text, {text: text}, tables=(table,), evidence=(Evidence("echo.log", text),), facts={"f": text}
        )

    phase = begin()
    phase.item("3.1", echoes(secret))
    phase.item("3.2", raises(ValueError(secret)))
    kept = [path for path in phase.run.folder.rglob("*") if path.is_file()]
    assert len(kept) >= 2
    for path in kept:
        assert secret not in path.read_text()
    assert "[masked" in phase.run.events.path.read_text()


def test_an_interrupted_step_is_recorded_and_stops_the_notebook(mini):
    phase = begin()
    with pytest.raises(KeyboardInterrupt):
        phase.item("3.1", raises(KeyboardInterrupt()))
    last = phase.run.events.read()[-1]
    assert (last.name, last.data["status"], last.data["reason"]) == (
        "step finished",
        "error",
        "interrupted while it ran",
    )


def test_running_an_item_again_supersedes_and_keeps_both(mini):
    phase = begin()
    phase.item("3.2", alike(3))
    phase.item("3.2", alike(2))
    assert results(phase) == {"3.2": Status.PASSED}
    assert [event.name for event in phase.run.events.read()].count("item finished") == 2


def test_a_plan_touches_nothing(mini):
    touched: list = []
    with planning() as planned:
        begin().item("3.1", changes(touched), alike(2))
    assert touched == []
    assert [(entry.item.id, [step.title for step in entry.steps]) for entry in planned] == [
        ("3.1", ["Changes []", "Two and 2 are alike"])
    ]
    assert list(mini.outputs.iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"environment": "mimi"}, "There is no environment 'mimi'. Did you mean mini?"),
        ({"environment": "mini", "release": "v2"}, "'v2' is no tag of"),
        ({"environment": "mini", "release": "v1", "run_id": "gone"}, "There is no run 'gone'"),
    ],
)
def test_wrong_names_are_refused_with_those_that_exist(mini, parameters, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        runbook_lib.begin(3, **parameters)
    assert list(mini.outputs.iterdir()) == []


def test_a_run_is_never_overwritten(mini):
    phase = begin()
    with pytest.raises(RecordError, match="exists already and is never overwritten"):
        archive.create(phase.env, phase.release, Way.HEADLESS, run_id=phase.run.id)


def test_an_unknown_item_is_refused(mini):
    with pytest.raises(ConfigurationError, match=r"Phase 3 has no item '9.9'; it has 3.1, 3.2"):
        begin().item("9.9", alike(2))


TODAY = datetime.now(UTC).date()


def waive(mini, item="3.2", statuses='["failed", "error"]', days=0):
    toml = mini.notebooks / "environments" / "mini.toml"
    toml.write_text(
        f"{toml.read_text()}\n[[waivers]]\nitem = '{item}'\nstatuses = {statuses}\nreason = 'TICKET-1'\n"
        f"person = 'Ada'\nexpires = {TODAY + timedelta(days=days)}\n"
    )


@pytest.mark.parametrize(
    ("step", "waiver", "status"),
    [
        (alike(3), {}, Status.WAIVED),
        (raises(Unanswerable("why")), {"statuses": '["error"]', "days": 30}, Status.WAIVED),
        (alike(3), {"statuses": '["error"]'}, Status.FAILED),
        (alike(3), {"item": "3.1"}, Status.FAILED),
        (alike(3), {"days": -1}, Status.FAILED),
        (alike(2), {}, Status.PASSED),
        (raises(Waiting("for the mail")), {}, Status.PENDING),
    ],
    ids=["failed", "error", "failed, where errors are waived", "another item", "expired", "passed", "pending"],
)
def test_a_waiver_tolerates_what_it_names_until_its_last_day(mini, step, waiver, status):
    waive(mini, **waiver)
    phase = begin()
    phase.item("3.1", alike(2))
    phase.item("3.2", step)
    assert results(phase)["3.2"] == status


def test_what_is_waived_satisfies_the_gate_and_keeps_what_it_was(mini):
    waive(mini)
    phase = begin()
    phase.item("3.1", alike(2))
    phase.item("3.2", alike(3))
    phase.gate()
    item = summarize(phase.run).items["3.2"]
    assert (item["original"], item["steps"][0]["status"]) == (Status.FAILED, Status.FAILED)
    assert item["waiver"] == {"person": "Ada", "reason": "TICKET-1", "expires": str(TODAY), "in_force": True}


def test_an_expired_waiver_is_told(mini):
    waive(mini, days=-1)
    phase = begin()
    phase.item("3.2", alike(3))
    assert summarize(phase.run).items["3.2"]["waiver"]["in_force"] is False


def test_a_waiver_for_no_item_is_refused(mini):
    waive(mini, item="3.9")
    with pytest.raises(ConfigurationError, match=r"waivers.0.item: found '3.9'.*no such item"):
        begin()
