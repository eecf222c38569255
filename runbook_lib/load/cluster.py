"""Load from many machines: the default engine on the workers of a Dask cluster."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runbook_lib.errors import Unanswerable
from runbook_lib.load import live, samples, wire
from runbook_lib.load.engine import cost, ended_early, notes
from runbook_lib.load.generator import Plan
from runbook_lib.load.interface import Profile, Result
from runbook_lib.load.process import WorkerProcess
from runbook_lib.load.worker import Order, Report
from runbook_lib.step import progress

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

GRACE_SECONDS: Final = 30.0
"""How much later than its last time limit a share may end before its worker counts as lost."""
LEAD_SECONDS: Final = 2.0
"""From when every worker is ready until the test's zero."""
WAIT_SECONDS: Final = 60.0
"""For the workers to come."""
POLL_SECONDS: Final = 0.2
READY: Final = "runbook-load-ready"
BEGIN: Final = "runbook-load-begin"
STOP: Final = "runbook-load-stop"
SEEN: Final = "runbook-load-seen"
"""Dask's names, each followed by the test's own: a worker's event that it is ready, the variable that says when to
begin, the event that stops the test, and the topic under which workers say how it goes.
"""
ASKED: Final = 5
"""How often each worker's clock is asked for; the quickest answer counts."""


@dataclass(frozen=True)
class Cluster:
    """The default engine, on many machines.

    Each worker takes its share of one schedule and begins at one agreed instant, in a process beside the worker, so
    that Dask does not slow it. Its machine must have this kit installed; its clock may be wrong, for the difference is
    measured as NTP does it.

    Parameters
    ----------
    scheduler:
        Address of a Dask scheduler; workers are started on this machine where it is None.
    workers:
        How many must be there; all that are there take part.
    connections:
        The most at a time, of all workers together.
    """

    scheduler: str | None = None
    workers: int = 2
    connections: int = 10_000

    def run(self, profile: Profile) -> Result:
        """Run the profile; a worker that is lost in mid-test is named in the result.

        Raises
        ------
        ConfigurationError
            A request cannot be sent as it is.
        Unanswerable
            Dask is missing, too few workers came, or one of them could not begin.
        """
        for place, call in enumerate(profile.calls):
            wire.message(place, call)
        with _client(self.scheduler, self.workers) as client:
            names = sorted(_workers(client))
            clocks, test = _clocks(client, names), uuid.uuid4().hex
            most = max(1, self.connections // len(names))
            shares = {
                name: _hand_out(client, name, test, Plan(profile, number, len(names), most), ahead)
                for number, (name, ahead) in enumerate(zip(names, clocks, strict=True))
            }
            begin = _begin(client, shares, test)
            stopped, lost = _watch(client, shares, profile, begin, test)
            given = [_given(name, share) for name, share in shares.items() if name not in lost]
        reports = [report for report, _ in given]
        return Result(
            "cluster",
            profile,
            samples.together(samples.read(content) for _, content in given),
            cost(reports),
            stopped=stopped or ended_early(reports),
            lost=tuple(f"worker {name}" for name in lost),
            notes=notes(reports),
            began=begin,
        )


@contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of the scheduler, once its workers are there."""
    try:
        import distributed
    except ImportError as error:
        raise Unanswerable(
            "load from a cluster needs Dask, which is not installed", remedy="pip install 'runbook-kit[load]'"
        ) from error
    try:
        if scheduler is None:
            progress(f"starting {workers} Dask workers")
            with (
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
                ) as local,
                distributed.Client(local) as client,
            ):
                yield client
            return
        with distributed.Client(scheduler, timeout=WAIT_SECONDS) as client:
            progress(f"waiting for {workers} Dask workers at {scheduler}")
            client.wait_for_workers(workers, timeout=WAIT_SECONDS)
            yield client
    except (OSError, TimeoutError) as error:
        raise Unanswerable(
            f"the Dask cluster at {scheduler or 'this machine'} is not there with {workers} workers: {error}",
            remedy="see that its scheduler runs, and that load.engine.workers have joined it",
        ) from error


def _workers(client: Client) -> frozenset[str]:
    """The addresses of those that are there.

    Not by `scheduler_info`: Dask refreshes what that gives on a thread of its own, each time without the workers.
    """
    return frozenset(client.nthreads())


def _clocks(client: Client, names: list[str]) -> list[float]:
    """By how many seconds each worker's clock is ahead of ours."""
    found = []
    for name in names:
        asked = []
        for _ in range(ASKED):
            before = time.time()
            there = client.run(time.time, workers=[name])[name]
            after = time.time()
            asked.append((after - before, there - (before + after) / 2.0))
        found.append(min(asked)[1])
    return found


def _hand_out(client: Client, name: str, test: str, plan: Plan, ahead: float) -> Future[Any]:
    return client.submit(
        carry_out,
        plan,
        ahead,
        test,
        workers=[name],
        allow_other_workers=False,
        retries=0,
        pure=False,
        key=f"load-{uuid.uuid4()}",
    )


def _begin(client: Client, shares: Mapping[str, Future[Any]], test: str) -> float:
    """When the test begins, by our clock: a moment after every worker is ready, however long that took.

    Raises
    ------
    Unanswerable
        A worker is not ready in time, as where it is busy with another's work.
    """
    from distributed import Event, Variable

    progress("waiting until every worker is ready")
    ready = {name: Event(f"{READY}-{test}-{number}", client=client) for number, name in enumerate(shares)}
    deadline = time.monotonic() + WAIT_SECONDS
    while late := [name for name, event in ready.items() if not shares[name].done() and not event.is_set()]:
        if not _workers(client).issuperset(late):
            break
        if time.monotonic() > deadline:
            raise Unanswerable(
                f"not ready within {WAIT_SECONDS:g} s: {', '.join(late)}",
                remedy="see whether these workers are busy with another's work; nothing was sent",
            )
        time.sleep(POLL_SECONDS)
    begin = time.time() + LEAD_SECONDS
    Variable(f"{BEGIN}-{test}", client=client).set(begin)
    return begin


def carry_out(plan: Plan, ahead: float, test: str) -> tuple[Report, bytes]:
    """Runs on a worker, whose clock is `ahead` of the operator's: its share in a process of its own.

    What it says and listens to bears the `test`'s name, for others may use the same cluster. Its report, and samples.
    """
    from distributed import Event, Variable, get_worker

    worker = get_worker()
    key = worker.get_current_task()
    stop = Event(f"{STOP}-{test}")
    with tempfile.TemporaryDirectory(prefix="runbook-load-") as folder:
        order = Order(plan, Path(folder) / "samples")
        with WorkerProcess(order) as process:
            while process.running and not process.ready:
                time.sleep(0.02)
            Event(f"{READY}-{test}-{plan.share}").set()
            if process.running:
                process.begin(float(Variable(f"{BEGIN}-{test}").get(timeout=WAIT_SECONDS)) + ahead)
            told = time.time()
            line = live.Line(plan.profile, [order.samples])
            while process.running:
                time.sleep(POLL_SECONDS)
                if time.time() - told >= 1.0:
                    told = time.time()
                    worker.log_event(f"{SEEN}-{test}", {"worker": worker.address, **line.numbers()})
                    # Dask cancels what nobody waits for any more: an operator who is gone stops no event.
                    if stop.is_set() or not _wanted(worker, key):
                        process.stop()
        return process.said(), order.samples.read_bytes()


def _wanted(worker: Worker, key: str) -> bool:
    """Whether the client still waits for the task: its key is forgotten, or cancelled, once it is gone."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing"


def _watch(
    client: Client, shares: Mapping[str, Future[Any]], profile: Profile, begin: float, test: str
) -> tuple[str, list[str]]:
    """Wait for the shares; why the test was stopped from here, if it was, and which workers were lost."""
    from distributed import Event

    line = _Line(profile, begin)
    client.subscribe_topic(f"{SEEN}-{test}", line.heard)
    stop, stopped, lost = Event(f"{STOP}-{test}", client=client), "", []
    latest = begin + profile.load.duration + profile.timeout + GRACE_SECONDS
    while waiting := [name for name, share in shares.items() if not share.done() and name not in lost]:
        try:
            time.sleep(POLL_SECONDS)
            there = _workers(client)
            for name in waiting:
                if name not in there or time.time() > latest:
                    lost.append(name)
                    shares[name].cancel()
            line.tell()
        except KeyboardInterrupt:
            if stopped:
                raise
            stopped = "interrupted"
            stop.set()
    return stopped, lost


class _Line:
    """Says how it goes, by what the workers last told."""

    def __init__(self, profile: Profile, begin: float) -> None:
        self._end = begin + profile.load.duration
        self._seen: dict[str, Mapping[str, Any]] = {}

    def heard(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Called by Dask for each event of a worker: its time, and what it says."""
        self._seen[event[1]["worker"]] = event[1]

    def tell(self) -> None:
        """The workers' rates together, and the worst of their p95."""
        told, left = tuple(self._seen.values()), self._end - time.time()
        if told and left > 0:
            rate, slow = sum(one["rate"] for one in told), max(one["p95"] for one in told)
            failed = max(one["errors"] for one in told)
            how = f"{len(told)} workers: {rate:.0f}/s, p95 up to {slow:.1f} ms, errors up to {failed:.1%}"
            progress(f"{how}; {left:.0f} s left")
        elif left <= 0:
            progress("waiting for the last answers")


def _given(name: str, share: Future[Any]) -> tuple[Report, bytes]:
    """What a worker gave back. Raises Unanswerable where it could not do its work."""
    try:
        report, content = share.result()
    except Exception as error:
        raise Unanswerable(
            f"worker {name} could not make its load: {type(error).__name__}: {error}",
            remedy="install this version of the kit on every worker: pip install runbook-kit",
        ) from error
    if report.problem:
        raise Unanswerable(f"worker {name}: {report.problem}", remedy="see whether it reaches the target")
    return report, content
