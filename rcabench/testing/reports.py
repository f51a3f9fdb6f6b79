"""A run over the small system with its dataset on disk, for reporters that show telemetry beside verdicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rcabench.core.codec import to_plain
from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.diagnosis import Diagnosis, Failure, FailureKind
from rcabench.core.question import MetricChanges, SlowestSpans, TemplateChanges
from rcabench.core.run import DatasetStamp, Manifest, RunRecord, ScoredDiagnosis
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Evidence, Modality, Turn, Verdict
from rcabench.testing.agent_work import agent_spans, usage_of
from rcabench.testing.builders import healthy_incident, right_verdict, small_case, small_incident
from rcabench.testing.system import END, ONSET, Frames, small_recording, write_recording

if TYPE_CHECKING:
    from rcabench.core.truth import Case
    from rcabench.datasets.folder import Dataset


def small_dataset(folder: Path, *, frames: Frames | None = None, cases: Sequence[Case] = ()) -> Dataset:
    """Write the small system as a dataset folder: its incident, and a window in which nothing is wrong.

    Args:
        folder: to write; must not exist.
        frames: of the recording; the small system's where None.
        cases: instead of those two.
    """
    from rcabench.core.truth import Case, Truth
    from rcabench.datasets.folder import Dataset

    told = cases or (small_case(), Case(incident=healthy_incident(), truth=Truth(), recording="small"))
    write_recording(folder / "recordings" / "small", small_recording() if frames is None else frames)
    (folder / "dataset.yaml").write_text("name: small\n", encoding="utf-8")
    incidents = [{"recording": case.recording, "incident": to_plain(case.incident)} for case in told]
    truths = [{"id": case.incident.id, "truth": to_plain(case.truth)} for case in told]
    for name, lines in (("incidents.jsonl", incidents), ("truth.jsonl", truths)):
        (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return Dataset.load(folder)


def small_report(dataset: Dataset, *, onset_given: bool = False) -> RunRecord:
    """Return a run over `small_dataset`: one diagnoser is right, one wrong, one abstains, one fails."""
    stamp = DatasetStamp(
        name=dataset.name,
        folder=str(dataset.folder),
        digest=dataset.digest(),
        cases=len(dataset.cases),
        onset_given=onset_given,
    )
    answers: dict[str, Verdict | Failure] = {
        "team": right_verdict(**_found()),
        "loud": wrong_verdict(),
        "shy": Verdict(abstained=True, narrative="All is calm."),
        "broken": Failure(kind=FailureKind.TIMEOUT, message="gave up after 60 s"),
    }
    results = [_scored(case, label, answer, onset_given) for case in dataset.cases for label, answer in answers.items()]
    manifest = Manifest(
        schema="rcabench.run/1", rcabench="0.1.0", versions={"python": "3.11.7"}, commit="c0ffee1234+",
        config={}, config_digest="c1" * 32, content_digest="c2" * 32, datasets=(stamp,),
        diagnosers={label: {"name": label, "options": {}} for label in answers}, seed=7, started_at=END,
    )  # fmt: skip
    return RunRecord(
        folder=f"runs/{'given' if onset_given else 'hidden'}", manifest=manifest, results=tuple(results), scorers={}
    )


def agents_report(dataset: Dataset) -> RunRecord:
    """Return `small_report` as if agents had left spans and costs of a scripted model: `team` many, `loud` few."""
    record = small_report(dataset)
    work = {"team": agent_spans(), "loud": agent_spans(rounds=1, tokens=400)}
    results = tuple(
        replace(result, diagnosis=replace(result.diagnosis, usage=usage_of(work[result.diagnosis.diagnoser])))
        if result.diagnosis.diagnoser in work
        else result
        for result in record.results
    )
    spans = {r.diagnosis.key: work[r.diagnosis.diagnoser] for r in results if r.diagnosis.diagnoser in work}
    declared = {label: {"model": {"provider": "openai", "model": "scripted"}} for label in work}
    return replace(record, manifest=replace(record.manifest, declared=declared), results=results, spans=spans)


def wrong_verdict() -> Verdict:
    """Return a verdict on the small incident that suspects its decoy first and the culprit second."""
    decoy = Candidate(host="host-a", service="catalog", pod="catalog-0", fault_type="memory",
                      onset=ONSET + timedelta(seconds=95), confidence=0.4)  # fmt: skip
    return Verdict(
        candidates=(decoy, Candidate(service="cart")), call_chain=CallChain(services=("catalog", "cart", "web"))
    )


def _found() -> dict[str, object]:
    window = small_incident().window
    evidence = (
        Evidence(
            id="m1", modality=Modality.METRIC, component=ComponentRef(level=Level.POD, name="cart-0"),
            claim="cpu_usage of cart-0 rose from 0.2 to 0.9.", strength=0.95, fault_type="cpu", onset=ONSET,
            question=MetricChanges(windows=(window,), metrics=("cpu_usage",), services=("cart",)), confirmed_by=("t1",),
        ),
        Evidence(
            id="t1", modality=Modality.TRACE, component=ComponentRef(level=Level.SERVICE, name="cart"),
            claim="ComputePrice spends 8 times as long on itself.", strength=0.8,
            question=SlowestSpans(windows=(window,), services=("cart",), limit=5), confirmed_by=("m1",),
        ),
        Evidence(
            id="l1", modality=Modality.LOG, component=ComponentRef(level=Level.SERVICE, name="catalog"),
            claim="catalog logs nothing new.", strength=0.1, question=TemplateChanges(windows=(window,)),
            disputed_by=("m1",),
        ),
    )  # fmt: skip
    lead = replace(right_verdict().candidates[0], evidence=("m1", "t1"))
    transcript = (Turn(agent="metric specialist", text="cart-0 is busy."), Turn(agent="judge", text="It is cart."))
    return {"evidence": evidence, "transcript": transcript, "candidates": (lead, Candidate(service="web"))}


def _scored(case: Case, label: str, answer: Verdict | Failure, onset_given: bool) -> ScoredDiagnosis:
    from rcabench.scoring.call_chain import CallChainMatch
    from rcabench.scoring.false_alarm import FalseAlarm
    from rcabench.scoring.localization import Localization
    from rcabench.scoring.onset import OnsetMatch

    verdict = answer if isinstance(answer, Verdict) else None
    diagnosis = Diagnosis(
        incident_id=case.incident.id, dataset="small", diagnoser=label, onset_given=onset_given, verdict=verdict,
        failure=answer if isinstance(answer, Failure) else None, usage=Usage(seconds=0.25, queries=3, rows=40),
        finished_at=END,
    )  # fmt: skip
    scorers = (Localization(), CallChainMatch(), OnsetMatch(), FalseAlarm())
    scores = [score for scorer in scorers for score in scorer.score(case.incident, case.truth, verdict)]
    return ScoredDiagnosis(diagnosis=diagnosis, scores=tuple(scores))
