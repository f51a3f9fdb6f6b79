"""What judges make of a run's explanations, a file each; derived data, replaced as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rcabench.core.codec import to_plain
from rcabench.core.errors import RecordError
from rcabench.core.judgement import Judgement, Judgements
from rcabench.record.layout import JUDGEMENTS
from rcabench.record.lines import decoded, encoded, lines, write_atomically


def judgements_file(run: Path, judgements: Judgements) -> Path:
    """Return where a run keeps what one judge says by one rubric."""
    return run / JUDGEMENTS / f"{judgements.name}.jsonl"


def write_judgements(run: Path, judgements: Judgements) -> Path:
    """Put them down beside the scores, in place of what the same judge said before by the same rubric."""
    file = judgements_file(run, judgements)
    file.parent.mkdir(exist_ok=True)
    header = to_plain(judgements)
    rows = header.pop("results", [])
    write_atomically(file, "".join(encoded(row).decode() for row in (header, *rows)))
    return file


def read_judgements(run: Path) -> tuple[Judgements, ...]:
    """Return what every judge made of a run, by name of its file.

    Raises:
        RecordError: a file is damaged.
    """
    return tuple(_read(file) for file in sorted((run / JUDGEMENTS).glob("*.jsonl")))


def _read(file: Path) -> Judgements:
    try:
        header, *rows = lines(file)
        found = decoded(Judgements, header[1], file, header[0])
        results = tuple(decoded(Judgement, plain, file, row) for row, plain in rows)
    except (RecordError, ValueError) as error:
        said = str(error) if isinstance(error, RecordError) else f"{file}: is empty"
        raise RecordError(f"{said}; delete it, and judge the run again") from None
    return replace(found, results=results)
