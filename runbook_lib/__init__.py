"""The runbook kit: what a notebook imports."""

from runbook_lib.phase import begin
from runbook_lib.step import attest, not_built, signature

__all__ = ["attest", "begin", "not_built", "signature"]
