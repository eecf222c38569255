"""What was built: the front end's artefact, and the images under the release's tag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from runbook_lib import platforms
from runbook_lib.checks.dependencies import frontend_folder
from runbook_lib.checks.dumps import digest
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import Image
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, check

FACT: Final = "images"
SHORTEST_SECRET: Final = 8
"""Characters; a shorter value is found by chance in any bundle."""
SECRET_IN_SOURCE: Final = re.compile(
    rb"""(?ix) -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    | (?:secret|password|passwd|api_?key|private_?key) \w* \\?["']? \s* [=:] \s* \\?["'] [^"'\\\s]{12,} \\?["']"""
)
"""A private key, or a literal given to a name that speaks of a secret; in a source map, quotes are escaped."""


def built(facts: Mapping[str, Any]) -> tuple[Image, ...]:
    """The images that this run has built. Raises Unanswerable where it has built none."""
    if FACT not in facts:
        raise Unanswerable("this run has built no images", remedy="run item 6.2 in this run first")
    return tuple(Image(service, **entry) for service, entry in facts[FACT].items())


@check("{release}'s front-end artefact is whole and gives nothing away")
def artefact(env: Environment, release: Release) -> Finding:
    """Its files with sizes and digests; no secret of the environment in any, no literal secret in a source map.

    Raises
    ------
    NotApplicable
        The environment declares no front end.
    """
    folder = frontend_folder(env, release)
    declared = env.application.frontend
    assert declared is not None
    root = folder / declared.artefact
    files = sorted(path for path in root.rglob("*") if path.is_file())
    secrets = _secrets(env)
    leaks = {str(path.relative_to(root)): why for path in files if (why := leak(path, secrets))}
    rows = tuple((str(path.relative_to(root)), path.stat().st_size, digest(path)) for path in files)
    return Finding(
        ok=bool(files) and not leaks,
        observed={"files": len(files), "bytes": sum(row[1] for row in rows), "leaks": leaks},
        expected=f"files in {declared.artefact}/, and no secret in them",
        remedy="take the secret out of the source and replace it everywhere: who had the artefact has the secret"
        if leaks
        else "run item 6.1's build again and read its output",
        tables=(Table(("file", "size in bytes", "SHA-256"), rows),),
    )


def leak(path: Path, secrets: Mapping[str, str]) -> str:
    """Which secret `path` holds; empty where none."""
    content = path.read_bytes()
    held = [name for name, value in secrets.items() if value.encode() in content]
    if held:
        return f"holds the value of {', '.join(held)}"
    if path.suffix == ".map" and SECRET_IN_SOURCE.search(content):
        return "is a source map with a literal secret"
    return ""


def _secrets(env: Environment) -> dict[str, str]:
    """The environment's secrets; of a URL its password. A Sentry DSN is public by design: browsers send to it."""
    known = {name: _password(value) for name, value in env.secrets().items() if "DSN" not in name}
    return {name: value for name, value in known.items() if len(value) >= SHORTEST_SECRET}


def _password(value: str) -> str:
    try:
        return (urlsplit(value).password or "") if "://" in value else value
    except ValueError:
        return value


@check("Each image carries the tag {release}")
def tagged(env: Environment, release: Release, facts: Mapping[str, Any]) -> Finding:
    """The release's tag resolves to the digests that this run has built.

    Raises
    ------
    Unanswerable
        This run has built no images, or the platform does not answer.
    """
    expected = _digests(built(facts))
    observed = _digests(platforms.connect(env).tagged(release))
    return Finding(
        ok=bool(expected) and observed == expected,
        observed=observed or f"the tag {release.tag} names nothing",
        expected=expected,
        remedy="run items 6.2 and 6.3 again; someone else may have moved the tag",
    )


def _digests(images: Iterable[Image]) -> dict[str, str]:
    return {image.service: image.digest for image in images}
