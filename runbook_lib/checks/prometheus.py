"""Prometheus and Grafana, where the environment declares them: does the one collect, is the other well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from runbook_lib.checks import monitors
from runbook_lib.environment import Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.step import Finding, Table, check


def address(env: Environment) -> str:
    """Where Prometheus is. Raises NotApplicable where none is declared."""
    if env.monitoring.prometheus_url is None:
        raise NotApplicable("monitoring.prometheus_url is not declared")
    return env.monitoring.prometheus_url.rstrip("/")


def ask(env: Environment, path: str, parameters: Mapping[str, str] | None = None) -> Any:
    """The data of an answer of Prometheus' API (https://prometheus.io/docs/prometheus/latest/querying/api/).

    Raises
    ------
    NotApplicable
        No Prometheus is declared.
    Unanswerable
        It does not answer, or says that it cannot.
    """
    body = monitors.get_json(
        env,
        f"{address(env)}/api/v1/{path}",
        who="Prometheus",
        setting="monitoring.prometheus_url",
        parameters=parameters,
    )
    if not isinstance(body, Mapping) or body.get("status") != "success" or not isinstance(body.get("data"), Mapping):
        raise Unanswerable(
            f"Prometheus at {address(env)} answers /api/v1/{path} with no data: {str(body)[:200]}",
            remedy="check monitoring.prometheus_url: is it the address of Prometheus itself?",
        )
    return body["data"]


def query(env: Environment, expression: str) -> list[tuple[dict[str, str], float]]:
    """The labels and the value of each series that `expression` gives now. Raises as :func:`ask` does."""
    data = ask(env, "query", {"query": expression})
    try:
        return [(dict(one["metric"]), float(one["value"][1])) for one in data["result"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Unanswerable(
            f"Prometheus answers {expression} in a shape that is no vector: {type(error).__name__}: {error}",
            remedy="let the expression be one that gives an instant vector",
        ) from error


def quoted(value: str) -> str:
    """`value` as a string of PromQL, whose escapes are Go's; JSON's are among them."""
    return json.dumps(value, ensure_ascii=False)


@check("Prometheus collects the service's metrics")
def collects(env: Environment) -> Finding:
    """10.2.2: its target is up, and ``monitoring.prometheus_series`` is there.

    The target is the one of ``monitoring.prometheus_job``; without it, the one on the host and port of ``web.url``.

    Raises
    ------
    NotApplicable
        ``monitoring.prometheus_url`` is not declared.
    """
    targets = [target for target in _targets(env) if _is_ours(env, target)]
    job = env.monitoring.prometheus_job
    which = f"of job {job}" if job else f"on {urlsplit(env.web.url).netloc}"
    down = [f"{one['scrapeUrl']} is {one['health']}: {one.get('lastError') or 'no error told'}" for one in targets]
    down = [line for line, one in zip(down, targets, strict=True) if one["health"] != "up"]
    problems = down if targets else [f"there is no target {which}"]
    series = env.monitoring.prometheus_series
    jobs = sorted({str(target["labels"].get("job", "")) for target in targets})
    found = [one for name in jobs for one in query(env, f"{series}{{job={quoted(name)}}}")]
    if targets and not found:
        problems.append(f"there is no series {series} of job {', '.join(jobs)}")
    return Finding(
        ok=not problems,
        observed=problems or f"{len(targets)} targets {which} up; {len(found)} series {series}",
        expected=f"every target {which} up, at least 1; at least 1 series {series}",
        remedy="see Prometheus' page Status, Targets: scrape_configs, the path of the metrics, and the way to it",
        tables=(
            Table(
                ("target", "health", "last scrape", "last error"),
                tuple(
                    (one["scrapeUrl"], one["health"], one["lastScrape"], one.get("lastError", "")) for one in targets
                ),
            ),
        ),
    )


def _targets(env: Environment) -> list[dict[str, Any]]:
    found = ask(env, "targets", {"state": "active"}).get("activeTargets")
    wanted = {"scrapeUrl", "health", "labels", "lastScrape"}
    if not isinstance(found, list) or not all(isinstance(one, dict) and wanted <= one.keys() for one in found):
        raise Unanswerable(
            "Prometheus lists its targets in a shape that this kit does not know",
            remedy="compare its version with those that the kit was tested against",
        )
    return found


def _is_ours(env: Environment, target: Mapping[str, Any]) -> bool:
    if env.monitoring.prometheus_job is not None:
        return bool(target["labels"].get("job") == env.monitoring.prometheus_job)
    return urlsplit(str(target["scrapeUrl"])).netloc == urlsplit(env.web.url).netloc


@check("Grafana is healthy")
def grafana(env: Environment) -> Finding:
    """S.9: ``monitoring.grafana_url`` says that its database is well (its HTTP API, ``/api/health``).

    Raises
    ------
    NotApplicable
        ``monitoring.grafana_url`` is not declared.
    """
    declared = env.monitoring.grafana_url
    if declared is None:
        raise NotApplicable("monitoring.grafana_url is not declared")
    where = f"{declared.rstrip('/')}/api/health"
    body = monitors.get_json(env, where, who="Grafana", setting="monitoring.grafana_url")
    state = body.get("database") if isinstance(body, Mapping) else None
    return Finding(
        ok=state == "ok",
        observed=f"Grafana's database is {state or 'not told of'}",
        expected="Grafana's database is ok",
        remedy="read Grafana's log",
    )
