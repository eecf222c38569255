"""What is deployed is built: the front end's artefact, and one image for each service."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from runbook_lib import command, platforms, programs
from runbook_lib.checks.dependencies import frontend_folder
from runbook_lib.checks.images import FACT, built
from runbook_lib.environment import Environment
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, action


@action("Build {release}'s front end")
def frontend(env: Environment, release: Release) -> Finding:
    """The declared build command; it must have written the artefact, not only left an old one.

    Raises
    ------
    Unanswerable
        The command is missing, or took longer than ``limits.build`` seconds.
    NotApplicable
        The environment declares no front end.
    """
    folder = frontend_folder(env, release)
    declared = env.application.frontend
    assert declared is not None
    started = time.time()
    argv, path = programs.node(declared.build)
    completed = command.run(argv, cwd=folder, env={**path, "CI": "1"}, timeout=env.limits.build)
    artefact = folder / declared.artefact
    # File systems keep times coarsely; a second is less than any build takes.
    written = [file for file in artefact.rglob("*") if file.is_file() and file.stat().st_mtime > started - 1.0]
    return Finding(
        ok=completed.ok and bool(written),
        observed={
            "exit code": completed.returncode,
            "files written": len(written),
            "seconds": round(completed.seconds, 2),
        },
        expected=f"exit code 0, and files written to {declared.artefact}/",
        remedy="read the build's output",
        evidence=(completed.evidence("build.log"),),
    )


@action("Build {release}'s images")
def images(env: Environment, release: Release) -> Finding:
    """One image for each service that is built from source, by the platform.

    Raises
    ------
    Unanswerable
        The platform cannot build.
    """
    made = platforms.connect(env).build(release)
    return Finding(
        ok=bool(made),
        observed={image.service: image.digest for image in made},
        expected="an image for each service that is built from source",
        remedy="see why the platform built nothing: does it declare a service that is built from source?",
        tables=(
            Table(
                ("service", "digest", "size in bytes", "build time in seconds"),
                tuple((image.service, image.digest, image.size, round(image.seconds, 2)) for image in made),
            ),
        ),
        facts={FACT: {i.service: {"digest": i.digest, "size": i.size, "seconds": i.seconds} for i in made}},
    )


@action("Tag the images as {release}")
def tag(env: Environment, release: Release, facts: Mapping[str, Any]) -> Finding:
    """Give the release's tag to the images that this run has built.

    Raises
    ------
    Unanswerable
        This run has built none, or the platform cannot tag.
    """
    made = built(facts)
    platforms.connect(env).tag(release, made)
    return Finding(True, {image.service: image.digest for image in made}, f"each tagged {release.tag}")
