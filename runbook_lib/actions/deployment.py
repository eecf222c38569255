"""Putting a release where it serves: on staging first, then in production."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from runbook_lib import exclusive, platforms
from runbook_lib import release as releases
from runbook_lib.actions import migrate
from runbook_lib.checks import http, promotion, readiness
from runbook_lib.checks import staging as stage
from runbook_lib.environment import Environment
from runbook_lib.errors import Occupied, Unanswerable
from runbook_lib.platforms import HalfDeployed, Image, Platform
from runbook_lib.record.archive import Run
from runbook_lib.record.summary import has_acted
from runbook_lib.release import Release
from runbook_lib.step import Finding, Table, action, check

PREVIOUS = "previous_release"
DEPLOYED_AT = "deployed_at"
PHASE = 8


def has_begun(run: Run) -> bool:
    """Whether an action of phase 8 has run, even half: from then on there is something to roll back."""
    return has_acted(run.events.read(), PHASE)


@action("Deploy {release} to staging")
def to_staging(env: Environment, release: Release) -> Finding:
    """7.1.1: the environment named by ``staging`` receives the same commit as the same images, migrations first.

    Or it has: where `env` declares ``staging_run_hours``, a sealed run of staging for the same commit, no older than
    that, is accepted in place of another deployment.

    From then on, until the phase's gate has spoken, nobody else's run is let onto staging.

    Raises
    ------
    NotApplicable
        No staging is declared.
    Unanswerable
        The release has no images yet, staging's platform does not answer, or somebody else's run holds staging.
    """
    staging = stage.of(env)
    try:
        exclusive.beside(env, staging)
    except Occupied as error:
        raise Unanswerable(str(error), remedy="run 7.1.1 again when staging is free") from error
    promoted, refused = _promoted(env, staging, release)
    if promoted is not None:
        return promoted
    there = releases.find(staging, release.tag)
    if there.commit != release.commit:
        return Finding(
            False,
            f"on {staging.name} {release.tag} is commit {there.commit[:12]}",
            f"commit {release.commit[:12]}",
            "push the tag to staging's repository; nothing was deployed",
        )
    wanted = _digests(platforms.connect(env).tagged(release))
    if not wanted:
        raise Unanswerable(f"{release.tag} has no images", remedy="build and tag them first (6.2, 6.3)")
    given = _digests(_images(staging, there, wanted))
    if given != wanted:
        return Finding(
            False, given, wanted, "the build is not reproducible, or the checkout was changed; nothing was deployed"
        )
    migrated = migrate.apply(staging, there).run()
    if not migrated.ok:
        return migrated
    platform = platforms.connect(staging)
    platform.up(there)
    deployed = platform.deployed()
    return Finding(
        ok=deployed == release.tag,
        observed={
            "deployed": deployed,
            "commit": there.commit,
            "images": given,
            "migrated": migrated.observed,
            "answers": _answers(staging),
        }
        | ({"runs that do not count": refused} if refused else {}),
        expected={"deployed": release.tag, "commit": release.commit, "images": wanted},
        remedy="look at staging's platform: it started something else",
        tables=(Table(("service", "image on staging"), tuple(given.items())),),
    )


def _promoted(env: Environment, staging: Environment, release: Release) -> tuple[Finding | None, dict[str, str]]:
    """A finding where a run of staging counts; else why each run of the same commit does not, by its name."""
    if env.staging_run_hours is None:
        return None, {}
    found, refused = promotion.find(staging, release, env.staging_run_hours)
    why = {str(each.run): each.why_not for each in refused}
    if found is None:
        return None, why
    waived = {"waived there": list(found.waived)} if found.waived else {}
    hours = f"{env.staging_run_hours:g} h"
    return Finding(
        ok=True,
        observed={
            "accepted": str(found.run),
            "opened": found.opened.isoformat(),
            "manifest": found.digest,
            "commit": release.commit,
        }
        | waived,
        expected=f"a sealed, verified run of {staging.name} for the same commit, at most {hours} old",
    ), why


def _images(staging: Environment, release: Release, wanted: dict[str, str]) -> tuple[Image, ...]:
    """Staging's images of the release, built and tagged there unless its tag names the wanted ones already."""
    platform = platforms.connect(staging)
    images = platform.tagged(release)
    if _digests(images) == wanted:
        return images
    images = platform.build(release)
    if _digests(images) == wanted:
        platform.tag(release, images)
    return images


def _answers(env: Environment) -> str:
    """When the service answered for the first time; whether it answers well is for the checks that follow."""
    waited = readiness.wait_for_answer(env, env.platform.start_seconds)
    return f"not within {env.platform.start_seconds:g} s" if waited is None else f"after {waited:.1f} s"


def _digests(images: Iterable[Image]) -> dict[str, str]:
    return {image.service: image.digest for image in sorted(images, key=lambda image: image.service)}


def what_runs(platform: Platform) -> str | None:
    """The tag of what is deployed, or a sentence where a deployment was cut off; None where nothing is."""
    try:
        return platform.deployed()
    except HalfDeployed as error:
        return error.reason


@check("What runs before the deployment is known")
def before(env: Environment, release: Release) -> Finding:
    """8.1, first: the release that rollback goes back to, and the time from which logs count, are put on record.

    Where `release` itself runs already, as after an interrupted run, what was recorded before it stays.
    """
    now = datetime.now(UTC).isoformat()
    try:
        deployed = platforms.connect(env).deployed()
    except HalfDeployed as error:
        return Finding(True, error.reason, "the platform says what is deployed", facts={DEPLOYED_AT: now})
    if deployed is None:
        seen = "nothing is deployed: a first deployment, with nothing to go back to"
    elif deployed == release.tag:
        seen = f"{deployed} is deployed already"
    else:
        seen = f"{deployed} is deployed"
    return Finding(
        ok=True,
        observed=seen,
        expected="the platform says what is deployed",
        facts={DEPLOYED_AT: now} | ({PREVIOUS: deployed} if deployed not in (None, release.tag) else {}),
    )


def _is_deployed(env: Environment, release: Release) -> Finding:
    """Whether the platform has the release in place, every one of its services is well, and the release answers.

    A service that was not reached yet before the action was cut off need not keep the others from answering.
    """
    platform = platforms.connect(env)
    deployed = what_runs(platform)
    ill = {service.name: service.state for service in platform.services() if not service.well}
    try:
        answers = http.version_is(env, release).run()
    except Unanswerable as error:
        # Cut off between two services: to start them is what is left to do.
        return Finding(False, {"deployed": deployed, "answers": str(error)}, {"deployed": release.tag})
    return Finding(
        deployed == release.tag and not ill and answers.ok,
        {"deployed": deployed, "not well": ill, "answers": answers.observed},
        {"deployed": release.tag, "not well": {}, "answers": answers.expected},
    )


@action("Start every service on {release}", done=_is_deployed)
def deploy(env: Environment, release: Release) -> Finding:
    """8.1, last: every service on the release's tagged images; the migrations were applied by the action before."""
    platform = platforms.connect(env)
    earlier = what_runs(platform)
    images = _digests(platform.tagged(release))
    platform.up(release)
    deployed = platform.deployed()
    return Finding(
        ok=deployed == release.tag,
        observed={"before": earlier, "deployed": deployed, "images": images, "answers": _answers(env)},
        expected={"deployed": release.tag},
        remedy="the platform started something else: look at its deployments, and roll back (notebook 90)",
        tables=(Table(("service", "image"), tuple(images.items())),),
    )
