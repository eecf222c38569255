"""What differs between any two runs, and says nothing: times, durations, names of runs and processes, ports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

EPHEMERAL: Final = 32_768
"""The first port that Linux gives to whoever asks for any (net.ipv4.ip_local_port_range)."""

_NUMBER = r"\d+(?:[.,]\d+)*"
_UNIT = r"(?:ms|µs|us|milliseconds?|s|seconds?|min|minutes?|h|hours?|d|days?|(?:\w+ ?)?/s|\w+ per second)(?![\w])"
_OFTEN: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"), "‹time›"),
    (re.compile(r"\d{8}T\d{6}Z"), "‹time›"),
    (re.compile(r"\b\d\d?:\d\d:\d\d(?:\.\d+)?\b"), "‹time›"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b(?:[0-9a-f]{16}){1,2}\b"), "‹id›"),
    (re.compile(r"\b(pid|process) \d+", re.IGNORECASE), r"\1 ‹number›"),
    (re.compile(r"(\b127(?:\.\d+){3}|\blocalhost|\[::1\]):\d{1,5}\b"), r"\1:‹port›"),
    (re.compile(r"/tmp/[\w.-]+"), "‹folder›"),  # noqa: S108  # a pattern, and no file of ours
)
"""In any text; identifiers of 16 and 32 digits are drawn anew by each run, while commits have 40 and SHA-256 64."""
_PORT: Final = re.compile(r"(?<=[\w\]]:)\d{5}\b|(?<=\bport )\d{5}\b")
_TAKEN: Final = re.compile(
    rf"(?<![\w.]){_NUMBER}(?: ?(?:to|-|–) ?{_NUMBER})? ?{_UNIT}(?: \({_NUMBER} to {_NUMBER}\))?", re.IGNORECASE
)
"""A duration or a rate, with its interval."""
_NAMES_A_NUMBER_OF_NOISE: Final = re.compile(
    r"^(?:pid|uptime|age)$|per second$|(?<![\d ])(?:^|[ _])(?:seconds|milliseconds|ms|minutes|hours)\b", re.IGNORECASE
)
"""A time that was measured; "above 1000 ms" names a threshold, and its number counts."""


@dataclass(frozen=True)
class Noise:
    """Takes the noise out of what a run has recorded, so that only what means something is compared.

    Parameters
    ----------
    run:
        The run's own id.
    """

    run: str

    def observed(self, value: Any) -> Any:
        """What was seen, without what it took: whether a service has become slower is for its load test to say."""
        if isinstance(value, Mapping):
            return {
                self.observed(name): _without_numbers(item) if _is_noise(name, item) else self.observed(item)
                for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.observed(item) for item in value]
        return _TAKEN.sub("‹taken›", self._plain(value)) if isinstance(value, str) else value

    def expected(self, value: Any) -> Any:
        """What was expected; a duration in it is a threshold, and counts."""
        if isinstance(value, Mapping):
            return {self._plain(name): self.expected(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.expected(item) for item in value]
        return self._plain(value) if isinstance(value, str) else value

    def _plain(self, text: str) -> str:
        text = text.replace(self.run, "‹run›")
        for pattern, shown in _OFTEN:
            text = pattern.sub(shown, text)
        return _PORT.sub(lambda found: "‹port›" if int(found[0]) >= EPHEMERAL else found[0], text)


def _is_noise(name: str, value: Any) -> bool:
    if name.lower() == "port":
        return _is_number(value) and value >= EPHEMERAL
    return (isinstance(value, Mapping) or _is_number(value)) and _NAMES_A_NUMBER_OF_NOISE.search(name) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _without_numbers(value: Any) -> Any:
    """The number by a sign, or the names of several, such as the seconds of each part."""
    if isinstance(value, Mapping):
        return {name: _without_numbers(inner) for name, inner in value.items()}
    return "‹number›" if _is_number(value) or isinstance(value, str) else value
