import json
import socket
import threading
import time

import httpx
import pytest

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.actions import announce
from runbook_lib.checks import announcement
from runbook_lib.environment import secret_parts
from runbook_lib.errors import Unanswerable, Waiting

PASSWORD, TOKEN = "hunter22-of-the-sink", "T0k3nT0k3nT0k3nT0k3n"


@pytest.fixture
def running(env):
    """The release that the sandbox runs."""
    return releases.find(env, platforms.connect(env).deployed())


@pytest.fixture
def announcing(env, monkeypatch):
    """The sandbox, with channels of its own; each is a URL and, where there is one, its confirmation address."""

    def give(*channels, seconds=0.1, request=5.0, **settings):
        declared = []
        for number, (url, confirmation) in enumerate(channels):
            monkeypatch.setenv(f"CHANNEL_{number}", url)
            declared.append({"name": f"channel {number}", "env": f"CHANNEL_{number}", "confirmation": confirmation})
        values = {"channels": declared, "confirmation_seconds": seconds, **settings}
        own = type(env.announcement).model_validate(values)
        limits = env.limits.model_copy(update={"request": request})
        return env.model_copy(update={"announcement": own, "limits": limits})

    return give


@pytest.fixture
def sink(env):
    """The sandbox's sink: its host and port, and what arrived at one of its hooks."""
    host = httpx.URL(env.announcement.channels[0].confirmation).netloc.decode()

    class Sink:
        netloc = host

        def arrived(self, name):
            return httpx.get(f"http://{host}/hooks/{name}", trust_env=False).json()

    return Sink()


def test_an_announcement_arrives_on_the_sandbox(env, running):
    facts = {"deployed_at": "2026-03-01T12:00:00+00:00"}
    finding = announce.deployment(env, running, facts).run()
    assert finding.ok, finding.observed
    seen = announcement.arrived(env, finding.facts).run()
    assert seen.ok
    assert finding.facts["announcement"]["id"] in seen.observed


def test_the_message_says_what_where_who_and_when(env, sink, announcing, running):
    own = announcing((f"json://{sink.netloc}/hooks/message", None))
    finding = announce.deployment(own, running, {"deployed_at": "2026-03-01T12:00:00+00:00"}).run()
    body = sink.arrived("message")[-1]
    assert body["title"] == f"{running} on {env}"
    for words in (f"{running} was deployed to {env} by ", "2026-03-01 12:00 UTC", env.web.url, "API Docs: https://"):
        assert words in body["message"]
    assert body["message"].endswith(f"Announcement {finding.facts['announcement']['id']}")
    assert finding.evidence[0].content == body["message"]


def test_the_message_lists_what_changed(env, release):
    message = announce.render(env, release, {"previous_release": "v0.9.0"})
    assert f"Changes since v0.9.0:\n- {releases.changes(env, 'v0.9.0', release)[0]}\n" in message
    assert "Changes since" not in announce.render(env, release, {})
    assert "none that the repository tells of" in announce.render(env, release, {"previous_release": "v0.0.0"})


def test_a_long_list_of_changes_is_cut(env, release, monkeypatch):
    monkeypatch.setattr(releases, "changes", lambda *words: tuple(f"change {number}" for number in range(25)))
    message = announce.render(env, release, {"previous_release": "v0.9.0"})
    assert "- change 19\n- and 5 more\n" in message
    assert "change 20" not in message


def test_text_that_looks_like_markup_arrives_as_it_is(env, release, sink, announcing, running, monkeypatch):
    monkeypatch.setattr(releases, "changes", lambda *words: ("<b>{{ 7 * 7 }}</b> \\n & *more*",))
    own = announcing((f"json://{sink.netloc}/hooks/markup", None))
    announce.deployment(own, running, {"previous_release": "v0.0.1"}).run()
    assert "- <b>{{ 7 * 7 }}</b> \\n & *more*\n" in sink.arrived("markup")[-1]["message"]


def test_a_template_of_the_environment(announcing, release, tmp_path):
    file = tmp_path / "announcement.jinja"
    file.write_text("{{ release }} ({{ commit }}) is out")
    own = announcing(template=file)
    assert announce.render(own, release, {}) == f"v1.0.0 ({release.commit}) is out"


@pytest.mark.parametrize(
    ("text", "words"), [("{{ relase }}", "'relase' is undefined"), ("{% if %}", "Expected"), (None, "No such file")]
)
def test_a_template_that_is_wrong_sends_nothing(announcing, sink, running, tmp_path, text, words):
    file = tmp_path / "announcement.jinja"
    if text is not None:
        file.write_text(text)
    own = announcing((f"json://{sink.netloc}/hooks/wrong-template", None), template=file)
    with pytest.raises(Unanswerable, match=words):
        announce.deployment(own, running, {}).run()
    assert sink.arrived("wrong-template") == []


def test_a_channel_that_refuses_fails_and_the_others_are_told(announcing, sink, running):
    own = announcing((f"json://{sink.netloc}/nowhere", None), (f"json://{sink.netloc}/hooks/others", None))
    finding = announce.deployment(own, running, {}).run()
    assert not finding.ok
    assert "404" in finding.observed["channel 0"]
    assert finding.observed["channel 1"] == "taken"
    assert len(sink.arrived("others")) == 1


def test_nobody_at_the_channel_fails_and_no_secret_is_told(announcing, running):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"json://{TOKEN}:{PASSWORD}@127.0.0.1:{held.getsockname()[1]}/{TOKEN}/?+X-Key={TOKEN}"
        own = announcing((url, None))
        finding = announce.deployment(own, running, {}).run()
    assert not finding.ok
    assert TOKEN not in repr(finding)
    assert PASSWORD not in repr(finding)
    assert {TOKEN, PASSWORD} <= set(own.secrets().values())


def test_a_channel_that_does_not_end_its_answer_is_no_verdict(announcing, running):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            connection, _ = server.accept()
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            ends = time.monotonic() + 1.0
            while time.monotonic() < ends:
                connection.sendall(b".")
                time.sleep(0.02)
            connection.close()

        thread = threading.Thread(target=drip)
        thread.start()
        own = announcing((f"json://127.0.0.1:{server.getsockname()[1]}/", None), request=0.1)
        with pytest.raises(Unanswerable, match="nobody knows whether it was sent: channel 0"):
            announce.deployment(own, running, {}).run()
        thread.join()


@pytest.mark.parametrize("url", ["nonsense://127.0.0.1/x", "json://", "", "just words"])
def test_an_address_that_apprise_does_not_understand_sends_nothing(announcing, sink, running, url):
    own = announcing((f"json://{sink.netloc}/hooks/half", None), (url, None))
    with pytest.raises(Unanswerable):
        announce.deployment(own, running, {}).run()
    assert sink.arrived("half") == []


def test_without_a_channel_there_is_no_verdict(announcing, running):
    with pytest.raises(Unanswerable, match="declares no channel"):
        announce.deployment(announcing(), running, {}).run()


def test_what_is_not_deployed_is_not_announced(announcing, sink, env, running):
    other = releases.find(env, next(tag for tag in releases.tags(env) if tag != running.tag))
    finding = announce.deployment(announcing((f"json://{sink.netloc}/hooks/other", None)), other, {}).run()
    assert not finding.ok
    assert finding.observed == f"{running} is deployed"
    assert sink.arrived("other") == []


def test_the_same_run_does_not_announce_twice(announcing, sink, running):
    own = announcing((f"json://{sink.netloc}/hooks/twice", None))
    facts = announce.deployment(own, running, {}).run().facts
    again = announce.deployment(own, running, facts).run()
    assert again.ok
    assert "not sent again" in again.observed
    assert len(sink.arrived("twice")) == 1


def test_a_channel_that_cannot_confirm_waits_for_a_person(announcing, sink, running):
    own = announcing((f"json://{sink.netloc}/hooks/unseen", None))
    facts = announce.deployment(own, running, {}).run().facts
    with pytest.raises(Waiting, match="channel 0 took it, and cannot be asked"):
        announcement.arrived(own, facts).run()


def test_an_announcement_that_does_not_show_waits_for_a_person(announcing, sink, running):
    own = announcing((f"json://{sink.netloc}/hooks/here", f"http://{sink.netloc}/hooks/there"))
    facts = announce.deployment(own, running, {}).run().facts
    with pytest.raises(Waiting, match="does not show it"):
        announcement.arrived(own, facts).run()


def test_an_announcement_that_shows_late_is_seen(announcing, sink):
    facts = {"announcement": {"id": "0123456789ab", "release": "v1", "sent_at": "2026-03-01T12:00:00+00:00"}}
    own = announcing((f"json://{sink.netloc}/hooks/late", f"http://{sink.netloc}/hooks/late"), seconds=10.0)
    late = threading.Timer(
        0.3, httpx.post, (f"http://{sink.netloc}/hooks/late",), {"json": facts["announcement"], "trust_env": False}
    )
    late.start()
    assert announcement.arrived(own, facts).run().ok
    late.join()


def test_a_confirmation_address_that_does_not_answer_is_no_verdict(announcing, sink, running):
    own = announcing((f"json://{sink.netloc}/hooks/lost", f"http://{sink.netloc}/lost"))
    facts = announce.deployment(own, running, {}).run().facts
    with pytest.raises(Unanswerable, match="404"):
        announcement.arrived(own, facts).run()


def test_nothing_announced_is_no_verdict(env):
    with pytest.raises(Unanswerable, match="announced nothing"):
        announcement.arrived(env, {}).run()


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", "TIiajkdnlazkcOXrIdevi7FQ"),
        ("tgram://123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/12315544", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
        ("mailtos://user:words-only@mail.example.org", "words-only"),
        ("json://127.0.0.1:8080/hooks/announcements", None),
    ],
)
def test_what_is_secret_in_an_address(address, secret):
    parts = secret_parts(address)
    assert (secret in parts) if secret else not parts


def test_the_record_is_json(env, running, announcing, sink):
    own = announcing((f"json://{sink.netloc}/hooks/json", None))
    assert json.dumps(dict(announce.deployment(own, running, {}).run().facts))
