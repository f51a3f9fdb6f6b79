"""A run made again from its own cassettes, offline, and compared with what it says of itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rcabench import __version__
from rcabench.config import Plan, plan_from
from rcabench.core.diagnosis import Diagnosis
from rcabench.core.errors import RecordError
from rcabench.core.run import Manifest, RunRecord, ScoredDiagnosis
from rcabench.core.session import Miss, TapeMode
from rcabench.core.trouble import Trouble
from rcabench.datasets.folder import Dataset
from rcabench.datasets.staging import Stage
from rcabench.plugins import Spec
from rcabench.record import Entry, Key, RunWriter, cassette_file, read_run
from rcabench.runner.agenda import Agenda
from rcabench.runner.comparing import Account, differences, score_differences
from rcabench.runner.contradictions import asked_for, contradictions
from rcabench.runner.diagnosing import DIED
from rcabench.runner.executors import executed
from rcabench.runner.judging import score, stamped_dataset
from rcabench.runner.outcome import timeout
from rcabench.runner.provenance import agents_digest, declared, versions
from rcabench.runner.purse import Purse
from rcabench.runner.task import Contestant

_ABOUT_TIME = (Trouble.DEADLINE, Trouble.TOOL_TIMEOUT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A diagnosis that did not come out as it is recorded.

    Attributes:
        key: which.
        what: a line per part that differs: what the run has, what the replay gave.
        misses: requests to models that the cassettes could not answer.
    """

    key: Key
    what: tuple[str, ...]
    misses: tuple[Miss, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What came of making a run again.

    Attributes:
        identical: diagnoses with the same verdict or failure, usage, steps and questions but for times, and scores.
        different: the others, in the order of the plan.
        left_out: key -> why it cannot be made again offline: it ran out of time, its process died, or its
            diagnoser is an object that is not at hand. Its scores are those that its verdict deserves.
        misses: of all diagnoses, the identical ones among them.
        planned: how many diagnoses the run was planned with, recorded or not.
        scored: whether the run holds scores that could be compared.
        contradictions: what in the run's files does not go together: calls that were changed after they were
            recorded, figures in the manifest that do not follow from its plan, diagnoses that nobody asked for.
        notices: what is not as it was when the run was made, and may explain differences.
    """

    identical: tuple[Key, ...] = ()
    different: tuple[Difference, ...] = ()
    left_out: Mapping[Key, str] = field(default_factory=dict)
    misses: int = 0
    planned: int = 0
    scored: bool = False
    contradictions: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def recorded(self) -> int:
        """How many diagnoses the run holds."""
        return len(self.identical) + len(self.different) + len(self.left_out)

    @property
    def passed(self) -> bool:
        """Whether something can be made again, scores among it, all of it came out the same, and all goes together."""
        fine = not self.different and not self.misses and not self.contradictions
        return bool(self.identical) and self.scored and fine


def verify(
    folder: Path,
    *,
    contestants: Mapping[str, Contestant] | None = None,
    watch: Callable[[int, int], None] = lambda _done, _total: None,
) -> Verification:
    """Make every recorded diagnosis again, models being answered by their cassettes, and compare.

    What cannot be made again is scored again all the same, and the run's files are held against each other.
    Nothing is written into the run, no model is called, no key is needed.

    Args:
        folder: of the run.
        contestants: label -> object or function, for diagnosers that are no plug-ins.
        watch: is told how many diagnoses are made, and of how many.

    Raises:
        RecordError: the folder is no run, it is damaged, or one of its datasets has changed since.
        DatasetNotFound: one of its datasets is gone.
        ConfigError: its diagnosers cannot be built any more.
    """
    record = read_run(folder)
    objects = dict(contestants or {})
    datasets = tuple(stamped_dataset(stamp, folder) for stamp in record.manifest.datasets)
    plan = _plan_again(record.manifest, datasets, objects)
    chosen: dict[str, Contestant] = {spec.label: objects.get(spec.label, spec) for spec in plan.diagnosers}
    found = tuple(contradictions(record, plan, datasets, declared=declared(chosen), rubric=_rubric(record)))
    asked = asked_for(plan, record.manifest, datasets)
    notices = _notices(record, asked)
    record = replace(record, results=tuple(r for r in record.results if r.diagnosis.key in asked))
    with tempfile.TemporaryDirectory(prefix="rcabench-verify-") as temporary, Stage() as stage:
        agenda = Agenda(plan=plan, datasets=datasets, contestants=chosen, stage=stage, record=folder)
        different, left_out, misses = _compared(agenda, record, Path(temporary), watch)
    excluded = {*left_out, *different}
    return Verification(
        planned=len(asked),
        scored=any(result.scores for result in record.results),
        identical=tuple(r.diagnosis.key for r in record.results if r.diagnosis.key not in excluded),
        different=tuple(different.values()),
        left_out={key: why for key, why in left_out.items() if key not in different},
        misses=sum(len(found) for key, found in misses.items() if key not in left_out),
        contradictions=found,
        notices=notices,
    )


def _compared(
    agenda: Agenda, record: RunRecord, temporary: Path, watch: Callable[[int, int], None]
) -> tuple[dict[Key, Difference], dict[Key, str], dict[Key, tuple[Miss, ...]]]:
    """Return what differs, what is left out and why, and the misses; of what is left out, scores are compared."""
    limit = agenda.plan.timeout_seconds
    left_out = {
        result.diagnosis.key: reason
        for result in record.results
        if (reason := _hindrance(result.diagnosis, agenda.contestants, limit))
    }
    wanted = [result.diagnosis.key for result in record.results if result.diagnosis.key not in left_out]
    forgiving = any(_is_python(entry) for entry in record.scorers.values())
    replayed, misses = _replayed(agenda, wanted, record, temporary / "replayed", watch)
    before, now = Account.of(record), Account.of(replayed)
    found: dict[Key, tuple[str, ...]] = {}
    for key in wanted:
        what = tuple(differences(before, now, key, forgiving=forgiving))
        if what and (late := _lateness(before.results[key].diagnosis, now.results[key].diagnosis)):
            left_out[key] = late
        elif what:
            found[key] = what
    for key, scored in _scored_again(record, left_out, temporary / "left-out").items():
        if what := tuple(score_differences(before.results[key], scored, forgiving=forgiving)):
            found[key] = what
    order = [key for key in before.results if key in found]
    return {key: Difference(key=key, what=found[key], misses=misses.get(key, ())) for key in order}, left_out, misses


def _replayed(
    agenda: Agenda, wanted: Sequence[Key], record: RunRecord, folder: Path, watch: Callable[[int, int], None]
) -> tuple[RunRecord, dict[Key, tuple[Miss, ...]]]:
    rest = set(agenda.keys()) - set(wanted)
    misses: dict[Key, tuple[Miss, ...]] = {}
    with RunWriter(folder, record.manifest) as writer, closing(executed(agenda, rest, Purse())) as entries:
        for number, entry in enumerate(entries, start=1):
            writer.append(entry)
            misses[entry.diagnosis.key] = entry.misses
            watch(number, len(wanted))
    return _scored(record, folder), misses


def _scored_again(record: RunRecord, keys: Collection[Key], folder: Path) -> dict[Key, ScoredDiagnosis]:
    """Return what is recorded of diagnoses with the scores that it deserves."""
    with RunWriter(folder, record.manifest) as writer:
        for result in record.results:
            if result.diagnosis.key in keys:
                writer.append(Entry(diagnosis=result.diagnosis))
    return {result.diagnosis.key: result for result in _scored(record, folder).results}


def _scored(record: RunRecord, folder: Path) -> RunRecord:
    return score(folder, scorers=rubric) if (rubric := _rubric(record)) else read_run(folder)


def _plan_again(manifest: Manifest, datasets: Sequence[Dataset], objects: Mapping[str, Contestant]) -> Plan:
    """Return the plan of a run, with its datasets where they lie now, to be replayed."""
    config = manifest.config
    entries = [entry for entry in config["diagnosers"] if not _is_python(entry)]
    stand_ins = [_spec(entry) for entry in config["diagnosers"] if _is_python(entry) and entry["label"] in objects]
    if not entries and not stand_ins:
        raise RecordError(f"the diagnosers of {config['name']!r} were defined in Python; verify it from there")
    plain = {
        "name": config["name"],
        "datasets": [str(dataset.folder) for dataset in datasets],
        "diagnosers": entries,
        "onset": "given" if config["onset_given"] else "hidden",
        "cassettes": TapeMode.REPLAY.value,
        **{name: config[name] for name in ("attempts", "seed", "budget", "timeout_seconds", "cases", "limit")},
        **{name: config[name] for name in ("spending", "concurrency", "jobs") if name in config},
        # What is verified is sent to nobody.
        "tracing": {**config.get("tracing", {}), "otlp": False},
    }
    return plan_from(plain, source=f"the plan of {config['name']!r}", objects=stand_ins)


def _is_python(entry: Mapping[str, Any]) -> bool:
    """Whether a recorded plug-in is an object or a function that was passed to `evaluate`."""
    return "python" in entry["options"]


def _spec(entry: Mapping[str, Any]) -> Spec:
    return Spec(name=entry["name"], options=entry["options"], label=entry["label"])


def _rubric(record: RunRecord) -> tuple[Spec, ...]:
    """Return the scorers that can be built again."""
    return tuple(_spec({"label": label, **entry}) for label, entry in record.scorers.items() if not _is_python(entry))


def _hindrance(diagnosis: Diagnosis, chosen: Mapping[str, Contestant], seconds: float | None) -> str | None:
    """Return why a diagnosis cannot be made again at all."""
    if diagnosis.diagnoser not in chosen:
        return "its diagnoser is no plug-in, but was defined in Python"
    failure = diagnosis.failure
    # A team whose deadline has come says so itself, and its cassette knows.
    if seconds is not None and failure == timeout(seconds).failure:
        return "it ran out of time"
    return "its process died" if failure is not None and failure.message == DIED else None


def _lateness(recorded: Diagnosis, replayed: Diagnosis) -> str | None:
    """Return what made a diagnosis depend on how long things took, which a replay cannot repeat.

    A replay meets on the cassette what ran out of time; a record that alone says so gives no excuse.
    """
    troubles = [diagnosis.usage.troubles for diagnosis in (recorded, replayed)]
    late = [trouble.value for trouble in _ABOUT_TIME if all(found.get(trouble.value) for found in troubles)]
    return f"it ran out of time ({', '.join(late)})" if late else None


def _notices(record: RunRecord, asked: Collection[Key]) -> tuple[str, ...]:
    manifest = record.manifest
    found = []
    if manifest.content_digest != agents_digest():
        found.append("the agents' content (prompts, teams) is not the one that the run was made with")
    for name, version in sorted({"rcabench": __version__, **versions()}.items()):
        if (before := {"rcabench": manifest.rcabench, **manifest.versions}.get(name, version)) != version:
            found.append(f"{name} {version}, the run was made with {before}")
    lost = [label for label, entry in record.scorers.items() if _is_python(entry)]
    if lost:
        found.append(f"scorers defined in Python are left out: {', '.join(lost)}")
    if manifest.config.get("cassettes") == TapeMode.OFF:
        found.append("the run kept no cassettes")
    if record.judgements:
        found.append("judgements are not compared; `rcabench judge RUN --cassettes replay` makes them again")
    recorded = {result.diagnosis.key for result in record.results}
    unused = sum(cassette_file(Path(record.folder), key).is_file() for key in asked if key not in recorded)
    if unused:
        found.append(f"{unused} cassettes hold calls of diagnoses that are not recorded: killed, or cut out of the run")
    return tuple(found)
