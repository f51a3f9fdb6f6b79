"""A run on disk: append-only, readable after a kill at any byte, resumable, re-scorable.

RUN/manifest.json               what makes the run repeatable; written once, atomically
RUN/queries.jsonl               a line per diagnosis: the questions it asked of the telemetry
RUN/transcripts.jsonl           a line per diagnosis that left a transcript
RUN/spans.jsonl                 a line per diagnosis with agents: every step of their work
RUN/diagnoses.jsonl             a line per diagnosis; it is written last, so it is what makes a diagnosis count
RUN/cassettes/<digest>.jsonl    a file per diagnosis that called a model: its calls, each written as soon as it ended
RUN/scores/<rubric>.jsonl       what one rubric makes of the diagnoses; replaced as a whole
RUN/scores/latest.json          the rubric that reports read
RUN/judgements/<name>.jsonl     what one judge makes of the explanations by one rubric; replaced as a whole
RUN/judgements/cassettes/       its calls, which hold the truth
RUN/evaluations.jsonl           the scores by that rubric once more, as events that point at the agents' traces
RUN/spans.parquet               all spans as one table; made from spans.jsonl
RUN/lock                        held while a process appends
"""

from rcabench.record.evaluations import stale_evaluations
from rcabench.record.judgements import judgements_file, read_judgements, write_judgements
from rcabench.record.layout import JUDGEMENTS, SCHEMA
from rcabench.record.lines import Key
from rcabench.record.reader import (
    fingerprint,
    read_manifest,
    read_queries,
    read_run,
    read_spans,
    read_transcripts,
    repeatable,
)
from rcabench.record.scores import write_scores
from rcabench.record.span_table import stale_span_table, write_span_table
from rcabench.record.tapes import Cassette, cassette_file, cassettes, changed_calls
from rcabench.record.writer import Entry, RunWriter, set_aside

__all__ = [
    "JUDGEMENTS",
    "SCHEMA",
    "Cassette",
    "Entry",
    "Key",
    "RunWriter",
    "cassette_file",
    "cassettes",
    "changed_calls",
    "fingerprint",
    "judgements_file",
    "read_judgements",
    "read_manifest",
    "read_queries",
    "read_run",
    "read_spans",
    "read_transcripts",
    "repeatable",
    "set_aside",
    "stale_evaluations",
    "stale_span_table",
    "write_judgements",
    "write_scores",
    "write_span_table",
]
