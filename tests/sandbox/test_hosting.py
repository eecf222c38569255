"""What the ways to host the sandbox's services write, without any service running."""

from __future__ import annotations

import pytest

from runbook_lib import environment
from runbook_lib.environment import ComposePlatform, Environment, SupervisorPlatform
from runbook_lib.sandbox import environments, repository
from runbook_lib.sandbox.hosting import Hosting, base_image, containers
from runbook_lib.sandbox.hosting.containers import FILE, Containers
from runbook_lib.sandbox.hosting.embedded import Embedded
from runbook_lib.sandbox.layout import Ports
from runbook_lib.sandbox.stack import Sandbox


def written(root, hosting: Hosting) -> list[Environment]:
    stacks = Sandbox(root, hosting).stacks
    for stack in stacks:
        environments.create(stack, Ports(20_000), hosting)
    return [environment.read(stack.environment) for stack in stacks]


def test_both_ways_have_the_same_objectives_and_differ_in_the_platform(tmp_path):
    embedded, hosted = written(tmp_path / "a", Embedded())[0], written(tmp_path / "b", Containers())[0]
    assert isinstance(embedded.platform, SupervisorPlatform)
    assert isinstance(hosted.platform, ComposePlatform)
    assert embedded.objectives == hosted.objectives
    assert (embedded.staging, hosted.staging) == ("sandbox-staging", "sandbox-compose-staging")
    assert set(hosted.platform.services) == {*embedded.platform.services, "frontend"}


def test_of_containers_only_an_unanswered_scan_is_waived_besides(tmp_path):
    embedded, hosted = written(tmp_path / "a", Embedded())[0], written(tmp_path / "b", Containers())[0]
    assert {one.item for one in hosted.waivers} - {one.item for one in embedded.waivers} == {"5.2.1", "5.2.2"}
    assert all(list(one.statuses) == ["error"] for one in hosted.waivers)


def test_two_sandboxes_share_an_engine_without_a_name_in_common(tmp_path):
    projects = [one.platform.project for root in "ab" for one in written(tmp_path / root, Containers())]
    assert len(set(projects)) == len(projects)
    assert containers.images(tmp_path / "a") != containers.images(tmp_path / "b")


def test_another_base_makes_another_image(monkeypatch):
    monkeypatch.delenv(base_image.VARIABLE, raising=False)
    usual = base_image.tag("sandbox")
    monkeypatch.setenv(base_image.VARIABLE, "debian:bookworm")
    assert base_image.tag("sandbox") != usual


@pytest.mark.parametrize("part", ["backend", "frontend"])
def test_the_application_brings_what_its_images_are_built_from(tmp_path, part):
    repository.create(tmp_path / "application")
    assert (tmp_path / "application" / FILE).is_file()
    assert (tmp_path / "application" / part / ".dockerignore").is_file()


def test_removing_the_embedded_sandbox_leaves_the_other_one_below_it(mini):
    (mini.sandbox / "application").mkdir(parents=True)
    (mini.containers / "application").mkdir(parents=True)
    Sandbox(mini.sandbox).destroy()
    assert list(mini.sandbox.iterdir()) == [mini.containers]
    assert (mini.containers / "application").is_dir()
