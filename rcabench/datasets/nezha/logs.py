"""Nezha's log lines: unwrapped from their JSON, with time, severity, ids and the host they came from."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from rcabench.core.errors import DataError
from rcabench.core.time import to_micros
from rcabench.core.time import utc as as_utc
from rcabench.datasets.nezha.layout import service_of
from rcabench.datasets.writer import DatasetWriter

COLUMNS = ("TimeUnixNano", "Node", "PodName", "TraceID", "SpanID", "Log")
_BATCH = 50_000

_SEVERITIES: Mapping[str, str] = {
    "TRACE": "TRACE", "DEBUG": "DEBUG", "INFO": "INFO", "INFORMATION": "INFO", "NOTICE": "INFO",
    "WARN": "WARN", "WARNING": "WARN", "ERROR": "ERROR", "SEVERE": "ERROR", "ERR": "ERROR",
    "CRITICAL": "FATAL", "FATAL": "FATAL", "PANIC": "FATAL",
}  # fmt: skip
_CLOCK = re.compile(r"^\[?(?:\d{4}[-/]\d\d[-/]\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s+")
_LEVEL = re.compile(r"^\[?(" + "|".join(_SEVERITIES) + r")\]?(?:[:\s]\s*(?:-\s+)?|$)")
_IDS = re.compile(r"\b(?:trace|span)[ _-]?id\s*[:=]\s*[0-9a-f]{8,}\b[,;]?\s*", re.IGNORECASE)
_MESSAGE_KEYS, _LEVEL_KEYS = ("message", "msg"), ("severity", "level")
_ENVELOPE = frozenset(
    (*_MESSAGE_KEYS, *_LEVEL_KEYS, "timestamp", "time", "ts", "hostname", "pid", "name", "v", "trace_id", "span_id")
)
"""Keys of a structured line that say who logged and when, which the columns hold already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What a log line says, without its clock, its level and its ids."""

    severity: str | None
    body: str


@dataclass(kw_only=True, slots=True)
class LogReader:
    """Reads log files one after the other and remembers on which host each pod ran.

    Attributes:
        writer: counts the lines that are left out.
        lasting: times (microseconds) that belong to the day; a clock beyond is broken.
    """

    writer: DatasetWriter
    lasting: range
    repaired: int = 0
    minutes: set[int] = field(default_factory=set)
    _extents: dict[Path, tuple[int, int]] = field(default_factory=dict)
    _nodes: dict[str, Counter[str]] = field(default_factory=dict)
    _seen: dict[bytes, int] = field(default_factory=dict)

    def hosts(self) -> dict[str, str]:
        """Return pod -> host, as most of the pod's lines have it."""
        return {pod: min(nodes, key=lambda node: (-nodes[node], node)) for pod, nodes in sorted(self._nodes.items())}

    def extent(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return the first and the last time (microseconds) in some of the files."""
        found = [self._extents[file] for file in files if file in self._extents]
        return (min(first for first, _ in found), max(last for _, last in found)) if found else None

    def batches(self, files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
        """Yield the lines of the files with the columns of a recording's `logs`.

        Raises:
            DataError: a file has another header.
        """
        rows: list[tuple[Any, ...]] = []
        for number, file in enumerate(files):
            for row in self._rows(file, number):
                rows.append(row)
                if len(rows) == _BATCH:
                    yield _batch(rows)
                    rows = []
        if rows:
            yield _batch(rows)

    def _rows(self, file: Path, number: int) -> Iterator[tuple[Any, ...]]:
        # Each line is parsed by itself: the publisher wrote line breaks as escapes, so that a quote
        # that is never closed spoils one line and not all that follow.
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            header = next(csv.reader([stream.readline()]), [])
            if not header:
                self.writer.skip(file, None, "file is empty")
                return
            missing = [column for column in COLUMNS if column not in header]
            if missing:
                raise DataError(file, f"header {','.join(header)!r} lacks {', '.join(missing)}", row=1)
            places = [header.index(column) for column in COLUMNS]
            for line, text in enumerate(stream, start=2):
                try:
                    fields = next(csv.reader((text,)))
                    if len(fields) != len(header):
                        raise ValueError(f"{'too many' if len(fields) > len(header) else 'too few'} fields")
                    row = self._row([fields[place] for place in places])
                except (ValueError, csv.Error) as error:
                    self.writer.skip(file, line, str(error))
                    continue
                if self._seen.setdefault(_key(row), number) < number:
                    self.writer.skip(file, line, "line stands in an earlier file too")
                    continue
                first, last = self._extents.get(file, (row[0], row[0]))
                self._extents[file] = (min(first, row[0]), max(last, row[0]))
                self.minutes.add(row[0] // 60_000_000)
                yield row

    def _row(self, fields: Sequence[str]) -> tuple[Any, ...]:
        nanos, node, pod, trace, span, wrapped = fields
        try:
            record = json.loads(wrapped)
        except json.JSONDecodeError:
            raise ValueError("Log is no JSON") from None
        if not isinstance(record, dict) or not isinstance(record.get("log"), str):
            raise ValueError('Log holds no text under "log"')
        if not pod:
            raise ValueError("PodName is empty")
        time = self._time(nanos, record.get("time"))
        if node:
            self._nodes.setdefault(pod, Counter())[node] += 1
        line = unwrapped(record["log"])
        return (time, service_of(pod), pod, node or None, line.severity, line.body, trace or None, span or None)

    def _time(self, nanos: str, recorded: object) -> int:
        micros = int(nanos) // 1000 if re.fullmatch(r"-?\d{1,19}", nanos) else None
        if micros is not None and micros in self.lasting:
            return micros
        # The publisher took the clock from the text of some lines and failed; the container runtime's
        # own clock stands in the record.
        if isinstance(recorded, str):
            try:
                micros = to_micros(as_utc(datetime.fromisoformat(_micros_at_most(recorded))))
            except ValueError:
                micros = None
        if micros is None or micros not in self.lasting:
            raise ValueError("neither TimeUnixNano nor the record's time lies within a day of the recording")
        self.repaired += 1
        return micros


def unwrapped(text: str) -> Line:
    """Return what a logged line says; structured lines keep the fields that their message lacks.

    Example:
        >>> unwrapped('16:42:22.382 WARN  a.Stock#5 TraceID: ffc8ca7e4c8f06c7 [left 0]')
        Line(severity='WARN', body='a.Stock#5 [left 0]')
        >>> unwrapped('{"severity": "info", "message": "done", "status": 200}')
        Line(severity='INFO', body='done status=200')
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            record = json.loads(text)
        except json.JSONDecodeError:
            record = None
        if isinstance(record, dict):
            return _structured(record)
    return _plain(text)


def _structured(record: Mapping[str, Any]) -> Line:
    message = next((str(record[key]) for key in _MESSAGE_KEYS if key in record), "")
    level = next((str(record[key]).upper() for key in _LEVEL_KEYS if key in record), None)
    inner = _plain(message)
    rest = [f"{key}={_text(record[key])}" for key in sorted(record) if key not in _ENVELOPE]
    return Line(severity=_SEVERITIES.get(level or "", inner.severity), body=" ".join(filter(None, (inner.body, *rest))))


def _plain(text: str) -> Line:
    text = _CLOCK.sub("", text, count=1)
    level = _LEVEL.match(text)
    if level:
        text = text[level.end() :]
    return Line(severity=_SEVERITIES[level.group(1)] if level else None, body=_IDS.sub("", text).strip())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _key(row: Sequence[Any]) -> bytes:
    return blake2b("\0".join(map(str, row)).encode(), digest_size=12).digest()


def _micros_at_most(clock: str) -> str:
    return re.sub(r"(\.\d{6})\d+", r"\1", clock)


def _batch(rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    times, *texts = zip(*rows, strict=True)
    columns = {"time": pa.array(times, pa.timestamp("us", tz="UTC"))}
    names = ("service", "pod", "host", "severity", "body", "trace_id", "span_id")
    columns |= {column: pa.array(values, pa.string()) for column, values in zip(names, texts, strict=True)}
    return pa.RecordBatch.from_pydict(columns)
