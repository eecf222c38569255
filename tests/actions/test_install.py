import json
import shutil
import subprocess
import zipfile

import pytest

from runbook_lib import release as releases
from runbook_lib.actions import install
from runbook_lib.checks import dependencies
from runbook_lib.environment import Application, Backend, Frontend
from runbook_lib.errors import NotApplicable, Unanswerable

WHEEL = {
    "kit_sample.py": "ANSWER = 42\n",
    "kit_sample-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: kit-sample\nVersion: 1.0\n",
    "kit_sample-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "kit_sample-1.0.dist-info/RECORD": "",
}
LOCK = {
    "name": "page",
    "lockfileVersion": 3,
    "requires": True,
    "packages": {
        "": {"name": "page", "dependencies": {"lib": "file:lib"}},
        "lib": {"version": "1.0.0"},
        "node_modules/lib": {"resolved": "lib", "link": True},
    },
}


@pytest.fixture(scope="module", params=["pip", "uv"])
def application(bare_env, tmp_path_factory, request):
    """An environment with an application of its own: one requirement and one package, both on this disk."""
    folder = tmp_path_factory.mktemp("application")
    wheel = folder / "kit_sample-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in WHEEL.items():
            archive.writestr(name, content)
    repository = folder / "repository"
    write(repository / "backend" / "requirements.txt", f"{wheel}\n")
    write(repository / "frontend" / "lib" / "package.json", '{"name": "lib", "version": "1.0.0"}')
    write(repository / "frontend" / "package.json", '{"name": "page", "dependencies": {"lib": "file:lib"}}')
    write(repository / "frontend" / "package-lock.json", json.dumps(LOCK))
    git(repository, "init", "--quiet")
    commit(repository, "v1")
    declared = Application(
        repository=repository,
        releases=folder / "releases",
        backend=Backend(installer=request.param),
        frontend=Frontend(),
    )
    return bare_env.model_copy(update={"application": declared})


@pytest.fixture(scope="module")
def installed(application):
    """Its first release, with the findings of both installations."""
    release = releases.find(application, "v1")
    findings = install.backend(application, release).run(), install.frontend(application, release).run()
    assert all(finding.ok for finding in findings), findings
    return release


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def git(repository, *arguments):
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    subprocess.run(["git", "-C", repository, *identity, *arguments], check=True, capture_output=True)


def commit(repository, tag):
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", tag)
    git(repository, "tag", tag)


def replace(path, text):
    """Not in place: uv links files from its cache."""
    path.unlink()
    path.write_text(text)


def site_packages(env, release):
    return next((dependencies.backend_folder(env, release) / ".venv" / "lib").glob("python*/site-packages"))


def test_what_is_installed_fits_together(application, installed):
    finding = dependencies.consistent(application, installed).run()
    assert finding.ok
    assert ("kit-sample", "1.0") in finding.tables[0].rows
    assert "kit-sample" in finding.evidence[0].content


def test_a_requirement_that_nothing_meets(application, installed):
    metadata = site_packages(application, installed) / "kit_sample-1.0.dist-info" / "METADATA"
    sound = metadata.read_text()
    try:
        replace(metadata, f"{sound}Requires-Dist: kit-missing>=2\n")
        finding = dependencies.consistent(application, installed).run()
    finally:
        replace(metadata, sound)
    assert not finding.ok
    assert "kit-missing" in str(finding.observed)


def test_an_installation_is_left_alone_and_a_broken_one_made_anew(application, installed):
    assert "already" in install.backend(application, installed).run().observed
    metadata = site_packages(application, installed) / "kit_sample-1.0.dist-info" / "METADATA"
    replace(metadata, f"{metadata.read_text()}Requires-Dist: kit-missing>=2\n")
    assert install.backend(application, installed).run().observed["exit code"] == 0
    assert dependencies.consistent(application, installed).run().ok


def test_a_requirement_that_is_nowhere(application):
    write(application.application.repository / "backend" / "requirements.txt", "/nowhere/gone-1.0-py3-none-any.whl\n")
    commit(application.application.repository, "v2")
    release = releases.find(application, "v2")
    assert not install.backend(application, release).run().ok
    assert not (dependencies.backend_folder(application, release) / ".venv" / install.INSTALLED).exists()


def test_no_requirements_file(application):
    (application.application.repository / "backend" / "requirements.txt").unlink()
    write(application.application.repository / "backend" / "README", "")
    commit(application.application.repository, "v3")
    assert not install.backend(application, releases.find(application, "v3")).run().ok


def test_a_release_that_is_not_installed(application, tmp_path):
    release = releases.Release("v4", "0" * 40, tmp_path)
    with pytest.raises(Unanswerable, match="is not installed"):
        dependencies.consistent(application, release).run()


def test_a_tag_that_moved(application, installed):
    moved = releases.Release(installed.tag, "f" * 40, installed.folder)
    with pytest.raises(Unanswerable, match=f"holds commit {installed.commit[:12]}"):
        install.checkout(application, moved)
    (installed.folder / install.COMMIT).rename(installed.folder / "kept")
    try:
        with pytest.raises(Unanswerable, match="unknown origin"):
            install.checkout(application, installed)
    finally:
        (installed.folder / "kept").rename(installed.folder / install.COMMIT)


def test_a_checkout_is_whole_or_not_there(application, tmp_path):
    missing = releases.Release("gone", "f" * 40, tmp_path / "releases" / "gone")
    with pytest.raises(Unanswerable, match="git archive"):
        install.checkout(application, missing)
    assert list(missing.folder.parent.iterdir()) == []


def test_the_front_ends_tree_is_complete(application, installed):
    finding = dependencies.frontend_tree(application, installed).run()
    assert finding.ok, finding
    assert json.loads(finding.evidence[0].content)["dependencies"]["lib"]


def test_the_front_end_is_left_alone(application, installed):
    assert "already" in install.frontend(application, installed).run().observed


def test_a_package_that_is_missing(application, installed):
    link = dependencies.frontend_folder(application, installed) / "node_modules" / "lib"
    target = link.readlink()
    link.unlink()
    try:
        finding = dependencies.frontend_tree(application, installed).run()
    finally:
        link.symlink_to(target)
    assert not finding.ok
    assert "missing: lib" in str(finding.observed)


def test_a_lock_file_that_differs(application, installed, tmp_path):
    folder = tmp_path / "release"
    shutil.copytree(installed.folder, folder, symlinks=True)
    frontend = folder / "frontend"
    write(frontend / "package.json", '{"name": "page", "dependencies": {"other": "file:other"}}')
    release = releases.Release(installed.tag, installed.commit, folder)
    finding = install.frontend(application, release).run()
    assert not finding.ok
    assert "npm ci" in finding.observed


def test_nothing_is_locked(application, installed, tmp_path):
    folder = tmp_path / "release"
    shutil.copytree(installed.folder, folder, symlinks=True)
    shutil.rmtree(folder / "frontend" / "node_modules")
    (folder / "frontend" / "package-lock.json").unlink()
    release = releases.Release(installed.tag, installed.commit, folder)
    finding = install.frontend(application, release).run()
    assert finding.ok
    assert "npm install" in finding.observed
    assert not (folder / "frontend" / "package-lock.json").exists()
    assert dependencies.frontend_tree(application, release).run().ok


def test_no_front_end(application, installed):
    without = application.model_copy(
        update={"application": application.application.model_copy(update={"frontend": None})}
    )
    for step in (install.frontend(without, installed), dependencies.frontend_tree(without, installed)):
        with pytest.raises(NotApplicable, match=r"application\.frontend"):
            step.run()


def test_the_digest_follows_every_file(tmp_path):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("a")
    two.write_text("b")
    before = install.digest_of([one, two])
    assert install.digest_of([one, two, one]) == before
    two.write_text("c")
    assert install.digest_of([one, two]) != before
