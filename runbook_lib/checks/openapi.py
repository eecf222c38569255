"""What the service says of its own API: the documentation page, and the OpenAPI document behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbook_lib.checks import http
from runbook_lib.environment import Environment, Request
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, Table, check


@check("The API's documentation page answers")
def docs_page(env: Environment) -> Finding:
    """9.2.1: ``web.docs_path`` is an HTML page."""
    examination = http.examine(env, Request(path=env.web.docs_path))
    html = examination.answer is not None and examination.answer.kind == "text/html"
    kind = examination.answer.kind if examination.answer else "nothing"
    return Finding(
        ok=html and not examination.problems,
        observed=f"{examination.observed}; {kind}",
        expected="200; text/html",
        remedy="see that the documentation is not switched off by ENVIRONMENT or DEBUG, and that the edge routes it",
    )


@check("The OpenAPI document is valid")
def valid(env: Environment) -> Finding:
    """9.2.1: ``web.openapi_path`` is a document that the OpenAPI schema of its own version accepts."""
    examination = http.examine(env, Request(path=env.web.openapi_path))
    problems = list(examination.problems)
    document: Any = None
    if examination.answer is not None and not problems:
        try:
            document = examination.answer.json()
        except ValueError as error:
            problems.append(f"the document is {error}")
        else:
            problems += _errors(document)
    paths = document.get("paths", {}) if isinstance(document, Mapping) else {}
    return Finding(
        ok=not problems,
        observed=problems or f"OpenAPI {document.get('openapi')}, {len(paths)} paths",
        expected="a document without an error by the OpenAPI schema of its version",
        remedy="correct the routes that the errors name",
        tables=(Table(("path", "methods"), tuple((path, ", ".join(paths[path]).upper()) for path in paths)),),
    )


def _errors(document: Any) -> list[str]:
    """What openapi-spec-validator says of the document: at most five errors."""
    from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

    version = document.get("openapi", "") if isinstance(document, Mapping) else ""
    if not isinstance(version, str) or not version.startswith("3."):
        return ["the document names no OpenAPI version 3"]
    validator = OpenAPIV30SpecValidator if version.startswith("3.0") else OpenAPIV31SpecValidator
    errors = sorted(validator(document).iter_errors(), key=str)
    return [f"{'/'.join(str(part) for part in error.path) or '(root)'}: {error.message[:120]}" for error in errors[:5]]


def document(env: Environment) -> Mapping[str, Any]:
    """The service's OpenAPI document. Raises Unanswerable where it cannot be had."""
    examination = http.examine(env, Request(path=env.web.openapi_path))
    if examination.answer is None or examination.problems:
        raise Unanswerable(
            f"the OpenAPI document cannot be had: {examination.observed}", remedy="see web.openapi_path and item 9.2.1"
        )
    try:
        found = examination.answer.json()
    except ValueError as error:
        raise Unanswerable(f"the OpenAPI document is {error}", remedy="see item 9.2.1") from error
    if not isinstance(found, Mapping) or not isinstance(found.get("paths"), Mapping):
        raise Unanswerable("the OpenAPI document names no paths", remedy="see item 9.2.1")
    return found


def operations(document: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Method, path, summary and answers of each operation; what is not as OpenAPI has it is left out."""
    methods = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
    return [
        (
            method.upper(),
            path,
            str(operation.get("summary") or operation.get("description") or ""),
            ", ".join(map(str, _members(operation.get("responses")))),
        )
        for path, item in document["paths"].items()
        if isinstance(item, Mapping)
        for method, operation in item.items()
        if method in methods and isinstance(operation, Mapping)
    ]


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
