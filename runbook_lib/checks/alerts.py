"""Alerting: whether a test alert arrives where alerts are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runbook_lib.checks import monitors
from runbook_lib.environment import AlertmanagerAlerting, Environment, Secret, WebhookAlerting
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.step import Finding, check

FACT: Final = "test_alert"
"""What this run has sent: its number, which is found again, and when."""
LABEL: Final = "runbook_test"
"""The label that carries the number."""


def webhook(declared: WebhookAlerting) -> str:
    """The webhook's address. Raises Unanswerable where its reference leads nowhere."""
    url = declared.url
    return url.resolve().get_secret_value() if isinstance(url, Secret) else url


def as_webhook(alert: Mapping[str, Any]) -> dict[str, Any]:
    """An alert as Alertmanager's webhooks carry it (its documentation, ``webhook_config``).

    Slack, Mattermost and others show the member ``text``, and do not mind the rest.
    """
    return {
        "version": "4",
        "status": "firing",
        "receiver": "runbook",
        "groupLabels": {"alertname": alert["labels"]["alertname"]},
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": alert["generatorURL"],
        "alerts": [{"status": "firing", **alert}],
        "text": f"{alert['annotations']['summary']}. {alert['annotations']['description']}",
    }


@check("The test alert arrives where alerts are read")
def arrived(env: Environment, facts: Mapping[str, Any]) -> Finding:
    """10.4.2: the receiver's ``monitoring.alerting.confirmation_url`` shows its number within ``arrival_seconds``.

    Raises
    ------
    Waiting
        No confirmation URL is declared: a person says that it arrived.
    Unanswerable
        This run has sent no test alert, or the receiver does not answer.
    """
    declared, sent = env.monitoring.alerting, facts.get(FACT)
    if declared is None or not sent:
        raise Unanswerable("this run has sent no test alert", remedy="run the step before in this run first")
    number = str(sent["id"])
    address = declared.confirmation_url
    if address is None:
        raise Waiting(
            f"monitoring.alerting.confirmation_url is not declared: nobody can be asked for test alert {number}",
            remedy=f"ask whoever is on call whether 'Test alert {number}' arrived, and keep the proof",
        )
    receiver = address

    def look() -> bool | None:
        setting = "monitoring.alerting.confirmation_url"
        answer = monitors.get(env, receiver, who="the receiver", setting=setting, token=declared.token)
        return True if number in answer.text else None

    limit = env.monitoring.arrival_seconds
    found, seconds = monitors.wait_for(look, limit, f"waiting for test alert {number} to arrive")
    where = monitors.place(receiver)
    return Finding(
        ok=bool(found),
        observed=f"the receiver at {where} {'shows' if found else 'does not show'} test alert {number} "
        f"after {seconds:.1f} s{'' if found else _still_there(env, number)}",
        expected=f"test alert {number} within {limit:g} s",
        remedy="see Alertmanager's routes and their group_wait, its log for failed notifications, and inhibitions; "
        "or raise monitoring.arrival_seconds",
    )


def _still_there(env: Environment, number: str) -> str:
    """What Alertmanager itself says of an alert that did not arrive, for the reader."""
    declared = env.monitoring.alerting
    if not isinstance(declared, AlertmanagerAlerting):
        return ""
    try:
        held = monitors.get_json(
            env,
            f"{declared.url.rstrip('/')}/api/v2/alerts",
            who="Alertmanager",
            setting="monitoring.alerting.url",
            parameters={"filter": f'{LABEL}="{number}"'},
        )
        receivers = [str(receiver["name"]) for alert in held for receiver in alert["receivers"]]
    except (Unanswerable, KeyError, TypeError) as error:
        return f"; Alertmanager itself could not be asked: {error}"
    return f"; Alertmanager routes it to {', '.join(receivers)}" if receivers else "; Alertmanager does not hold it"
