"""How the sandbox's services are hosted: an interface beside its variants."""

from __future__ import annotations

from runbook_lib.sandbox.hosting.interface import Hosting

__all__ = ["Hosting"]
