from __future__ import annotations

import pytest

from runbook_lib.checks import openapi

OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {"/health": {"get": {"responses": {"200": {"description": "fine"}}}}},
}


def test_the_api_docs_pass_on_the_sandbox(env):
    assert openapi.docs_page(env).run().ok
    assert openapi.valid(env).run().ok


def test_a_docs_page_that_is_no_page_fails(serve, at, reply):
    assert not openapi.docs_page(at(serve({"/api/docs": reply({})}).url)).run().ok
    assert not openapi.docs_page(at(serve({}).url)).run().ok


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({**OPENAPI, "info": {}}, "title"),
        ({"swagger": "2.0"}, "no OpenAPI version 3"),
        ([], "no OpenAPI version 3"),
        ("<html>", "not JSON"),
    ],
)
def test_an_openapi_document_with_an_error_fails(serve, at, reply, document, words):
    finding = openapi.valid(at(serve({"/api/openapi.json": reply(document)}).url)).run()
    assert not finding.ok
    assert words in str(finding.observed)


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_an_openapi_document_is_held_against_its_own_version(serve, at, reply, version):
    env = at(serve({"/api/openapi.json": reply({**OPENAPI, "openapi": version})}).url)
    assert openapi.valid(env).run().ok
