"""Pages about the service: where it is, and what its API offers."""

from __future__ import annotations

from runbook_lib.checks import documents, openapi
from runbook_lib.environment import Environment
from runbook_lib.handbook.writing import publish, unsaid, values
from runbook_lib.pages import Page, Section
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, action


@action("Write the handbook's page of {env}'s URLs")
def production_urls(env: Environment, release: Release) -> Finding:
    """13.1.1: the service's addresses, the documents, the dashboards, support and status page, from the TOML.

    Raises
    ------
    Unanswerable
        The project's documents cannot be read, or the folder cannot be written to.
    """
    own = dict(documents.own_addresses(env))
    if env.web.metrics_path:
        own["Metrics"] = env.web.address(env.web.metrics_path)
    if env.web.http_url:
        own["Plain HTTP, which redirects"] = env.web.http_url
    declared = env.documentation
    rest = {
        "Documents": declared.links,
        "Dashboards": declared.dashboards,
        "Support": declared.support,
        "Status page": {"Status page": declared.status_page} if declared.status_page else {},
    }
    page = Page(
        "production-urls",
        f"{env}: URLs",
        (f"The addresses of the environment {env} ({env.kind}), whose domains are {', '.join(env.domains)}.",),
        (
            Section("The service", (), values(own, ("name", "URL"), "The service")),
            *(Section(title, (), values(links, ("name", "URL"), title)) for title, links in rest.items() if links),
            unsaid(env, release, {f"the address {env.web.url}": (env.web.url.partition("://")[2],)}),
        ),
    )
    return publish(env, page)


@action("Write the handbook's page of {env}'s API endpoints")
def api_endpoints(env: Environment, release: Release) -> Finding:
    """13.1.2: every operation of the OpenAPI document that the service itself answers with.

    Raises
    ------
    Unanswerable
        The OpenAPI document cannot be had; else as :func:`production_urls`.
    """
    document = openapi.document(env)
    found = openapi.operations(document)
    info = document.get("info")
    about = info if isinstance(info, dict) else {}
    page = Page(
        "api-endpoints",
        f"{env}: API endpoints",
        (
            f"{about.get('title', 'The API')} {about.get('version', '')}, as {env.web.address(env.web.openapi_path)} "
            "described it when this page was written.",
        ),
        (
            Section(
                "Operations", (), Table(("method", "path", "summary", "answers"), tuple(found), "Operations of the API")
            ),
            unsaid(env, release, {f"{method} {path}": (path.rstrip("/") or path,) for method, path, *_ in found}),
        ),
    )
    return publish(env, page)
