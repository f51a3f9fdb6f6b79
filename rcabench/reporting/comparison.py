"""Two diagnosers side by side on the cases that both answered, and whether a difference can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rcabench.core.errors import RcabenchError
from rcabench.core.run import DatasetStamp, RunRecord, ScoredDiagnosis
from rcabench.core.verdict import Candidate, Verdict
from rcabench.plugins import did_you_mean
from rcabench.reporting.metric import Kinds, in_order, is_graded
from rcabench.reporting.scripted import scripted_diagnosers, scripted_notice
from rcabench.reporting.stand_ins import stand_in_notices, stand_ins
from rcabench.reporting.statistics import Estimate, holm, mcnemar, paired_difference, sign_flip
from rcabench.reporting.summary import case_values, run_name

COMPARED: tuple[str, ...] = (
    "service.AC@1",
    "host.AC@1",
    "pod.AC@1",
    "chain.edge_f1",
    "fault.AC@1",
    "onset.within_60s",
    "healthy.correct",
    "openrca.strict",
)
"""Few on purpose: every further score makes a difference harder to show after Holm's correction."""
LEVEL_OF_SIGNIFICANCE = 0.05

_ANSWERS: Mapping[str, tuple[str, Callable[[Verdict], bool]]] = {
    "service": ("names no service", lambda verdict: _says(verdict, lambda candidate: candidate.service)),
    "host": ("names no host", lambda verdict: _says(verdict, lambda candidate: candidate.host)),
    "pod": ("names no pod", lambda verdict: _says(verdict, lambda candidate: candidate.pod)),
    "fault": ("names no fault type", lambda verdict: _says(verdict, lambda candidate: candidate.fault_type)),
    "onset": ("gives no onset", lambda verdict: _says(verdict, lambda candidate: candidate.onset)),
    "chain": ("gives no call chain", lambda verdict: verdict.call_chain is not None),
}
"""First part of a score's name -> what it means not to answer at all, and whether a verdict does answer."""


class Incomparable(RcabenchError):
    """Two sides that have nothing in common that could be compared; says why, one line each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One side of a comparison: a diagnoser in a run."""

    record: RunRecord
    diagnoser: str

    def __str__(self) -> str:
        return f"{run_name(self.record)}::{self.diagnoser}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """One score of both sides on the cases that both have.

    Attributes:
        dataset, onset_given: what was asked; several datasets where the score is stated over all of them together.
        metric: name of the score.
        a, b: the sides as text.
        n: common cases; `of_a` and `of_b` say how many each side has a value for.
        mean_a, mean_b: over the common cases.
        a_higher, b_higher: discordant cases: where one side's value is higher.
        difference: mean of a - b with its interval; the interval is of this row alone, corrected for nothing.
        test: `McNemar, exact` where the score says right or wrong of every case, else `sign flips`.
        p: two-sided, of no difference.
        p_holm: corrected for all rows of the comparison.
        less_is_better: whether the lower mean is the better one.
    """

    dataset: str
    onset_given: bool
    metric: str
    a: str
    b: str
    n: int
    of_a: int
    of_b: int
    mean_a: float
    mean_b: float
    a_higher: int
    b_higher: int
    difference: Estimate
    test: str
    p: float
    p_holm: float
    less_is_better: bool = False

    @property
    def better(self) -> str | None:
        """Which side is better, or None where no difference is shown."""
        if self.p_holm >= LEVEL_OF_SIGNIFICANCE or self.mean_a == self.mean_b:
            return None
        return self.a if (self.mean_a > self.mean_b) != self.less_is_better else self.b

    def sentence(self) -> str:
        """Return the finding in words."""
        if self.better is None:
            return "no difference shown"
        other = self.b if self.better == self.a else self.a
        return f"{self.better} is better than {other}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All scores of one or more pairs of diagnosers, and what could not be compared."""

    rows: tuple[Paired, ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return it for people, a short paragraph per pair and score."""
        lines: list[str] = []
        for row in self.rows:
            head = f"{row.dataset}, onset {'given' if row.onset_given else 'withheld'}: A = {row.a}, B = {row.b}"
            if head not in lines:
                lines += ["", head] if lines else [head]
            lines.append(f"  {row.metric}: {_figures(row)}: {row.sentence()}")
        return "\n".join([*lines, "", *_closing(self.rows), *self.notes]) + "\n"


def compare(
    a: RunRecord,
    b: RunRecord,
    *,
    diagnoser_a: str | None = None,
    diagnoser_b: str | None = None,
    metrics: Sequence[str] = COMPARED,
) -> Comparison:
    """Compare runs, case by case, on everything that both asked under the same conditions.

    Without labels, each diagnoser of `a` meets the one of the same label in `b`, or the only one meets the only one.

    Args:
        a, b: runs that were scored alike; the same one twice to compare two of its diagnosers.
        diagnoser_a, diagnoser_b: labels; or the name of a plug-in that only one of a run's diagnosers is.
        metrics: names of the scores to test. The fewer, the easier a difference is shown after Holm's correction.

    Raises:
        Incomparable: nothing is alike in both: other data, another onset setting, other scorers,
            no such diagnoser or score, or no common case; says which.
    """
    pairs = _sides(a, b, diagnoser_a, diagnoser_b)
    if a.scorers != b.scorers:
        raise Incomparable(
            f"{run_name(a)} and {run_name(b)} are scored by different scorers or options; run `rcabench score` on both"
        )
    _refuse_unknown(metrics, a, b)
    conditions, refused = _common_conditions(a, b)
    rows: list[Paired] = []
    notes: list[str] = []
    for side_a, side_b in pairs:
        together = _together(side_a, side_b, conditions, metrics)
        rows += together
        for stamp in conditions:
            pooled = {row.metric for row in together if row.onset_given == stamp.onset_given}
            found, said = _pair_up(side_a, side_b, stamp, [metric for metric in metrics if metric not in pooled])
            rows += found
            notes += said
    if not rows:
        raise Incomparable("\n".join([f"nothing to compare between {run_name(a)} and {run_name(b)}", *refused, *notes]))
    absent = set(metrics) - {row.metric for row in rows}
    if tuple(metrics) != COMPARED:
        notes += [f"not compared: no common case has {metric!r} on both sides" for metric in in_order(absent)]
    return Comparison(rows=_corrected(rows), notes=(*refused, *notes, *_no_models(pairs)))


def split_side(text: str) -> tuple[str, str | None]:
    """Split `RUN::diagnoser` or `RUN` into its parts.

    Example:
        >>> split_side("runs/monday::baro"), split_side("runs/monday")
        (('runs/monday', 'baro'), ('runs/monday', None))
    """
    run, separator, label = text.partition("::")
    return run, label if separator and label else None


def _refuse_unknown(metrics: Sequence[str], a: RunRecord, b: RunRecord) -> None:
    known = {score.name for record in (a, b) for result in record.results for score in result.scores}
    unknown = [] if tuple(metrics) == COMPARED else [metric for metric in metrics if metric not in known]
    if unknown:
        raise Incomparable(f"no score is called {unknown[0]!r}{did_you_mean(unknown[0], known)}")


def _sides(a: RunRecord, b: RunRecord, label_a: str | None, label_b: str | None) -> list[tuple[Side, Side]]:
    known_a, known_b = list(a.manifest.diagnosers), list(b.manifest.diagnosers)
    label_a, label_b = _meant(a, label_a), _meant(b, label_b)
    for record, label, known in ((a, label_a, known_a), (b, label_b, known_b)):
        if label is not None and label not in known:
            raise Incomparable(f"{run_name(record)} has no diagnoser {label!r}{did_you_mean(label, known)}")
    if label_a is None and label_b is None:
        pairs = [(label, label) for label in known_a if label in known_b]
        if not pairs and len(known_a) == len(known_b) == 1:
            pairs = [(known_a[0], known_b[0])]
    else:
        pairs = [(label_a or _only(known_a, label_b), label_b or _only(known_b, label_a))]
    if a.folder == b.folder:
        pairs = [(one, other) for one, other in pairs if one != other]
    if not pairs:
        raise Incomparable(
            f"nobody to compare: {run_name(a)} has {known_a} and {run_name(b)} has {known_b}; "
            "write RUN::diagnoser for two different ones"
        )
    return [(Side(record=a, diagnoser=one), Side(record=b, diagnoser=other)) for one, other in pairs]


def _meant(record: RunRecord, label: str | None) -> str | None:
    """Return the label of the only diagnoser that is a plug-in of this name, where no diagnoser is labelled so."""
    known = record.manifest.diagnosers
    named = [other for other, spec in known.items() if spec.get("name") == label]
    return named[0] if label not in known and len(named) == 1 else label


def _no_models(pairs: Sequence[tuple[Side, Side]]) -> Iterator[str]:
    """Yield what has to stand beside figures that are no model's, of whichever side."""
    sides = [side for pair in pairs for side in pair]
    scripted = {id(side.record): scripted_diagnosers(side.record) for side in sides}
    labels = [str(side) for side in sides if side.diagnoser in scripted[id(side.record)]]
    notice = scripted_notice(list(dict.fromkeys(labels)))
    yield from [] if notice is None else [notice]
    counted = [
        (str(side), stand_ins(one for one in side.record.results if one.diagnosis.diagnoser == side.diagnoser))
        for side in sides
    ]
    yield from stand_in_notices(counted)


def _only(known: Sequence[str], other: str | None) -> str:
    """Return the diagnoser that is meant on a side without a label, seen from the other side's."""
    if other in known:
        return str(other)
    if len(known) == 1:
        return known[0]
    raise Incomparable(f"which of {list(known)}? Write RUN::diagnoser on both sides")


def _common_conditions(a: RunRecord, b: RunRecord) -> tuple[list[DatasetStamp], list[str]]:
    """Return the datasets that both asked in the same state and setting, and why others were refused."""
    common: list[DatasetStamp] = []
    refused: list[str] = []
    for stamp in a.manifest.datasets:
        named = [other for other in b.manifest.datasets if other.name == stamp.name]
        same_setting = [other for other in named if other.onset_given == stamp.onset_given]
        setting = f"{stamp.name}, onset {'given' if stamp.onset_given else 'withheld'}"
        if any(other.digest == stamp.digest for other in same_setting):
            common.append(stamp)
        elif same_setting:
            digests = f"{stamp.digest[:12]} and {same_setting[0].digest[:12]}"
            refused.append(f"not compared: {setting}: the data differ (digests {digests}); run both on one import")
        elif named:
            refused.append(f"not compared: {setting}: only {run_name(a)} has this onset setting; they are never mixed")
        else:
            refused.append(f"not compared: {setting}: {run_name(b)} has no such dataset")
    names = {stamp.name for stamp in a.manifest.datasets}
    extra = [stamp.name for stamp in b.manifest.datasets if stamp.name not in names]
    refused += [f"not compared: {name}: {run_name(a)} has no such dataset" for name in dict.fromkeys(extra)]
    return common, refused


def _together(a: Side, b: Side, stamps: Sequence[DatasetStamp], metrics: Sequence[str]) -> list[Paired]:
    """Return a row for each score that a benchmark states over several of these datasets together."""
    rows = []
    for given in sorted({stamp.onset_given for stamp in stamps}):
        asked = [stamp for stamp in stamps if stamp.onset_given == given]
        values = [(stamp.name, case_values(_results(a, stamp)), case_values(_results(b, stamp))) for stamp in asked]
        for metric in in_order(set(metrics) & Kinds.of(a.record.scorers).pooled):
            holding = [(name, x[metric], y[metric]) for name, x, y in values if x.get(metric) and y.get(metric)]
            if len(holding) > 1:
                names = f"{', '.join(name for name, _, _ in holding)} together"
                of_a = {f"{name}/{case}": value for name, found, _ in holding for case, value in found.items()}
                of_b = {f"{name}/{case}": value for name, _, found in holding for case, value in found.items()}
                row = _paired(a, b, names, given, metric, of_a, of_b)
                rows += [row] if row is not None else []
    return rows


def _pair_up(a: Side, b: Side, stamp: DatasetStamp, metrics: Sequence[str]) -> tuple[list[Paired], list[str]]:
    results_a, results_b = _results(a, stamp), _results(b, stamp)
    cases_a = {result.diagnosis.incident_id for result in results_a}
    cases_b = {result.diagnosis.incident_id for result in results_b}
    notes = []
    if cases_a != cases_b or len(cases_a) < stamp.cases:
        notes.append(
            f"{stamp.name}: {len(cases_a & cases_b)} cases are common: "
            f"{a} has {len(cases_a)}, {b} has {len(cases_b)}, planned are {stamp.cases}"
        )
    values_a, values_b = case_values(results_a), case_values(results_b)
    rows = []
    for metric in in_order(set(metrics) & set(values_a) & set(values_b)):
        row = _paired(a, b, stamp.name, stamp.onset_given, metric, values_a[metric], values_b[metric])
        rows += [row] if row is not None else []
    for side, results in ((a, results_a), (b, results_b)):
        notes += [f"{stamp.name}: {side} {silence}" for silence in _silences(rows, results)]
    return rows, notes


def _silences(rows: Sequence[Paired], results: Sequence[ScoredDiagnosis]) -> list[str]:
    """Return what a side that does blame somebody never says, of all that it is compared on."""
    verdicts = [result.diagnosis.verdict for result in results]
    blaming = [verdict for verdict in verdicts if verdict is not None and verdict.candidates]
    aspects = dict.fromkeys(row.metric.partition(".")[0] for row in rows)
    asked = [_ANSWERS[aspect] for aspect in aspects if aspect in _ANSWERS]
    if asked and not blaming and any(verdict is not None and verdict.answer for verdict in verdicts):
        return ["answers in words alone, and the scores of components, fault types and times count that as misses"]
    return [f"{silence} in any case" for silence, answers in asked if blaming and not any(map(answers, blaming))]


def _says(verdict: Verdict, what: Callable[[Candidate], object]) -> bool:
    return any(what(candidate) for candidate in verdict.candidates)


def _results(side: Side, stamp: DatasetStamp) -> tuple[ScoredDiagnosis, ...]:
    wanted = (stamp.name, stamp.onset_given, side.diagnoser)
    return tuple(
        result
        for result in side.record.results
        if (result.diagnosis.dataset, result.diagnosis.onset_given, result.diagnosis.diagnoser) == wanted
    )


def _paired(
    a: Side, b: Side, dataset: str, given: bool, metric: str, of_a: Mapping[str, float], of_b: Mapping[str, float]
) -> Paired | None:
    common = sorted(set(of_a) & set(of_b))
    if not common:
        return None
    one, other = [of_a[case] for case in common], [of_b[case] for case in common]
    kinds = Kinds.of(a.record.scorers)
    share = kinds.is_share(metric)
    a_higher = sum(x > y for x, y in zip(one, other, strict=True))
    b_higher = sum(x < y for x, y in zip(one, other, strict=True))
    binary = share and not is_graded(metric) and {*one, *other} <= {0.0, 1.0}
    p = mcnemar(a_higher, b_higher) if binary else sign_flip([x - y for x, y in zip(one, other, strict=True)])
    return Paired(
        dataset=dataset,
        onset_given=given,
        metric=metric,
        a=str(a),
        b=str(b),
        n=len(common),
        of_a=len(of_a),
        of_b=len(of_b),
        mean_a=sum(sorted(one)) / len(one),
        mean_b=sum(sorted(other)) / len(other),
        a_higher=a_higher,
        b_higher=b_higher,
        difference=paired_difference(one, other, share=share),
        test="McNemar, exact" if binary else "sign flips",
        p=p,
        p_holm=p,
        less_is_better=kinds.lower_is_better(metric),
    )


def _corrected(rows: Sequence[Paired]) -> tuple[Paired, ...]:
    adjusted = holm({str(i): row.p for i, row in enumerate(rows)})
    return tuple(replace(row, p_holm=adjusted[str(i)]) for i, row in enumerate(rows))


def _closing(rows: Sequence[Paired]) -> tuple[str, ...]:
    """Return what a reader has to know to read the figures."""
    number = f"{len(rows)} comparison{'s' * (len(rows) != 1)}"
    return (
        f"p corrected by Holm for {number}; a difference counts as shown below .05.",
        "Each [low, high] is the 95 % interval of one score alone. It is not corrected, so it can exclude 0 where no "
        "difference is shown: the sentence at the end of a line is the finding.",
    )


def _figures(row: Paired) -> str:
    counted = f"n={row.n}" if row.n == row.of_a == row.of_b else f"n={row.n} common (A {row.of_a}, B {row.of_b})"
    difference = row.difference
    interval = ""
    if difference.low is not None and difference.high is not None:
        interval = f" [{difference.low:+.3f}, {difference.high:+.3f}] uncorrected"
    return (
        f"A {row.mean_a:.3f}, B {row.mean_b:.3f}, {counted}; A higher on {row.a_higher}, B higher on {row.b_higher}; "
        f"A - B {row.mean_a - row.mean_b:+.3f}{interval}; "
        f"p = {_p(row.p)} uncorrected ({row.test}), {_p(row.p_holm)} corrected"
    )


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"
