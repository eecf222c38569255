from __future__ import annotations

import pytest

from runbook_lib.checks import metrics, success
from runbook_lib.checks.request_counters import NotCounted
from runbook_lib.errors import Unanswerable

WINDOW = {"window_seconds": 0.5, "requests_per_second": 40}


def judged(env):
    return success.error_rate(env, success.window(env)).run()


@pytest.fixture
def service(serve, at, reply):
    """A service whose two scrapes are given; it answers everything else with `status`."""

    def environment(*scrapes, status=200, **parts):
        later = iter(scrapes)

        def text(asked):
            body = next(later, scrapes[-1])
            return body if isinstance(body, reply) else reply(body)

        answer = reply({"status": "healthy", "count": 2}, status)
        routes = {"/health": answer, "/api/providers/": answer, **({"/monitoring/metrics": text} if scrapes else {})}
        return at(serve(routes).url, success=WINDOW, **parts)

    return environment


FIELD = {
    "django_http_responses_total_by_status_total": 'status="{}"',
    "nginx_ingress_controller_requests": 'ingress="shop",status="{}"',
    "http_server_requests_seconds_count": 'outcome="x",status="{}",uri="/"',
    "http_server_request_duration_seconds_count": 'http_response_status_code="{}"',
    "starlette_requests_total": 'status_code="{}"',
    "flask_http_request_total": 'status="{}"',
    "traefik_service_requests_total": 'code="{}",service="shop@docker"',
}


@pytest.mark.parametrize("name", FIELD)
def test_counters_of_the_field_are_known(service, name):
    text = f"{name}{{{FIELD[name].format(200)}}} 7\n{name}{{{FIELD[name].format(503)}}} 2\n"
    found = metrics.requests(service(text))
    assert (found, found.counter) == (metrics.Requests(9.0, 2.0), name)


@pytest.mark.parametrize(
    ("name", "label", "good", "bad"),
    [
        ("http_requests_total", "status", "2xx", "5xx"),
        ("haproxy_frontend_http_responses_total", "code", "2xx", "5xx"),
        ("envoy_http_downstream_rq_xx", "envoy_response_code_class", "2", "5"),
    ],
)
def test_statuses_may_be_counted_by_class(service, name, label, good, bad):
    text = f'{name}{{{label}="{good}"}} 7\n{name}{{{label}="{bad}"}} 2\n'
    assert metrics.requests(service(text)) == metrics.Requests(9.0, 2.0)


def test_scrapes_that_a_library_counts_are_not_the_services_requests(service):
    with pytest.raises(NotCounted):
        metrics.requests(service('promhttp_metric_handler_requests_total{code="200"} 90\n'))


OWN = 'http_requests_total{{status="200"}} {good}\nhttp_requests_total{{status="500"}} {bad}\n'


def scrapes(text):
    """Between the two, our 20 requests and a scrape, and a hundred of others, five of them failed."""
    return text.format(good=100, bad=0, out=0), text.format(good=100 + 21 + 95, bad=5, out=9000)


@pytest.mark.parametrize(
    "name",
    ["http_client_requests_total", "payment_upstream_requests_total", "outgoing_http_total", "mail_requests_total"],
)
def test_what_a_service_asks_of_others_does_not_dilute_its_own_errors(service, name):
    finding = judged(service(*scrapes(f'{OWN}{name}{{{{status="200"}}}} {{out}}\n')))
    assert not finding.ok
    assert finding.observed["everybody else"] == "5.00% of 100 requests"
    assert finding.observed["left out"].startswith(f"{name} (")


def test_an_edge_and_a_framework_that_count_the_same_requests_are_not_added(service):
    edge = OWN.replace("http_requests_total", "traefik_entrypoint_requests_total").replace("status=", "code=")
    finding = judged(service(*scrapes(OWN + edge)))
    assert finding.observed["everybody else"] == "5.00% of 100 requests"
    assert finding.observed["left out"].startswith("traefik_entrypoint_requests_total (")


def test_a_counter_can_be_named_with_its_labels(service):
    text = OWN.replace("http_requests_total", "shop_answers").replace("status=", 'app="shop",result=')
    text += 'shop_answers{{app="other",result="200"}} {out}\n'
    declared = {"counter": "shop_answers", "status_label": "result", "labels": {"app": "shop"}}
    finding = judged(service(*scrapes(text), monitoring={"requests": declared}))
    assert not finding.ok
    assert finding.observed["everybody else"] == "5.00% of 100 requests"


def test_a_counter_that_is_named_and_not_there_is_no_verdict(service):
    declared = {"counter": "http_requests", "labels": {"app": "shop"}}
    with pytest.raises(Unanswerable, match=r'no http_requests\{app="shop"\}'):
        judged(service(*scrapes(OWN), monitoring={"requests": declared}))


def test_a_counter_that_appears_with_the_first_request_is_counted_from_zero(service):
    finding = judged(service("up 1\n", 'http_requests_total{status="200"} 24\n'))
    assert finding.ok
    assert finding.observed["everybody else"] == "0.00% of 3 requests"


def test_a_series_that_fell_while_others_rose_is_no_verdict(service):
    """Two processes that count each for itself: the scrapes met another one each time."""
    text = 'http_requests_total{{status="200"}} {}\nhttp_requests_total{{status="404"}} {}\n'
    with pytest.raises(Unanswerable, match="count each for itself"):
        judged(service(text.format(500, 50), text.format(900, 10)))


def test_another_process_that_answers_is_no_verdict(service):
    text = 'process_start_time_seconds {}\nhttp_requests_total{{status="200"}} {}\n'
    with pytest.raises(Unanswerable, match="another process"):
        judged(service(text.format(1000, 100), text.format(2000, 300)))


def test_requests_that_are_counted_without_a_status_are_reported_past_the_share(service):
    text = OWN + 'http_requests_total{{status="UNKNOWN"}} {out}\n'
    with pytest.raises(Unanswerable, match="no HTTP status"):
        judged(service(*scrapes(text)))


NO_METRICS = {
    "404": (),
    "the front end's page": ("<!doctype html><title>Shop</title>\n",),
    "gauges alone": ("# TYPE up gauge\nup 1\n",),
    "counters of a client alone": ('http_client_requests_total{status="500"} 3\n',),
}


@pytest.mark.parametrize("texts", NO_METRICS.values(), ids=NO_METRICS)
def test_a_service_without_counters_is_judged_by_our_own_requests_and_says_so(service, texts):
    finding = judged(service(*texts))
    assert finding.ok
    assert finding.observed["our light traffic"] == "0.00% of 20 requests"
    assert "not counted" in finding.observed["everybody else"]
    assert not judged(service(*texts, status=500)).ok


def test_a_redirect_to_a_login_page_is_no_metrics_endpoint(service, reply):
    assert judged(service(reply("", 302, {"Location": "/login"}))).ok


def test_an_application_that_says_it_has_no_metrics_is_not_asked_for_them(serve, at, reply):
    server = serve({"/health": reply({"status": "healthy"}), "/api/providers/": reply({"count": 2})})
    finding = judged(at("", web={"url": server.url, "metrics_path": ""}, success=WINDOW))
    assert finding.ok
    assert "web.metrics_path is empty" in finding.observed["everybody else"]
    assert {asked.path for asked in server.asked} == {"/health", "/api/providers/"}


@pytest.mark.parametrize("check", [metrics.endpoint, metrics.moving])
def test_metrics_that_the_application_has_not_are_no_verdict_and_name_the_setting(at, check):
    with pytest.raises(Unanswerable, match=r"web\.metrics_path"):
        check(at("", web={"url": "http://127.0.0.1:1", "metrics_path": ""})).run()


BROKEN = {
    "forbidden": ("", 403),
    "down": ("", 503),
    "quoted": ({"detail": "# TYPE a counter"}, 200),
    "a counter of unknown name": ('shop_requests_total{status="200"} 1\n', 200),
}


@pytest.mark.parametrize("metrics", BROKEN.values(), ids=BROKEN)
def test_metrics_that_are_there_and_cannot_be_read_leave_the_error_rate_open(service, reply, metrics):
    with pytest.raises(Unanswerable) as caught:
        judged(service(reply(*metrics)))
    assert caught.value.seen.observed["our light traffic"] == "0.00% of 20 requests"
    assert not judged(service(reply(*metrics), status=502)).ok
