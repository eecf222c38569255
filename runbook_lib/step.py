"""A step is a value: a check, an action or an attestation, bound to its arguments and not yet run.

Calling a decorated function binds it; :meth:`Step.run` is for the executor in :mod:`runbook_lib.phase` alone.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ParamSpec

from runbook_lib.errors import Waiting

P = ParamSpec("P")
ATTEST = "attest"
"""The name of the step that waits for a person's word."""
TAIL = 8
"""Lines of a step's progress that are on show at a time; of what says more at once, the last ones are told."""


class Status(StrEnum):
    """How an item or a step ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    PENDING = "pending"
    WAIVED = "waived"
    PLANNED = "planned"


class Kind(StrEnum):
    """What a step is: it observes, it changes something, or it is a person's word."""

    CHECK = "check"
    ACTION = "action"
    ATTEST = "attest"


@dataclass(frozen=True)
class Table:
    """Rows shown with a finding; `columns` name the units."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    title: str = ""


@dataclass(frozen=True)
class Evidence:
    """A file to keep with a finding, under the run's ``evidence/<item>/<name>``.

    PNG and SVG are shown in the notebook; text is shown by its head and tail.
    """

    name: str
    content: bytes | str


@dataclass(frozen=True)
class Finding:
    """What a step observed, against what it expected.

    Parameters
    ----------
    ok:
        The verdict; False is *failed*.
    observed, expected:
        JSON-like values or sentences, with units, so that a reader can disagree later.
    remedy:
        What to do next; shown when the verdict is not ok.
    tables, evidence:
        Shown in the notebook, and kept in the record.
    facts:
        JSON-like values that later phases of the same run need, such as a rollback point.
    """

    ok: bool
    observed: Any
    expected: Any
    remedy: str = ""
    tables: tuple[Table, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One bound, not yet run, check, action or attestation.

    `done` looks whether an action has been carried out already, after it was cut off; None where it may be repeated
    without harm.
    """

    kind: Kind
    name: str
    title: str
    arguments: Mapping[str, Any]
    function: Callable[[], Finding] = field(repr=False)
    done: Callable[[], Finding] | None = field(default=None, repr=False)

    def run(self) -> Finding:
        """Run it. Raises whatever the function raises; only the executor may catch it."""
        return self.function()


def check(title: str) -> Callable[[Callable[P, Finding]], Callable[P, Step]]:
    """Make a function that only observes into one that binds a check.

    Parameters
    ----------
    title:
        The step as a sentence; ``{name}`` takes the argument of that name.
    """
    return _binder(Kind.CHECK, title)


def action(
    title: str, *, done: Callable[..., Finding] | None = None
) -> Callable[[Callable[P, Finding]], Callable[P, Step]]:
    """Make a function that changes something into one that binds an action.

    An action must bear to be repeated after it was cut off at any instant: it looks at what is there before it changes
    it. One that would do harm or be of no use twice says by `done` how to find out that it was carried out.

    Parameters
    ----------
    title:
        As in :func:`check`.
    done:
        Takes the action's own arguments and only looks; ok where nothing is left to do, with the facts that the
        action itself would have left.
    """
    return _binder(Kind.ACTION, title, done)


def _binder(
    kind: Kind, title: str, done: Callable[..., Finding] | None = None
) -> Callable[[Callable[P, Finding]], Callable[P, Step]]:
    def decorate(function: Callable[P, Finding]) -> Callable[P, Step]:
        signature = inspect.signature(function)
        module = function.__module__.rpartition(".")[2]

        @functools.wraps(function)
        def bind(*args: P.args, **kwargs: P.kwargs) -> Step:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return Step(
                kind=kind,
                name=f"{module}.{function.__name__}",
                title=title.format(**bound.arguments),
                arguments=dict(bound.arguments),
                function=functools.partial(function, *args, **kwargs),
                done=functools.partial(done, *args, **kwargs) if done else None,
            )

        return bind

    return decorate


def attest(statement: str) -> Step:
    """Bind an attestation: a person's word that `statement` holds, pending until it is given."""

    def wait() -> Finding:
        raise Waiting("nobody has attested this yet", remedy="the person responsible attests it before sign-off")

    return Step(Kind.ATTEST, ATTEST, statement, {"statement": statement}, wait)


def signature(role: str) -> Step:
    """Bind a sign-off: pending, for it is given by `role`'s key on the sealed record, which holds this very step."""

    def wait() -> Finding:
        raise Waiting(
            "given on the sealed record", remedy=f"runbook seal RUN, then runbook sign RUN --role {role} --key FILE"
        )

    return Step(Kind.ATTEST, "signature", f"The {role} signs the sealed record", {"role": role}, wait)


def not_built(statement: str) -> Step:
    """Stand in for an item that this version of the kit does not look at: pending, never passed."""

    def wait() -> Finding:
        raise Waiting("not built", remedy="do it by hand and keep the proof; this version of the kit does not look")

    return Step(Kind.CHECK, "not_built", statement, {}, wait)


_progress: ContextVar[Callable[[str], None] | None] = ContextVar("progress", default=None)


def progress(message: str) -> None:
    """Tell whoever watches what a long step is doing; costs nothing when nobody does."""
    report = _progress.get()
    if report is not None:
        report(message)


@contextmanager
def reporting(report: Callable[[str], None]) -> Iterator[None]:
    """Send the :func:`progress` of everything within to `report`."""
    token = _progress.set(report)
    try:
        yield
    finally:
        _progress.reset(token)
