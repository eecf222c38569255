"""Uptime monitoring: what those who watch the service from outside say."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from runbook_lib.checks import metrics, monitors, prometheus
from runbook_lib.environment import BlackboxProbe, Environment, JsonProbe, Probe
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.step import Finding, Table, check

Seen = tuple[bool, str]
"""Whether it is up, and what was seen."""


@check("Every declared uptime probe reports up")
def probes(env: Environment) -> Finding:
    """10.4.1: each of ``monitoring.probes``.

    Raises
    ------
    Unanswerable
        None is declared; or one does not answer, which is neither up nor down.
    """
    declared = env.monitoring.probes
    if not declared:
        raise Unanswerable(
            f"{env.name}.toml declares no uptime probe",
            remedy="set up an uptime check, and declare where it is seen as [[monitoring.probes]]",
        )
    unknown, seen = [], []
    for probe in declared:
        try:
            seen.append((probe.name, *examine(env, probe)))
        except Unanswerable as error:
            unknown.append(f"{probe.name}: {error.reason}; {error.remedy}")
    if unknown and all(up for _, up, _ in seen):
        raise Unanswerable("; ".join(unknown), remedy="correct the probes that cannot be asked")
    down = [f"{name}: {what}" for name, up, what in seen if not up]
    return Finding(
        ok=not down,
        observed=(down + unknown) or {name: what for name, _, what in seen},
        expected=f"{len(declared)} probes report up",
        remedy="see whether the service answers from outside (8.3); if it does, see the probe's own log",
        tables=(Table(("probe", "up", "seen"), tuple((name, "yes" if up else "no", what) for name, up, what in seen)),),
    )


def examine(env: Environment, probe: Probe) -> Seen:
    """What one probe says. Raises Unanswerable where it cannot be asked."""
    return _json(env, probe) if isinstance(probe, JsonProbe) else _blackbox(env, probe)


def _json(env: Environment, probe: JsonProbe) -> Seen:
    body = monitors.get_json(env, probe.url, who=probe.name, setting=f"probe {probe.name}", token=probe.token)
    try:
        found: Any = monitors.at_path(body, probe.path)
    except LookupError as error:
        raise Unanswerable(
            f"{probe.name} at {monitors.place(probe.url)} does not say '{probe.path}': {error}",
            remedy="correct the probe's path: members and list indices with dots between",
        ) from error
    # True is 1 in Python, and not in JSON.
    up = found == probe.expected and isinstance(found, bool) == isinstance(probe.expected, bool)
    return up, f"{probe.path} is {found!r}, expected {probe.expected!r}"


def _blackbox(env: Environment, probe: BlackboxProbe) -> Seen:
    """``probe_success``: 1 where the probe succeeded, 0 where it did not (Prometheus' blackbox exporter)."""
    if probe.exporter is None:
        return _through_prometheus(env, probe)
    address = f"{probe.exporter.rstrip('/')}/probe?{urlencode({'target': probe.target, 'module': probe.module})}"
    answer = monitors.get(env, address, who="the blackbox exporter", setting=f"probe {probe.name}")
    try:
        samples = metrics.parse(answer.text)
    except ValueError as error:
        raise Unanswerable(f"{probe.name}: {error}", remedy="is it the address of the blackbox exporter?") from error
    values = [sample.value for sample in samples if sample.name == "probe_success"]
    if not values:
        raise Unanswerable(
            f"{probe.name}: the answer holds no probe_success", remedy="is it the address of the blackbox exporter?"
        )
    status = [f", HTTP status {one.value:g}" for one in samples if one.name == "probe_http_status_code"]
    return values == [1.0], f"probe_success of {probe.target} is {values[0]:g}{''.join(status)}"


def _through_prometheus(env: Environment, probe: BlackboxProbe) -> Seen:
    try:
        found = prometheus.query(env, f"probe_success{{instance={prometheus.quoted(probe.target)}}}")
    except NotApplicable as error:
        raise Unanswerable(
            f"{probe.name} names no exporter, and {error.reason}", remedy="declare one of the two"
        ) from error
    if not found:
        return False, f"Prometheus has no probe_success of {probe.target}: nobody probes it"
    return all(value == 1.0 for _, value in found), f"probe_success of {probe.target} is {found[0][1]:g}, by Prometheus"
