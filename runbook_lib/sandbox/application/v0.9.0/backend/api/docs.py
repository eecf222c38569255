"""GET /api/docs: a page made from the OpenAPI document, without scripts, styles or foreign hosts."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter()

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title} {version}</title></head>
<body>
<h1>{title} {version}</h1>
<p>This page is made from the <a href="{url}">OpenAPI document</a>.</p>
{operations}
</body>
</html>
"""
_OPERATION = "<h2><code>{method} {path}</code></h2>\n<p>{summary}</p>\n<p>{description}</p>\n<ul>{answers}</ul>"


@router.get("/api/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The API's documentation."""
    document = request.app.openapi()
    operations = [
        _OPERATION.format(
            method=method.upper(),
            path=escape(path),
            summary=escape(operation.get("summary", "")),
            description=escape(operation.get("description", "")),
            answers="".join(
                f"<li>{status}: {escape(answer['description'])}</li>"
                for status, answer in operation["responses"].items()
            ),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    info = {name: escape(document["info"][name]) for name in ("title", "version")}
    return HTMLResponse(_PAGE.format(**info, url=request.app.openapi_url, operations="\n".join(operations)))
