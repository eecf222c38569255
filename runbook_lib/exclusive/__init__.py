"""One at a time: two runs against one environment never overlap.

What belongs to a run is every process that carries out a part of it: the runner, and the kernels of its notebooks. Two
locks keep others out, and each is held by whichever process of the run comes to it first: one on this machine, and,
where the environment's PostgreSQL answers, one there, for operators on other machines. Both end with the process that
holds them, however it ends; the next process of the run, or its next item, takes them again.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from runbook_lib.environment import Environment
from runbook_lib.errors import Occupied, Unanswerable
from runbook_lib.exclusive.database import DatabaseLock
from runbook_lib.exclusive.holder import HELD, Holder
from runbook_lib.exclusive.machine import MachineLock
from runbook_lib.home import home
from runbook_lib.record.archive import Run
from runbook_lib.record.events import EventLog
from runbook_lib.record.masking import Mask

EVENT: Final = "locks held"
_OF_THIS_PROCESS: Final[dict[Path, Exclusion]] = {}


class Exclusion:
    """Both locks of `env`, for one run.

    Parameters
    ----------
    holder:
        The run, and who carries it out.
    """

    def __init__(self, env: Environment, holder: Holder) -> None:
        self.env = env
        self.holder = holder
        self._machine = MachineLock(folder(env))
        self._database = DatabaseLock(env)
        self._state = self._recorded = {"machine": "", "database": ""}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def take(self) -> None:
        """Take what no process of this run holds. Raises Occupied, which names the run that does."""
        try:
            machine = self._machine.take(self.holder)
            try:
                database = self._database.take(self.holder)
            except Unanswerable as error:
                # A database that does not answer keeps nobody out; the record says so.
                database = self._masked(f"not held: {error}")
        except Occupied as error:
            raise Occupied(f"Environment {self.env} is held by {self._masked(str(error))}; {_REMEDY}.") from None
        self._state = {"machine": machine, "database": database}

    def keep(self, run: Run, phase: int) -> None:
        """As :meth:`take`, amid `phase` of `run`, which is recorded as interrupted where another run came between."""
        try:
            self.take()
        except Occupied as error:
            run.events.append("phase ended", phase=phase, outcome="interrupted", reason=str(error))
            raise
        self.record(run.events)

    def record(self, events: EventLog) -> None:
        """Write down which locks this process holds, if that has changed; what others of the run hold, they record."""
        if self._state != self._recorded and HELD in (*self._state.values(), *self._recorded.values()):
            events.append(EVENT, environment=self.env.name, **self._state)
        self._recorded = self._state

    def release(self) -> None:
        """Give back what this process holds; it can be taken again."""
        self._database.release()
        self._machine.release()

    def _masked(self, text: str) -> str:
        """What a server told us, without the secrets it may have been told."""
        return Mask(home().root).learn(self.env.secrets()).text(text)


_REMEDY: Final = "wait for it, or end it"


def folder(env: Environment) -> Path:
    """The folder below which the lock on this machine lies: that of the environment's runs."""
    return home().outputs / env.name


def alone(env: Environment, run_id: str) -> Exclusion:
    """Hold `env` for run `run_id`, of which no other process may be at work.

    Raises
    ------
    Occupied
        Somebody else holds it, be it another process of the same run.
    """
    own = _OF_THIS_PROCESS.get(folder(env))
    held = own if own is not None and own.holder.run == run_id else _become(env, Holder.of(run_id))
    try:
        held.take()
    except Occupied:
        held.release()
        raise
    return held


def within(env: Environment, run_id: str) -> Exclusion:
    """What keeps others out of `env` while this process carries out a part of run `run_id`; nothing is taken yet."""
    own = _OF_THIS_PROCESS.get(folder(env))
    if own is not None and own.holder.run == run_id:
        return own
    last = MachineLock(folder(env)).last()
    return _become(env, Holder.of(run_id, token=last.token if last is not None and last.run == run_id else ""))


def beside(env: Environment, other: Environment) -> Exclusion:
    """Hold `other` too, alone, for the run that this process carries out against `env`. Raises Occupied."""
    own = _OF_THIS_PROCESS.get(folder(env))
    return alone(other, f"{env.name}/{own.holder.run if own is not None else 'none'}")


def at_work(run: Run) -> Holder | None:
    """Who carries out a part of `run` on this machine at this moment; None where nobody does."""
    holder = MachineLock(run.folder.parent).holder()
    return holder if holder is not None and holder.run == run.id else None


def release_all() -> None:
    """Give back all that this process holds."""
    while _OF_THIS_PROCESS:
        _OF_THIS_PROCESS.popitem()[1].release()


def _become(env: Environment, holder: Holder) -> Exclusion:
    """This process is at one run of an environment at a time: beginning another gives back what was held before."""
    if (before := _OF_THIS_PROCESS.pop(folder(env), None)) is not None:
        before.release()
    exclusion = _OF_THIS_PROCESS[folder(env)] = Exclusion(env, holder)
    return exclusion
