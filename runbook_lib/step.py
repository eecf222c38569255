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
    """One bound, not yet run, check, action or attestation."""

    kind: Kind
    name: str
    title: str
    arguments: Mapping[str, Any]
    function: Callable[[], Finding] = field(repr=False)

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


def action(title: str) -> Callable[[Callable[P, Finding]], Callable[P, Step]]:
    """Make a function that changes something into one that binds an action; `title` as in :func:`check`."""
    return _binder(Kind.ACTION, title)


def _binder(kind: Kind, title: str) -> Callable[[Callable[P, Finding]], Callable[P, Step]]:
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
            )

        return bind

    return decorate


def attest(statement: str) -> Step:
    """Bind an attestation: a person's word that `statement` holds, pending until it is given."""

    def wait() -> Finding:
        raise Waiting("nobody has attested this yet", remedy="the person responsible attests it before sign-off")

    return Step(Kind.ATTEST, "attest", statement, {"statement": statement}, wait)


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
