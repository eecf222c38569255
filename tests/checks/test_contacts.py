import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import contacts
from runbook_lib.environment import Contact

ROLES = ("DevOps Lead", "Backend Lead", "Frontend Lead", "Database Admin")
SOUND = {"name": "Amina Said", "email": "amina@example.org", "phone": "+255 22 123-4567"}


@pytest.mark.parametrize("role", ROLES)
def test_contacts_pass_on_the_sandbox(env, role):
    finding = contacts.named(env, role).run()
    assert finding.ok, finding.observed


@pytest.mark.parametrize("role", ROLES)
def test_a_contact_that_is_missing_fails(at, role):
    others = [{"role": other, **SOUND} for other in ROLES if other != role]
    finding = contacts.named(at("http://127.0.0.1:1", contacts=others), role).run()
    assert not finding.ok
    assert finding.observed == f"no contact is {role}"


@pytest.mark.parametrize(
    "given", [SOUND, SOUND | {"email": ""}, SOUND | {"phone": ""}, SOUND | {"phone": "030 1234567 ext. 12"}]
)
def test_one_way_to_reach_somebody_is_enough(given):
    assert contacts.problems(Contact(role="DevOps Lead", **given)) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": ""}, "has no name"),
        ({"email": "", "phone": " "}, "has neither email nor phone"),
        ({"email": "amina"}, "is no mail address"),
        ({"phone": "ask"}, "is no telephone number"),
        ({"name": "[Contact Info]"}, "placeholder"),
        ({"email": "devops@your-domain.com"}, "placeholder"),
        ({"name": "TBD"}, "placeholder"),
    ],
)
def test_a_contact_that_cannot_be_called_fails(at, given, words):
    env = at("http://127.0.0.1:1", contacts=[{"role": "devops lead", **SOUND, **given}])
    finding = contacts.named(env, "DevOps Lead").run()
    assert not finding.ok
    assert words in str(finding.observed)


def test_every_holder_of_a_role_must_be_reachable(at):
    holders = [{"role": "DevOps Lead", **SOUND}, {"role": "DevOps Lead", "name": "Juma"}]
    assert not contacts.named(at("http://127.0.0.1:1", contacts=holders), "DevOps Lead").run().ok


@given(st.text(), st.text(), st.text())
def test_any_text_is_judged(name, email, phone):
    assert isinstance(contacts.problems(Contact(role="x", name=name, email=email, phone=phone)), list)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_a_contact_of_anything(name, email, phone):
    found = contacts.problems(Contact(role="r", name=name, email=email, phone=phone))
    assert ("has no name" in found) == (not any(c.isalnum() or c == "_" for c in name))
