"""What is sent on purpose, to see that it arrives: a test error, a test alert. Both say that they are tests."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from runbook_lib.checks import alerts, errors, monitors
from runbook_lib.checks.dotenv import dsn_faults, shown
from runbook_lib.environment import AlertmanagerAlerting, Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import Finding, action

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.transport import Transport

ERROR: Final = "RunbookTestError"
ALERT: Final = "RunbookTestAlert"
SENTENCE: Final = "sent on purpose by the deployment runbook; nothing is wrong"
ALERT_LASTS: Final = timedelta(minutes=5)


@action("Send a test error to the tracker")
def send_error(env: Environment) -> Finding:
    """10.1.2: through sentry-sdk, to the DSN that the running service has; tried for ``monitoring.arrival_seconds``.

    All test errors have one fingerprint, so that they are one issue in the tracker, tagged ``runbook: test``.

    Raises
    ------
    Unanswerable
        The service's environment cannot be read.
    """
    dsn = errors.running_dsn(env)
    faults = dsn_faults(dsn)
    if dsn is None or faults:
        return Finding(False, f"SENTRY_DSN {'; '.join(faults)}", "a DSN that errors can be sent to", "see 10.1.1")
    limit = env.monitoring.arrival_seconds
    refusals: list[str] = []

    def attempt() -> _Sent | None:
        sent = _send(env, dsn)
        refusals.append(sent.problem)
        return sent if not sent.problem or sent.final else None

    sent, seconds = monitors.wait_for(attempt, limit, "sending a test error")
    where, expected = monitors.place(dsn), "the tracker takes the event"
    if sent is None or sent.problem:
        remedy = (
            "see that the tracker runs and can be reached from here; errors of the service are being lost meanwhile"
        )
        return Finding(False, f"{where} took no event in {seconds:.1f} s: {refusals[-1]}", expected, remedy)
    return Finding(
        ok=True,
        observed=f"{where} took event {sent.event_id}",
        expected=expected,
        facts={errors.FACT: {"event_id": sent.event_id, "dsn": shown(env, "SENTRY_DSN", dsn)}},
    )


@dataclass(frozen=True)
class _Sent:
    """One attempt: why the tracker did not take it, if so, and whether trying again is useless."""

    event_id: str
    problem: str = ""
    final: bool = False


def _send(env: Environment, dsn: str) -> _Sent:
    """Send one event, by a client of its own: the process that runs this is not what is tracked."""
    import sentry_sdk

    answers: list[tuple[str, bool]] = []
    client = sentry_sdk.Client(
        dsn=dsn,
        transport=_transport(env, dsn, answers),
        default_integrations=False,
        environment=env.dotenv.values.get("ENVIRONMENT", env.name),
        send_client_reports=False,
    )
    try:
        event_id = client.capture_event(
            {
                "level": "error",
                "platform": "python",
                "exception": {"values": [{"type": ERROR, "value": SENTENCE}]},
                "tags": {"runbook": "test"},
                "fingerprint": ["runbook-test-error"],
            }
        )
    finally:
        client.close(timeout=0.0)
    if event_id is None or not answers:
        return _Sent("", "the client sent nothing", final=True)
    return _Sent(event_id, *answers[-1])


def _transport(env: Environment, dsn: str, answers: list[tuple[str, bool]]) -> Transport:
    """Posts what the client has to say at once, and puts into `answers` why the tracker did not take it, if so.

    The client's own transport sends in a thread, and tells nobody what came of it.
    """
    import httpx
    from sentry_sdk.transport import Transport
    from sentry_sdk.utils import Dsn

    auth = Dsn(dsn).to_auth("runbook")

    class Direct(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            headers = {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": auth.to_header()}
            try:
                with monitors.client(env) as via:
                    answer = via.post(auth.get_api_url(), content=envelope.serialize(), headers=headers)
            except httpx.HTTPError as error:
                answers.append((str(error) or type(error).__name__, False))
                return
            refused = not answer.is_success
            why = f"it answers with {answer.status_code}: {answer.text[:200].strip()}" if refused else ""
            # A wrong key stays wrong; a tracker that is starting or busy may take it in a moment.
            answers.append((why, answer.is_client_error and answer.status_code != httpx.codes.TOO_MANY_REQUESTS))

    return Direct()


@action("Send a test alert")
def send_alert(env: Environment) -> Finding:
    """10.4.2: to Alertmanager or to the webhook that ``monitoring.alerting`` declares; it ends by itself.

    Raises
    ------
    Unanswerable
        No alerting is declared; or what is declared does not answer.
    """
    declared = env.monitoring.alerting
    if declared is None:
        raise Unanswerable(
            f"{env.name}.toml declares no alerting", remedy="declare where alerts go as [monitoring.alerting]"
        )
    number = secrets.token_hex(8)
    alert = _alert(env, number, declared.labels if isinstance(declared, AlertmanagerAlerting) else {})
    body: Any
    if isinstance(declared, AlertmanagerAlerting):
        address, body, who = f"{declared.url.rstrip('/')}/api/v2/alerts", [alert], "Alertmanager"
    else:
        address, who = alerts.webhook(declared), "the webhook"
        body = alerts.as_webhook(alert)
    problem = _post(env, address, body)
    return Finding(
        ok=not problem,
        observed=f"{who} at {monitors.place(address)} {problem or f'took the test alert {number}'}",
        expected=f"{who} takes the test alert",
        remedy="see that it runs and can be reached from here; check monitoring.alerting",
        facts={} if problem else {alerts.FACT: {"id": number, "sent": datetime.now(UTC).isoformat()}},
    )


def _alert(env: Environment, number: str, labels: dict[str, str]) -> dict[str, Any]:
    """A test alert as Alertmanager's API version 2 takes it."""
    now = datetime.now(UTC)
    return {
        "labels": {"severity": "info", **labels, "alertname": ALERT, "environment": env.name, alerts.LABEL: number},
        "annotations": {"summary": f"Test alert {number} for {env.name}", "description": f"This was {SENTENCE}."},
        "startsAt": now.isoformat(),
        "endsAt": (now + ALERT_LASTS).isoformat(),
        "generatorURL": env.web.url,
    }


def _post(env: Environment, address: str, body: Any) -> str:
    """Post JSON; why it was not taken, empty where it was."""
    import httpx

    try:
        with monitors.client(env) as via:
            answer = via.post(address, json=body)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return f"does not answer: {error or type(error).__name__}"
    return "" if answer.is_success else f"answers with {answer.status_code}: {answer.text[:200].strip()}"
