"""What the files of a run are called."""

SCHEMA = "rcabench.run/1"

MANIFEST, DIAGNOSES, QUERIES, TRANSCRIPTS = "manifest.json", "diagnoses.jsonl", "queries.jsonl", "transcripts.jsonl"
SPANS, SPAN_TABLE, CASSETTES = "spans.jsonl", "spans.parquet", "cassettes"
SCORES, LATEST, EVALUATIONS, LOCK = "scores", "latest.json", "evaluations.jsonl", "lock"
JUDGEMENTS = "judgements"
