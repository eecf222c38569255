"""Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/), read into samples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One value of one series."""

    name: str
    labels: dict[str, str]
    value: float


def parse(text: str) -> tuple[Sample, ...]:
    """Every sample of an exposition. Raises ValueError where it is none, such as one that is quoted as JSON."""
    from prometheus_client.parser import text_string_to_metric_families

    if not text.endswith("\n"):
        raise ValueError(f"the exposition must end with a line feed; it begins with {text[:40]!r}")
    families = list(text_string_to_metric_families(text))
    return tuple(Sample(one.name, dict(one.labels), float(one.value)) for family in families for one in family.samples)
