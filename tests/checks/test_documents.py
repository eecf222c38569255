import hashlib
import shutil
import socket
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import documents, openapi
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release

OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/api/scan/": {"post": {"summary": "Read", "responses": {"200": {}, "422": {}}}, "parameters": []},
        "/api/providers/": {"get": {"responses": {"200": {}}}},
        "/health": {"get": {"responses": {"200": {}}}},
        "/api/scan/{id}": {"get": {"responses": {"200": {}}}},
    },
}


@pytest.fixture
def project(tmp_path):
    """A repository with a README and a guide, and the release that it is."""
    folder = tmp_path / "app.git"
    (folder / "docs").mkdir(parents=True)
    (folder / "README.md").write_text("# Deploy\nalembic upgrade head\n")
    (folder / "docs" / "guide.md").write_text("Roll back with care.\n")
    (folder / "docs" / "picture.png").write_bytes(b"\x89PNG")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return Release("v1", commit, tmp_path / "v1")


@pytest.fixture
def site(serve, at, reply, project):
    """An environment with these links, whose service has documents, an OpenAPI document and some broken pages."""
    server = serve(
        {
            "/": reply("front"),
            "/health": reply({"status": "healthy"}),
            "/api/docs": reply("docs"),
            "/api/openapi.json": reply(OPENAPI),
            "/moved": reply("", 302, {"Location": "/api/docs"}),
            "/round": reply("", 302, {"Location": "/round"}),
            "/login": reply("", 401),
            "/broken": reply("", 500),
            "/nowhere": reply("", 302),
        }
    )

    def environment(**links):
        documentation = {"links": {name: target.replace("SITE", server.url) for name, target in links.items()}}
        return at(server.url, documentation=documentation, limits={"request": 0.3})

    return environment


def test_links_that_answer(site, project):
    env = site(docs="SITE/api/docs", moved="SITE/moved", private="SITE/login", guide="docs/guide.md")
    finding = documents.links_answer(env, project).run()
    assert finding.ok, finding.observed
    assert set(finding.observed) == {*documents.own_addresses(env), "docs", "moved", "private", "guide"}


@pytest.mark.parametrize(
    "target",
    ["SITE/gone", "SITE/broken", "SITE/round", "SITE/nowhere", "http://127.0.0.1:1/", "docs/missing.md"],
)
def test_a_link_that_does_not_answer(site, project, target):
    finding = documents.links_answer(site(good="SITE/api/docs", bad=target), project).run()
    assert not finding.ok
    assert list(finding.observed) == ["bad"]


def test_a_host_that_is_silent_is_unanswerable(site, project):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Unanswerable, match=r"quiet: did not answer within 0\.3 s"):
            documents.links_answer(site(quiet=target), project).run()


def test_the_sandboxs_links(env, release):
    finding = documents.links_answer(env, release).run()
    assert finding.ok, finding.observed
    finding = documents.endpoints_documented(env).run()
    assert finding.ok, finding.observed


def test_an_endpoint_that_nobody_documented(site):
    assert documents.endpoints_documented(site()).run().ok
    other = {"path": "/api/secret-door", "method": "DELETE"}
    env = site()
    env = env.model_copy(update={"features": (env.api.providers.model_copy(update=other),)})
    finding = documents.endpoints_documented(env).run()
    assert not finding.ok
    assert finding.observed["not documented"] == ["DELETE /api/secret-door"]


def test_a_path_with_a_parameter_is_documented(site):
    env = site()
    env = env.model_copy(update={"features": (env.api.providers.model_copy(update={"path": "/api/scan/7?x=y"}),)})
    assert documents.endpoints_documented(env).run().ok


@pytest.mark.parametrize("body", ["no json", {}, {"paths": []}, []])
def test_no_openapi_document(serve, at, reply, body):
    env = at(serve({"/api/openapi.json": reply(body)}).url)
    with pytest.raises(Unanswerable, match="OpenAPI document"):
        documents.endpoints_documented(env).run()


ANYTHING = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
KEYS = st.sampled_from(["get", "post", "summary", "responses", "x"])
OPERATION = st.dictionaries(KEYS, ANYTHING, max_size=3) | ANYTHING


@given(st.dictionaries(st.text(max_size=3), st.dictionaries(KEYS, OPERATION, max_size=3) | ANYTHING, max_size=3))
def test_operations_of_anything(paths):
    for method, path, summary, answers in openapi.operations({"paths": paths}):
        assert method.lower() in paths[path]
        assert isinstance(summary, str)
        assert isinstance(answers, str)


def test_what_the_project_does_not_say(site, project):
    texts = documents.project_documents(site(), project)
    assert set(texts) == {"README.md", "docs/guide.md"}
    topics = {"deploying": ("deploy",), "rolling back": ("rollback", "roll back"), "recovering": ("restore",)}
    assert documents.lacking(texts, topics) == ["recovering"]


def test_a_project_that_cannot_be_read(site, project, tmp_path):
    shutil.rmtree(tmp_path / "app.git")
    with pytest.raises(Unanswerable, match="git does not list v1's documents"):
        documents.project_documents(site(), project)


@pytest.fixture
def written(at, tmp_path):
    """An environment with a handbook of one page, the facts of its writing, and how to write it otherwise."""
    (tmp_path / ".env").write_text("SECRET_KEY=kz7Jq0vXw9\n")
    env = at("http://127.0.0.1:9", documentation={"folder": "handbook"})
    env.documentation.folder.mkdir()

    def write(html="<title>t</title>", markdown="# t"):
        files = {"a.md": markdown, "a.html": html}
        for name, text in files.items():
            (env.documentation.folder / name).write_text(text)
        return {documents.fact("a"): {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}}

    return env, write


def test_a_page_that_is_sound(written):
    env, write = written
    finding = documents.page(env, "a", write('<title>t</title><a href="https://b.example/">b</a>')).run()
    assert finding.ok, finding.observed


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"markdown": "the key is kz7Jq0vXw9"}, "holds the value of SECRET_KEY"),
        ({"html": "<title>t</title><p>kz7Jq0vXw9"}, "holds the value of SECRET_KEY"),
        ({"html": "<title>t</title><script>1</script>"}, "<script>"),
        ({"html": '<title>t</title><link rel="stylesheet" href="https://cdn.example/a.css">'}, "<link>"),
        ({"html": '<title>t</title><a href="javascript:alert(1)">'}, "javascript:alert(1)"),
        ({"html": "<title> </title>"}, "no title"),
    ],
)
def test_a_page_with_something_in_it(written, page, said):
    env, write = written
    finding = documents.page(env, "a", write(**page)).run()
    assert not finding.ok
    assert said in " ".join(finding.observed)


def test_a_page_that_is_missing_or_changed(written):
    env, write = written
    facts = write()
    (env.documentation.folder / "a.md").write_text("# changed")
    (env.documentation.folder / "a.html").unlink()
    finding = documents.page(env, "a", facts).run()
    assert not finding.ok
    assert [problem.split()[-1] for problem in finding.observed] == ["written", "missing"]


def test_a_page_that_was_never_written(written):
    with pytest.raises(Unanswerable, match="has written no page 'a'"):
        documents.page(written[0], "a", {}).run()


def test_no_folder_for_the_handbook(at):
    with pytest.raises(NotApplicable, match=r"declares no documentation\.folder"):
        documents.page(at("http://127.0.0.1:9"), "a", {}).run()
