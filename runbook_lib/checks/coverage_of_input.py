"""How much of an input a check did not understand: counted, reported, and refused past the declared share."""

from __future__ import annotations

from dataclasses import dataclass

from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding


@dataclass(frozen=True)
class LeftOut:
    """What a check read and could not judge.

    Parameters
    ----------
    what:
        The parts, in the plural, such as ``log lines without a date``.
    count, total:
        How many were left out, of how many.
    setting:
        What to set in the TOML, so that they are understood.
    """

    what: str
    count: int
    total: int
    setting: str

    def __str__(self) -> str:
        return f"{self.count:,} of {self.total:,} {self.what}"

    def refuse(self, env: Environment, seen: Finding | None = None) -> None:
        """Raise Unanswerable, with the finding as far as it goes, past ``objectives.not_understood``."""
        allowed = env.objectives.not_understood
        if self.count > allowed * self.total:
            raise Unanswerable(
                f"not understood: {self}; allowed is a share of {allowed:g}",
                remedy=f"{self.setting}, or raise objectives.not_understood in {env.name}.toml",
                seen=seen,
            )
