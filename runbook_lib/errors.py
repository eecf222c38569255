"""Everything the kit itself raises, as one small tree.

RunbookError                  base; its text is a sentence for the person at the terminal
├── ConfigurationError        a name, file or parameter is wrong: nothing was run (exit code 2)
├── Occupied                  somebody else's run holds the environment: nothing was run (exit code 2)
├── RecordError               the record on disk is not what it must be (exit code 4)
├── GateFailed                a phase ended with an item failed or in error (exit code 1)
└── Unresolved                raised by a step instead of returning a finding
    ├── Unanswerable          could not find out: status error
    ├── Waiting               a person or a delivery is awaited: status pending
    └── NotApplicable         a setting or the platform rules it out: status skipped
"""

from __future__ import annotations

from typing import Any


class RunbookError(Exception):
    """Base of the tree; shown as one sentence, never as a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class ConfigurationError(RunbookError):
    """Something given by the user is wrong; nothing has been run."""


class Occupied(RunbookError):
    """Another run holds the environment; the text names it, its operator, and since when."""


class RecordError(RunbookError):
    """The record on disk is missing, occupied or damaged."""


class GateFailed(RunbookError):
    """A phase's gate did not pass."""


class Unresolved(RunbookError):
    """A step ended without a finding.

    Parameters
    ----------
    reason:
        What stood in the way, as a sentence.
    remedy:
        What to do next.
    """

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Unanswerable(Unresolved):
    """Could not find out; the item is in error, never passed.

    Parameters
    ----------
    seen:
        The Finding as far as it goes, where something was measured that does not suffice: it is kept and shown.
    """

    def __init__(self, reason: str, *, remedy: str = "", seen: Any = None) -> None:
        super().__init__(reason, remedy=remedy)
        self.seen = seen


class Waiting(Unresolved):
    """A person's word or a delivery is awaited; the item is pending."""


class NotApplicable(Unresolved):
    """A setting or the platform rules the step out; the reason names it. A missing tool never does."""
