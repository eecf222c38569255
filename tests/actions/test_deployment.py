from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.actions import deployment, migrate
from runbook_lib.checks import staging as stage
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.platforms import Image
from runbook_lib.platforms.supervisor import calling, start
from runbook_lib.step import Finding, Kind, Step


class Platform:
    """A platform in memory; `builds` is the digest that a build gives."""

    def __init__(self, *, deployed=None, tagged="", builds="a"):
        self.running, self.digest, self.builds, self.done = deployed, tagged, builds, []

    def deployed(self):
        return self.running

    def _image(self, digest):
        return (Image("backend", f"sha256:{digest}", 1, 0.0),) if digest else ()

    def tagged(self, release):
        return self._image(self.digest)

    def build(self, release):
        self.done.append("build")
        return self._image(self.builds)

    def tag(self, release, images):
        self.done.append("tag")
        self.digest = self.builds

    def up(self, release):
        self.done.append("up")
        self.running = release.tag


@pytest.fixture
def two(env, staging_env, monkeypatch):
    """Production and staging in memory, and how the migration of staging ends."""

    def run(production, staging, *, migrated=True, commit=None):
        monkeypatch.setattr(platforms, "connect", lambda where: production if where is env else staging)
        monkeypatch.setattr(stage, "of", lambda where: staging_env)
        ended = Finding(migrated, "revision", "head")
        monkeypatch.setattr(
            migrate,
            "apply",
            lambda where, what: Step(Kind.ACTION, "m", "m", {}, lambda: staging.done.append("migrate") or ended),
        )
        found = releases.find(env, "v0.9.0")
        return deployment.to_staging(env, replace(found, commit=commit or found.commit)).run()

    return run


def test_staging_receives_the_same_images_after_its_migrations(two):
    staging = Platform()
    finding = two(Platform(tagged="a"), staging)
    assert finding.ok
    assert staging.done == ["build", "tag", "migrate", "up"]
    assert finding.observed["images"] == {"backend": "sha256:a"}


def test_images_that_are_there_already_are_not_built_again(two):
    staging = Platform(tagged="a")
    assert two(Platform(tagged="a"), staging).ok
    assert staging.done == ["migrate", "up"]


def test_another_image_on_staging_fails_and_nothing_is_deployed(two):
    staging = Platform(builds="b")
    finding = two(Platform(tagged="a"), staging)
    assert not finding.ok
    assert staging.done == ["build"]
    assert staging.running is None


def test_another_commit_on_staging_fails_and_nothing_is_deployed(two):
    staging = Platform()
    assert not two(Platform(tagged="a"), staging, commit="0" * 40).ok
    assert staging.done == []


def test_a_migration_that_fails_on_staging_fails_and_nothing_is_started(two):
    staging = Platform(tagged="a")
    assert not two(Platform(tagged="a"), staging, migrated=False).ok
    assert staging.done == ["migrate"]


def test_a_release_without_images_is_no_verdict(two):
    with pytest.raises(Unanswerable, match="has no images"):
        two(Platform(), Platform())


def test_without_a_staging_it_does_not_apply(env):
    alone = env.model_copy(update={"staging": None})
    with pytest.raises(NotApplicable, match="declares no staging"):
        deployment.to_staging(alone, releases.find(env, "v0.9.0")).run()


def test_the_release_that_runs_is_deployed_to_the_sandboxs_staging_again(env, staging_env):
    running = releases.find(env, platforms.connect(env).deployed())
    finding = deployment.to_staging(env, running).run()
    assert finding.ok, finding.observed
    assert platforms.connect(staging_env).deployed() == running.tag


@pytest.fixture
def one(env, monkeypatch):
    def run(step, platform):
        monkeypatch.setattr(platforms, "connect", lambda where: platform)
        return step(env, releases.find(env, "v1.0.0")).run()

    return run


@pytest.mark.parametrize(
    ("deployed", "facts"),
    [("v0.9.0", {"previous_release": "v0.9.0"}), (None, {}), ("v1.0.0", {})],
    ids=["another release", "a first deployment", "the same again"],
)
def test_what_ran_before_is_recorded(one, deployed, facts):
    earliest = datetime.now(UTC)
    finding = one(deployment.before, Platform(deployed=deployed))
    assert finding.ok
    recorded = dict(finding.facts)
    assert earliest <= datetime.fromisoformat(recorded.pop("deployed_at")) <= datetime.now(UTC)
    assert recorded == facts


def test_deploy_starts_the_release(one):
    platform = Platform(deployed="v0.9.0", tagged="a")
    finding = one(deployment.deploy, platform)
    assert finding.ok
    assert platform.done == ["up"]
    assert finding.observed["before"] == "v0.9.0"


def test_a_platform_that_starts_something_else_fails(one):
    platform = Platform(deployed="v0.9.0", tagged="a")
    platform.up = lambda release: None
    assert not one(deployment.deploy, platform).ok


def test_deploy_passes_on_the_sandbox_with_the_release_that_runs(env):
    running = releases.find(env, platforms.connect(env).deployed())
    assert deployment.deploy(env, running).run().ok


def test_a_deployment_cut_off_between_two_services_is_not_taken_for_done(env):
    running = releases.find(env, platforms.connect(env).deployed())
    look = deployment.deploy(env, running).done
    assert look().ok
    with calling(env.platform.socket) as supervisord:
        supervisord.stopProcess("cache", True)
    try:
        found = look()
    finally:
        with calling(env.platform.socket) as supervisord:
            start(supervisord, ["cache"], env.platform.start_seconds)
    assert (found.ok, found.observed["not well"]) == (False, {"cache": "STOPPED"})


def test_a_release_without_images_is_not_deployed(env):
    running = platforms.connect(env).deployed()
    with pytest.raises(Unanswerable):
        deployment.deploy(env, releases.find(env, "v1.0.1-broken")).run()
    assert platforms.connect(env).deployed() == running


@pytest.mark.parametrize(("status", "begun"), [("passed", True), ("error", True), ("planned", False), (None, False)])
def test_a_deployment_has_begun_with_its_first_action(env, named, record, status, begun):
    recording = record(named(env))
    recording.phase(8)
    recording.step(8, "8.1", "deployment.before")
    if status:
        recording.step(8, "8.1", "migrate.apply", kind="action", status=status)
    assert deployment.has_begun(recording.run) is begun


def test_a_deployment_stays_begun_when_it_is_planned_once_more(env, named, record):
    recording = record(named(env))
    recording.phase(8)
    for status in ("passed", "planned"):
        recording.step(8, "8.1", "migrate.apply", kind="action", status=status)
    assert deployment.has_begun(recording.run)


def test_a_deployment_that_was_cut_off_within_its_action_has_begun(env, named, record):
    recording = record(named(env))
    recording.run.events.append(
        "step started", phase=8, item="8.1", step=2, name="migrate.apply", kind="action", title="Migrate"
    )
    assert deployment.has_begun(recording.run)
