"""Our papermill engine: a notebook is run under supervision, and what is archived says exactly what ran.

What papermill 2.7 leaves open and this engine closes: a kernel that dies, a cell over its time limit and a SIGTERM
leave cells "completed" or "running" that were not; unknown and retyped parameters pass; a failing ``!command`` and
``sys.exit(0)`` pass; values are stored unmasked; this machine's paths are stored.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager
from papermill.exceptions import PapermillException
from papermill.parameterize import parameterize_notebook

from runbook_lib import checklist, exclusive
from runbook_lib import environment as environments
from runbook_lib import release as releases
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, RunbookError
from runbook_lib.home import home
from runbook_lib.kernels import Kernel, Kernels
from runbook_lib.record import archive, manifest
from runbook_lib.record.archive import Run, Way
from runbook_lib.record.masking import Mask
from runbook_lib.record.parameters import refuse_secrets
from runbook_lib.record.result import MIME

Watch = Callable[[Mapping[str, Any]], None]
CELL_SECONDS = 900.0
INTERRUPT_SECONDS = 5.0
INTERRUPTED = "interrupted"


class Stopped(RunbookError):
    """A notebook did not run to its end; `outcome` is the word that the record keeps."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class Interrupted(PapermillException):  # type: ignore[misc]
    """The operator or the system has stopped a notebook: nothing is to follow it."""


class RunbookEngine(Engine):  # type: ignore[misc]
    """``papermill --engine runbook``, and what ``runbook run`` uses."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        *,
        kernels: Kernels | None = None,
        watch: Watch | None = None,
        **options: Any,
    ) -> Any:
        """Execute `nb` under supervision and give back what was archived.

        Parameters
        ----------
        kernels:
            Where to take the kernel from; one of its own where none is given.
        watch:
            Called with each result bundle as it appears.
        options:
            papermill's own; ``execution_timeout`` (seconds for one cell) is heeded.

        Raises
        ------
        PapermillException
            A parameter is unknown or of the wrong type, or the notebook stopped before its end; Interrupted where it
            was stopped, be it after its last cell.
        """
        try:
            job = _Job.prepare(nb, output_path, options.get("execution_timeout"))
        except RunbookError as error:
            raise PapermillException(str(error)) from None
        try:
            if kernels is not None:
                kernels.run(_supervise(job, kernels, watch))
            else:
                with Kernels() as own:
                    own.run(_supervise(job, own, watch))
        except Stopped as stopped:
            job.close(stopped)
            kind = Interrupted if stopped.outcome == INTERRUPTED else PapermillException
            raise kind(job.manager.masked(str(stopped))) from None
        job.close(None)
        return job.manager.nb


class _Manager(NotebookExecutionManager):  # type: ignore[misc]
    """Keeps cell statuses true and saves atomically, masked."""

    nb: Any

    def __init__(self, nb: Any, output_path: str | None, mask: Mask, env: Environment | None) -> None:
        super().__init__(nb, output_path=output_path, progress_bar=False)
        self._mask = mask
        self._env = env

    def save(self, **_: Any) -> None:
        """Write the notebook as it stands."""
        self.last_save_time = self.now()
        if self.output_path:
            archive.write_atomically(Path(self.output_path), self._masked().encode())

    def cell_complete(self, cell: Any, cell_index: int | None = None, **_: Any) -> None:
        """Note the end; the next cell's start saves it, or the notebook's end."""
        cell.metadata.papermill["end_time"] = self.now().isoformat()
        if cell.metadata.papermill["status"] != self.FAILED:
            cell.metadata.papermill["status"] = self.COMPLETED

    def autosave_cell(self) -> None:
        """Saving after each cell is enough: the events say what runs meanwhile."""

    def notebook_complete(self, **_: Any) -> None:
        """Note the end; a cell that never ran stays pending."""
        self.end_time = self.now()
        self.nb.metadata.papermill["end_time"] = self.end_time.isoformat()
        self.nb.metadata.papermill["duration"] = (self.end_time - self.start_time).total_seconds()
        self.save()
        # papermill writes the notebook once more when we are done: what it holds must be masked by then.
        self.nb = nbformat.from_dict(json.loads(self._masked()))

    def _masked(self) -> str:
        if self._env is not None:
            self._mask.learn(self._env.secrets())
        # Value by value: once nbformat has cut texts into lines, what stands on two of them is hard to find.
        return str(nbformat.writes(nbformat.from_dict(self._mask.value(self.nb))) + "\n")

    def masked(self, text: str) -> str:
        """What may be said aloud of what happened in the notebook."""
        return self._mask.text(text)


@dataclass(frozen=True)
class _Job:
    """One notebook to execute: for which phase of which run, if it belongs to any."""

    manager: _Manager
    phase: checklist.Phase | None
    run: Run | None
    timeout: float
    hold: exclusive.Exclusion | None
    before: int
    """How many events the run had: another pass through the phase says nothing of this one."""

    @classmethod
    def prepare(cls, nb: Any, output_path: str | None, timeout: float | None) -> _Job:
        """Check the parameters, and open a run where the notebook is a phase's and none is named."""
        parameters, given = declared_parameters(nb), nb.metadata.papermill.get("parameters", {})
        mask, env, run, phase, hold = Mask(home().root), None, None, None, None
        number = nb.metadata.get("runbook", {}).get("phase")
        # First, for what is said of a parameter that is unknown or of the wrong type names it with its value.
        refuse_secrets(given, mask)
        if number is not None:
            values = {**parameters, **given}
            phase = checklist.phase(number)
            env = environments.load(str(values["environment"]))
            refuse_secrets(given, mask.learn(env.secrets()))
        check_parameters(given, parameters)
        if env is not None:
            nb, run, hold = _with_run(nb, values, env)
        for key in ("input_path", "output_path"):
            if nb.metadata.papermill.get(key):
                nb.metadata.papermill[key] = Path(nb.metadata.papermill[key]).name
        limit = timeout or (env.cell_seconds() if env else CELL_SECONDS)
        before = len(run.events.read()) if run else 0
        return cls(_Manager(nb, output_path, mask, env), phase, run, limit, hold, before)

    def close(self, stopped: Stopped | None) -> None:
        """End the phase's part of the record where the notebook itself did not come to it."""
        if self.hold is not None:
            self.hold.release()
        if self.run is None or self.phase is None:
            return
        number = self.phase.number
        told = [event.name for event in self.run.events.read()[self.before :] if event.data.get("phase") == number]
        if stopped is not None and told[-1:] != ["phase ended"]:
            if not told:
                self.run.events.append("phase started", phase=number, notebook=self.phase.notebook)
            reason = self.manager.masked(str(stopped))
            self.run.events.append("phase ended", phase=number, outcome=stopped.outcome, reason=reason)
        manifest.write(self.run)


def declared_parameters(nb: Any) -> dict[str, Any]:
    """The defaults that the cell tagged ``parameters`` assigns, by name; empty where there is no such cell."""
    import ast

    for cell in nb.cells:
        if "parameters" in cell.metadata.get("tags", []):
            return {
                node.targets[0].id: ast.literal_eval(node.value)
                for node in ast.parse(cell.source).body
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            }
    return {}


def check_parameters(given: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    """Refuse a parameter that is not declared, or whose type is another than its default's.

    Raises
    ------
    ConfigurationError
        Names the parameter and the mend.
    """
    for name, value in given.items():
        if name not in declared:
            raise ConfigurationError(f"No notebook declares the parameter '{name}'; declared: {', '.join(declared)}.")
        wanted = type(declared[name])
        if type(value) is not wanted:
            raise ConfigurationError(
                f"The parameter '{name}' must be a {wanted.__name__}, but {value!r} was read as a "
                f"{type(value).__name__}. With papermill, give text by -r {name} VALUE."
            )


def _with_run(nb: Any, values: Mapping[str, Any], env: Environment) -> tuple[Any, Run, exclusive.Exclusion | None]:
    """The run that the parameters name; where they name none, a new one, injected as ``run_id``, and what holds it."""
    if values["run_id"]:
        return nb, archive.find_open(values["run_id"], env.name), None
    release = releases.find(env, values["release"])
    given = nb.metadata.papermill.get("parameters", {})
    hold = exclusive.alone(env, archive.new_id(release))
    run = archive.create(env, release, Way.ENGINE, run_id=hold.holder.run, parameters=dict(given))
    hold.record(run.events)
    return parameterize_notebook(nb, {**given, "run_id": run.id}), run, hold


async def _supervise(job: _Job, kernels: Kernels, watch: Watch | None) -> None:
    """Run every cell; on SIGTERM or SIGINT interrupt the kernel and say so. Raises Stopped."""
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    manager = job.manager
    manager.notebook_start()
    try:
        kernel = await kernels.take()
    except RuntimeError as error:
        manager.notebook_complete()
        raise Stopped("kernel died", f"the kernel could not be started: {error}") from error
    client = _Client(manager, kernel, job.timeout, watch)
    for number in previous:
        loop.add_signal_handler(number, client.stop)
    others = asyncio.all_tasks()
    try:
        await client.run_cells()
    except TimeoutError as error:
        await client.let_step_end()
        raise Stopped("timed out", f"a cell took longer than {job.timeout:g} s and was stopped") from error
    except DeadKernelError as error:
        raise Stopped("kernel died", "the kernel died before the notebook's end") from error
    finally:
        await _cancel(asyncio.all_tasks() - others)
        await kernel.end()
        manager.notebook_complete()
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
    # The signal may have come when the last cell had ended.
    client.raise_if_stopping()


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    """End what nbclient leaves behind when a cell does not come to its end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Executes cells one by one; a cell that did not come to its end is failed, never completed."""

    def __init__(self, manager: _Manager, kernel: Kernel, timeout: float, watch: Watch | None) -> None:
        super().__init__(manager, km=kernel.manager, timeout=timeout, coalesce_streams=True)
        self.kc = kernel.client
        self._watch = watch
        self._stopping: asyncio.Task[None] | None = None

    async def run_cells(self) -> None:
        """Run every cell in order. Raises Stopped where one fails, or what nbclient raises."""
        for index, cell in enumerate(self.nb.cells):
            if cell.cell_type != "code":
                cell.metadata.papermill["status"] = self.nb_man.COMPLETED
                continue
            self.raise_if_stopping()
            self.nb_man.cell_start(cell, index)
            try:
                await self.async_execute_cell(cell, index)
            except Exception as error:
                self._fail(cell, index, "interrupted" if self._stopping else _reason(error))
                self.raise_if_stopping()
                if isinstance(error, CellExecutionError):
                    raise Stopped("failed", f"cell {index + 1} raised {error.ename}: {error.evalue}") from None
                raise
            self.nb_man.cell_complete(cell, index)
        self.raise_if_stopping()

    def stop(self) -> None:
        """Interrupt the running cell, so that its step can record itself; kill the kernel where it does not end."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())

    async def _stop(self) -> None:
        await self.km.interrupt_kernel()
        await asyncio.sleep(INTERRUPT_SECONDS)
        await self.km.shutdown_kernel(now=True)

    def raise_if_stopping(self) -> None:
        """Raise Stopped where a signal has come."""
        if self._stopping is not None:
            self._stopping.cancel()
            raise Stopped(INTERRUPTED, "interrupted by the operator or the system (SIGINT or SIGTERM)") from None

    def _fail(self, cell: Any, index: int, reason: str) -> None:
        cell.metadata["runbook"] = {"stopped": reason}
        self.nb_man.cell_exception(cell, cell_index=index)
        self.nb_man.cell_complete(cell, cell_index=index)

    async def let_step_end(self) -> None:
        """After a time-out: interrupt the running step, and give it INTERRUPT_SECONDS to record itself."""
        await self.km.interrupt_kernel()
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERRUPT_SECONDS):
                while (await self.kc.get_iopub_msg())["content"].get("execution_state") != "idle":
                    pass

    def process_message(self, *arguments: Any, **options: Any) -> Any:
        """Take an output into the notebook, and show it to whoever watches."""
        message = arguments[0]
        output = super().process_message(*arguments, **options)
        bundle = message["content"].get("data", {}).get(MIME) if "content" in message else None
        if bundle is not None and self._watch is not None:
            self._watch(bundle)
        return output


def _reason(error: BaseException) -> str:
    match error:
        case CellTimeoutError():
            return "over its time limit"
        case DeadKernelError():
            return "the kernel died"
        case CellExecutionError():
            return f"raised {error.ename}"
    return f"{type(error).__name__}: {error}"
