"""What several commands take."""

from __future__ import annotations

from runbook_lib.errors import ConfigurationError


def phase_numbers(option: str, text: str) -> tuple[int, ...]:
    """The phase numbers in a list such as ``9,11``. Raises ConfigurationError naming the option."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigurationError(f"{option} takes phase numbers such as 9,11; '{text}' is none.") from None
