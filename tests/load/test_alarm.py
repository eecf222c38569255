import asyncio
import sys
import time
from statistics import median

import pytest

from runbook_lib.load.alarm import FileAlarm, LoopAlarm, alarm
from runbook_lib.load.worker import new_loop

KINDS = [LoopAlarm, pytest.param(FileAlarm, marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux alone"))]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, new_loop])
@pytest.mark.parametrize("kind", KINDS)
def test_it_rings_when_it_is_time_and_at_once_when_it_is_past(kind, loop):
    async def rung():
        ringing, began = kind(), time.perf_counter()
        try:
            await ringing.at(began + 0.05)
            first = time.perf_counter() - began
            await ringing.at(began - 1000.0)
            await ringing.at(0.0)
            return first, time.perf_counter() - began - first
        finally:
            getattr(ringing, "close", lambda: None)()

    with asyncio.Runner(loop_factory=loop) as runner:
        first, past = runner.run(asyncio.wait_for(rung(), 10))
    # libuv's timers are early by as much as a millisecond.
    assert first >= 0.049
    assert past < 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells time by a file")
def test_on_linux_a_file_rings_in_the_moment():
    async def lateness(ringing):
        late = []
        for _ in range(40):
            moment = time.perf_counter() + 0.00145
            await ringing.at(moment)
            late.append(abs(time.perf_counter() - moment))
        return median(late)

    async def both():
        with alarm() as exact:
            assert isinstance(exact, FileAlarm)
            return await lateness(exact), await lateness(LoopAlarm())

    with asyncio.Runner(loop_factory=new_loop) as runner:
        exact, coarse = runner.run(both())
    print(f"late by {exact * 1000:.3f} ms by the file, {coarse * 1000:.3f} ms by the loop")
    assert exact < 0.005


def test_a_moment_at_zero_rings_too():
    async def rung():
        with alarm() as ringing:
            await asyncio.wait_for(ringing.at(0.0), 5)

    asyncio.run(rung())


def test_it_gives_its_file_back_and_an_interrupted_wait_does_not_ring_the_next():
    async def waits():
        with alarm() as ringing:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ringing.at(time.perf_counter() + 60), 0.01)
            began = time.perf_counter()
            await ringing.at(began + 0.05)
            return time.perf_counter() - began

    assert asyncio.run(waits()) >= 0.049
