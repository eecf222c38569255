"""What is kept of each request: 32 bytes, in one table of columns."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np


class Outcome(IntEnum):
    """How a request ended; everything but the first is an error."""

    ANSWERED = 0
    WRONG_STATUS = 1
    WRONG_BODY = 2
    REFUSED = 3
    UNREACHABLE = 4
    UNVERIFIED = 5
    TIMED_OUT = 6
    RESET = 7
    CUT_SHORT = 8
    MALFORMED = 9
    ABANDONED = 10

    @property
    def text(self) -> str:
        """As it stands in tables."""
        return TEXTS[self]


TEXTS: Final = {
    Outcome.ANSWERED: "answered as expected",
    Outcome.WRONG_STATUS: "unexpected status",
    Outcome.WRONG_BODY: "unexpected body",
    Outcome.REFUSED: "connection refused",
    Outcome.UNREACHABLE: "not connected",
    Outcome.UNVERIFIED: "TLS refused",
    Outcome.TIMED_OUT: "no answer in time",
    Outcome.RESET: "connection reset",
    Outcome.CUT_SHORT: "answer cut short",
    Outcome.MALFORMED: "no valid HTTP",
    Outcome.ABANDONED: "under way as the test was stopped",
}

FIELDS: Final = (
    ("due", "<f8"),
    ("lag", "<f4"),
    ("sent", "<f4"),
    ("first", "<f4"),
    ("end", "<f4"),
    ("bytes", "<u4"),
    ("status", "<u2"),
    ("outcome", "u1"),
    ("call", "u1"),
)
"""``due`` in seconds since the test began; ``lag`` (the generator came to it), ``sent`` (on a free connection),
``first`` (byte of the answer) and ``end`` in seconds since it was due; ``call`` is its place in the profile."""

HELD: Final = b"runbook.held"
"""Under which name a Parquet file says where its load stood still: begin and end in seconds, and the rate."""

RECORD: Final = struct.Struct("<dffffIHBB")
"""One row as the generator writes it; the same bytes as :data:`FIELDS`."""


@dataclass(frozen=True)
class Samples:
    """Rows of :data:`FIELDS`."""

    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, chosen: np.ndarray) -> Samples:
        """The rows that a mask chooses."""
        return Samples(self.rows[chosen])

    def due_within(self, spans: Iterable[Sequence[float]]) -> Samples:
        """The samples that were due within any of the spans: begin and end in seconds, whatever stands behind."""
        import numpy as np

        due = self.rows["due"]
        chosen = np.zeros(len(due), dtype=bool)
        for begin, end, *_ in spans:
            chosen |= (due >= begin) & (due < end)
        return self.where(chosen)

    @cached_property
    def failed(self) -> np.ndarray:
        """Whether each request ended in an error; one that was under way when the test was stopped did not."""
        ended = self.rows["outcome"]
        failed: np.ndarray = (ended != Outcome.ANSWERED) & (ended != Outcome.ABANDONED)
        return failed

    @cached_property
    def milliseconds(self) -> np.ndarray:
        """Latency of each request, from when it was due to the end of its answer, or to its failure."""
        found: np.ndarray = self.rows["end"] * 1000.0
        return found

    @cached_property
    def service_milliseconds(self) -> np.ndarray:
        """Time of each request from when it was sent to the end: what the target alone took."""
        found: np.ndarray = (self.rows["end"] - self.rows["sent"]) * 1000.0
        return found

    @property
    def ended(self) -> np.ndarray:
        """When each request ended, in seconds since the test began."""
        found: np.ndarray = self.rows["due"] + self.rows["end"]
        return found

    def percentile(self, *q: float, service: bool = False) -> np.ndarray:
        """Percentiles (0 to 100) of the latency, or of the `service` time, in milliseconds; NaN of no samples."""
        import numpy as np

        values = self.service_milliseconds if service else self.milliseconds
        return np.percentile(values, q) if len(values) else np.full(len(q), np.nan)

    def outcomes(self) -> dict[Outcome, int]:
        """How many requests ended in which way."""
        import numpy as np

        counts = np.bincount(self.rows["outcome"], minlength=len(Outcome))
        return {outcome: int(counts[outcome]) for outcome in Outcome if counts[outcome]}

    def parquet(self, titles: Iterable[str], held: Iterable[Sequence[float]] = ()) -> bytes:
        """As a Parquet file, with the outcomes by their names and the calls by their `titles`.

        Parameters
        ----------
        held:
            Where the load stood still; it is kept with the file, for those who compare its percentiles.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {name: np.ascontiguousarray(self.rows[name]) for name, _ in FIELDS}
        named = {"outcome": [outcome.text for outcome in Outcome], "call": list(titles)}
        for name, texts in named.items():
            columns[name] = pa.DictionaryArray.from_arrays(columns[name].astype("int16"), texts)
        content = io.BytesIO()
        table = pa.table(columns).replace_schema_metadata({HELD: json.dumps([list(span) for span in held])})
        # Streams of bytes: numbers that are measured differ in their last bytes alone, and take half the room so.
        numbers = [name for name, kind in FIELDS if "f" in kind]
        named_or_few = [name for name, kind in FIELDS if "f" not in kind]
        pq.write_table(table, content, compression="zstd", use_byte_stream_split=numbers, use_dictionary=named_or_few)
        return content.getvalue()


def judged(content: bytes) -> Samples:
    """The samples in what :meth:`Samples.parquet` has written that were due while the load stood still.

    All of them, where the file does not say when that was. Raises ValueError where `content` is no such file.
    """
    found, held = archived(content)
    return found.due_within(held) if held else found


def archived(content: bytes) -> tuple[Samples, list[Sequence[float]]]:
    """The samples in what :meth:`Samples.parquet` has written, and where their load stood still.

    Which call a request was is not read back. Raises ValueError where `content` is no such file.
    """
    import numpy as np
    import pyarrow.parquet as pq

    numbers = [name for name, _ in FIELDS if name not in ("outcome", "call")]
    codes = {outcome.text: outcome for outcome in Outcome}
    try:
        table = pq.read_table(io.BytesIO(content), columns=[*numbers, "outcome"])
        rows = np.zeros(len(table), dtype=list(FIELDS))
        for name in numbers:
            rows[name] = table[name].to_numpy()
        named = table["outcome"].combine_chunks().dictionary_encode()
        rows["outcome"] = np.array([codes[text] for text in named.dictionary.to_pylist()], "u1")[named.indices]
        held = json.loads((table.schema.metadata or {}).get(HELD, b"[]"))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"is no file of load samples: {error}") from error
    return Samples(rows), held


def read(content: bytes) -> Samples:
    """Samples as the generator wrote them, in the order in which they were due; a torn last row is left out."""
    import numpy as np

    whole = len(content) - len(content) % RECORD.size
    rows = np.frombuffer(content[:whole], dtype=list(FIELDS))
    return Samples(rows[np.argsort(rows["due"], kind="stable")])


def together(parts: Iterable[Samples]) -> Samples:
    """The samples of several generators as one."""
    import numpy as np

    rows = np.concatenate([np.empty(0, dtype=list(FIELDS)), *(part.rows for part in parts)])
    return Samples(rows[np.argsort(rows["due"], kind="stable")])
