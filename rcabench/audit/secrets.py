"""Secrets in the files of a run, whatever the files are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rcabench.agents.llm.redaction import Redactor
from rcabench.audit.finding import Finding, Kind
from rcabench.audit.told import Telling

_ENVIRONMENT = "env"


def found_secrets(run: Path, redactor: Redactor, recordings: Sequence[Telling]) -> tuple[tuple[Finding, ...], int, int]:
    """Look for secrets in every file below a run's folder.

    What has the shape of a secret and is recorded in the telemetry is no secret of whoever ran this: a system's
    logs may hold tokens of its own users. The value of an environment variable is one wherever it is.

    Returns:
        The findings, how many files were read, and how many findings the telemetry explains.
    """
    found: Counter[tuple[str, int, str, str, str]] = Counter()
    files = [file for file in sorted(run.rglob("*")) if file.is_file()]
    for file in files:
        name = str(file.relative_to(run))
        for row, line in _lines(file):
            for secret in redactor.secrets(line):
                found[name, row, secret.kind, secret.shortened, secret.value] += 1
    told = {value: _told(kind, value, recordings) for _, _, kind, _, value in found}
    findings = tuple(
        Finding(
            file=name,
            line=row,
            kind=Kind.SECRET,
            what=shown,
            where=_LOOKS.get(kind, f"looks like a {kind}"),
            times=times,
        )
        for (name, row, kind, shown, value), times in found.items()
        if not told[value]
    )
    return findings, len(files), sum(times for (*_, value), times in found.items() if told[value])


_LOOKS = {_ENVIRONMENT: "the value of an environment variable"}


def _told(kind: str, value: str, recordings: Sequence[Telling]) -> bool:
    return kind != _ENVIRONMENT and any(recording.word(value) for recording in recordings)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    if file.suffix == ".parquet":
        yield from _rows(file)
        return
    with file.open("rb") as stream:
        for row, line in enumerate(stream, start=1):
            yield row, line.decode("utf-8", errors="replace")


def _rows(file: Path) -> Iterator[tuple[int, str]]:
    import pyarrow.parquet as pq

    row = 0
    for batch in pq.ParquetFile(file).iter_batches():
        for values in batch.to_pylist():
            row += 1
            yield row, "\n".join(value if isinstance(value, str) else repr(value) for value in values.values())
