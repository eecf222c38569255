"""The kernels of a run: each is started and made ready while the one before it works."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

START_SECONDS = 60
FIRST_CELL = "import runbook_lib.phase, IPython.display, runbook_lib.command; runbook_lib.command.die_with_parent()"
"""What every notebook imports; and no kernel may go on acting when nobody supervises it any more."""
EXTRA_ARGUMENTS = ["--HistoryManager.enabled=False", "--InteractiveShell.system_raise_on_error=True"]


@dataclass(frozen=True)
class Kernel:
    """A kernel process, the client that speaks to it, and the task that ends when it is ready to work."""

    manager: AsyncKernelManager
    client: AsyncKernelClient
    ready: asyncio.Task[None]

    async def end(self) -> None:
        """Stop the process at once: whatever ran in it has recorded itself."""
        self.ready.cancel()
        self.client.stop_channels()
        await self.manager.shutdown_kernel(now=True)


@dataclass
class Kernels:
    """The kernels of a run, each started and made ready while the one before it works.

    Parameters
    ----------
    count:
        How many notebooks will ask for one, so that none is started in vain.
    ahead:
        How many wait ready at the most.
    """

    count: int = 1
    ahead: int = 2
    _waiting: deque[Kernel] = field(default_factory=deque)

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        # A short path: a Unix socket's name may have 107 bytes only.
        self._folder = Path(tempfile.mkdtemp(prefix="runbook-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108
        self._started = 0
        return self

    def __exit__(self, *_: object) -> None:
        for kernel in self._waiting:
            self.run(kernel.end())
        self._waiting.clear()
        self._runner.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop that all kernels share."""
        return self._runner.run(coroutine)

    async def take(self) -> Kernel:
        """A kernel that is ready; the next ones begin to start. Raises RuntimeError where it does not become so."""
        if not self._waiting:
            await self._start()
        kernel = self._waiting.popleft()
        while len(self._waiting) < self.ahead and self._started < self.count:
            await self._start()
        try:
            await kernel.ready
        except BaseException:
            await kernel.end()
            raise
        return kernel

    async def _start(self) -> None:
        self._started += 1
        transport = {"transport": "ipc"} if os.name == "posix" else {}
        manager = AsyncKernelManager(
            kernel_name="python3", connection_file=str(self._folder / f"{self._started}.json"), **transport
        )
        # Colours would put escape codes into the record; the parent's terminal is not the kernel's.
        variables = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", "MPLBACKEND": "agg"}
        await manager.start_kernel(extra_arguments=EXTRA_ARGUMENTS, env=variables)
        client = manager.client()
        self._waiting.append(Kernel(manager, client, asyncio.create_task(_make_ready(client))))


async def _make_ready(client: AsyncKernelClient) -> None:
    """Wait until the kernel answers, and have it import what every notebook imports."""
    client.start_channels()
    await client.wait_for_ready(timeout=START_SECONDS)
    client.allow_stdin = False
    client.execute(FIRST_CELL, silent=True, store_history=False)
