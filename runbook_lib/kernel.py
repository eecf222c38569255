"""The kernel in which a notebook runs: nothing that it sends or prints leaves it unmasked.

Every message of a Jupyter kernel goes through its session: streams, also those that are captured from the file
descriptors, displays and their updates, results, tracebacks, replies. That is the one place where they are masked, the
same in JupyterLab, under papermill alone and under our engine.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from runbook_lib.home import home
from runbook_lib.record.masking import Mask, Stream

LAB = "RUNBOOK_LAB"
"""The environment variable by which ``runbook lab`` tells its kernels the process id of its JupyterLab."""


def mask() -> Mask:
    """The mask of all that this process's kernel sends; where it is no kernel, a new one of nobody else's."""
    applications = sys.modules.get("ipykernel.kernelapp")
    if applications is None or not applications.IPKernelApp.initialized():
        return Mask(home().root)
    session = applications.IPKernelApp.instance().session
    if not isinstance(session.send, Guard):
        session.send = Guard(session, Mask(home().root))
        _silence_copies()
    return session.send.mask


def attended() -> bool:
    """Whether a person sits before this kernel: a JupyterLab of ``runbook lab`` itself has started this process."""
    return os.environ.get(LAB) == str(os.getppid())


def _silence_copies() -> None:
    """ipykernel copies what is written to the file descriptors, as it is, to the terminal that started it: no more."""
    for stream in (sys.stdout, sys.stderr):
        copy = getattr(stream, "_original_stdstream_copy", None)
        if copy is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, copy)
            os.close(nowhere)


class Guard:
    """Stands in for a session's ``send``, and masks every message that is sent.

    What may be the beginning of a secret at the end of a piece of a stream is held back until the next piece, until
    something else is shown below it, or until the kernel says that the cell has ended.
    """

    def __init__(self, session: Any, mask: Mask) -> None:
        self.mask = mask
        self._session = session
        self._send = session.send
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._streams: dict[tuple[str, str], tuple[Stream, dict[str, Any]]] = {}
        self._ended: set[str] = set()

    def __call__(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> Any:
        """Send a message, masked; the parameters are those of :meth:`jupyter_client.session.Session.send`."""
        message = msg_or_type
        if not isinstance(message, Mapping):
            message = self._session.msg(message, content=content, parent=parent, header=header, metadata=metadata)
        options = {"ident": ident, "buffers": buffers or message.get("buffers"), "track": track}
        if os.getpid() != self._process:
            # A forked process sends through its parent; nobody would ever tell it that the cell has ended.
            return self._send(stream, self._masked(message), **options)
        with self._lock:
            if _kind(message) == "stream":
                message = self._piece(stream, message, options)
                if not message["content"]["text"]:
                    return message
            else:
                self._release(message)
                message = self._masked(message)
            return self._send(stream, message, **options)

    def _masked(self, message: Mapping[str, Any]) -> dict[str, Any]:
        parts = {part: self.mask.value(message.get(part, {})) for part in ("content", "metadata")}
        return {**message, **parts}

    def _piece(self, stream: Any, message: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """The message with what can be shown of its text by now."""
        key = (_cell(message), message["content"]["name"])
        text, _ = self._streams.get(key, (self.mask.stream(), {}))
        shown = text.feed(message["content"]["text"])
        self._streams[key] = (text, {"stream": stream, "message": message, "options": options})
        return {**message, "content": {**message["content"], "text": shown}}

    def _release(self, message: Mapping[str, Any]) -> None:
        """Send what was held back of streams above what is now shown, or of cells that have ended."""
        kind, cell = _kind(message), _cell(message)
        shown = kind in ("display_data", "execute_result", "error")
        over = kind == "shutdown_reply"
        if kind == "status" and message["content"].get("execution_state") == "idle":
            self._ended.add(cell)
        for key in [key for key in self._streams if over or key[0] in self._ended or (shown and key[0] == cell)]:
            text, last = self._streams.pop(key)
            if rest := text.end():
                again = self._session.msg("stream", {"name": key[1], "text": rest})
                again["parent_header"] = last["message"].get("parent_header", {})
                self._send(last["stream"], again, **last["options"])


def _kind(message: Mapping[str, Any]) -> str:
    return str(message["header"]["msg_type"])


def _cell(message: Mapping[str, Any]) -> str:
    return str((message.get("parent_header") or {}).get("msg_id", ""))
