import os
import sys

import pytest

from runbook_lib import platforms
from runbook_lib import release as releases
from runbook_lib.actions import build
from runbook_lib.checks import images
from runbook_lib.environment import Frontend
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release

WRITE = "import pathlib; pathlib.Path('dist').mkdir(); pathlib.Path('dist/index.html').write_text('<html>')"


@pytest.fixture
def page(env, tmp_path):
    """An environment whose front end is built by the given Python code, and a release of it."""
    (tmp_path / "frontend").mkdir()

    def make(code):
        declared = Frontend(build=(sys.executable, "-c", code))
        application = env.application.model_copy(update={"frontend": declared})
        return env.model_copy(update={"application": application}), Release("v1", "0" * 40, tmp_path)

    return make


def test_a_build_that_writes_its_artefact(page):
    finding = build.frontend(*page(WRITE)).run()
    assert finding.ok
    assert finding.observed["files written"] == 1


@pytest.mark.parametrize("code", ["raise SystemExit(2)", f"{WRITE}; raise SystemExit(2)", "pass"])
def test_a_build_that_fails_or_writes_nothing(page, code):
    assert not build.frontend(*page(code)).run().ok


def test_an_artefact_that_was_there_before(page):
    env, release = page("pass")
    old = release.folder / "frontend" / "dist" / "index.html"
    old.parent.mkdir()
    old.write_text("<html>")
    os.utime(old, (0, 0))
    assert not build.frontend(env, release).run().ok


def test_no_front_end(page):
    env, release = page("pass")
    without = env.model_copy(update={"application": env.application.model_copy(update={"frontend": None})})
    with pytest.raises(NotApplicable):
        build.frontend(without, release).run()


@pytest.fixture
def own_images(env, tmp_path):
    """The environment with an image store of its own, and the release that the sandbox has installed and built."""
    platform = env.platform.model_copy(update={"folder": tmp_path})
    return env.model_copy(update={"platform": platform}), releases.find(env, "v0.9.0")


def test_images_are_built_and_tagged(own_images):
    env, release = own_images
    built = build.images(env, release).run()
    assert built.ok
    assert {row[0] for row in built.tables[0].rows} == {"backend", "frontend"}
    assert all(row[1].startswith("sha256:") and row[2] > 0 for row in built.tables[0].rows)
    assert build.tag(env, release, built.facts).run().ok
    assert images.tagged(env, release, built.facts).run().ok
    assert build.images(env, release).run().observed == built.observed


def test_a_tag_that_names_something_else(own_images):
    env, release = own_images
    facts = build.images(env, release).run().facts
    assert not images.tagged(env, release, facts).run().ok
    build.tag(env, release, facts).run()
    facts["images"]["backend"]["digest"] = "sha256:" + "0" * 64
    assert not images.tagged(env, release, facts).run().ok
    with pytest.raises(Unanswerable, match="no image"):
        build.tag(env, release, facts).run()


def test_a_release_that_is_not_built(own_images, tmp_path):
    env, release = own_images
    with pytest.raises(Unanswerable, match="lacks"):
        build.images(env, Release(release.tag, release.commit, tmp_path / "nothing")).run()


def test_a_platform_that_builds_nothing_fails(own_images, monkeypatch):
    env, release = own_images

    class Idle:
        def build(self, release):
            return ()

    monkeypatch.setattr(platforms, "connect", lambda where: Idle())
    finding = build.images(env, release).run()
    assert not finding.ok
    assert finding.observed == {}


def test_no_images_in_this_run(own_images):
    env, release = own_images
    for step in (build.tag(env, release, {}), images.tagged(env, release, {})):
        with pytest.raises(Unanswerable, match="built no images"):
            step.run()
