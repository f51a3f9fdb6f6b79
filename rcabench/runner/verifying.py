"""A run made again from its own cassettes, offline, and compared with what it says of itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rcabench.config import Plan, plan_from
from rcabench.core.codec import to_plain
from rcabench.core.diagnosis import Diagnosis
from rcabench.core.errors import RecordError
from rcabench.core.run import Manifest, RunRecord, ScoredDiagnosis
from rcabench.core.session import Miss, TapeMode
from rcabench.core.trouble import Trouble
from rcabench.datasets.folder import Dataset
from rcabench.datasets.staging import Stage
from rcabench.plugins import Spec
from rcabench.record import Key, RunWriter, read_run, repeatable
from rcabench.runner.agenda import Agenda
from rcabench.runner.diagnosing import DIED
from rcabench.runner.executors import executed
from rcabench.runner.judging import score, stamped_dataset
from rcabench.runner.outcome import timeout
from rcabench.runner.provenance import agents_digest, declared, versions
from rcabench.runner.purse import Purse
from rcabench.runner.task import Contestant

_ABOUT_TIME = (Trouble.DEADLINE, Trouble.TOOL_TIMEOUT)
_LONGEST = 60


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
        identical: diagnoses with the same verdict or failure, usage but for its times, and scores.
        different: the others, in the order of the plan.
        left_out: key -> why it cannot be made again offline: it ran out of time, its process died, or its
            diagnoser is an object that is not at hand.
        misses: of all diagnoses, the identical ones among them.
        planned: how many diagnoses the run was planned with, recorded or not.
        scored: whether the run holds scores that could be compared.
        notices: what is not as it was when the run was made, and may explain differences.
    """

    identical: tuple[Key, ...] = ()
    different: tuple[Difference, ...] = ()
    left_out: Mapping[Key, str] = field(default_factory=dict)
    misses: int = 0
    planned: int = 0
    scored: bool = False
    notices: tuple[str, ...] = ()

    @property
    def recorded(self) -> int:
        """How many diagnoses the run holds."""
        return len(self.identical) + len(self.different) + len(self.left_out)

    @property
    def passed(self) -> bool:
        """Whether something can be made again, scores among it, and all of it came out the same."""
        return bool(self.identical) and self.scored and not self.different and not self.misses


def verify(
    folder: Path,
    *,
    contestants: Mapping[str, Contestant] | None = None,
    watch: Callable[[int, int], None] = lambda _done, _total: None,
) -> Verification:
    """Make every recorded diagnosis again, models being answered by their cassettes, and compare.

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
    left_out = {
        result.diagnosis.key: reason
        for result in record.results
        if (reason := _hindrance(result.diagnosis, chosen, plan.timeout_seconds))
    }
    wanted = {result.diagnosis.key for result in record.results} - set(left_out)
    with tempfile.TemporaryDirectory(prefix="rcabench-verify-") as temporary, Stage() as stage:
        agenda = Agenda(plan=plan, datasets=datasets, contestants=chosen, stage=stage, record=folder)
        replayed, misses = _replayed(agenda, wanted, record, Path(temporary) / "run", watch)
    return _compared(record, replayed, misses, left_out, _notices(record, chosen))


def _replayed(
    agenda: Agenda, wanted: set[Key], record: RunRecord, folder: Path, watch: Callable[[int, int], None]
) -> tuple[RunRecord, dict[Key, tuple[Miss, ...]]]:
    rest = set(agenda.keys()) - wanted
    misses: dict[Key, tuple[Miss, ...]] = {}
    with RunWriter(folder, record.manifest) as writer, closing(executed(agenda, rest, Purse())) as entries:
        for number, entry in enumerate(entries, start=1):
            writer.append(entry)
            misses[entry.diagnosis.key] = entry.misses
            watch(number, len(wanted))
    return (score(folder, scorers=rubric) if (rubric := _rubric(record)) else read_run(folder)), misses


def _compared(
    record: RunRecord,
    replayed: RunRecord,
    misses: Mapping[Key, tuple[Miss, ...]],
    left_out: dict[Key, str],
    notices: tuple[str, ...],
) -> Verification:
    again = {result.diagnosis.key: result for result in replayed.results}
    python_scorers = any(_is_python(entry) for entry in record.scorers.values())
    identical: list[Key] = []
    different: list[Difference] = []
    for result in record.results:
        key = result.diagnosis.key
        if key in left_out:
            continue
        what = tuple(_differences(result, again[key], forgiving=python_scorers))
        if not what:
            identical.append(key)
        elif late := _lateness(result.diagnosis):
            left_out[key] = late
        else:
            different.append(Difference(key=key, what=what, misses=misses[key]))
    compared = {*identical, *(difference.key for difference in different)}
    manifest = record.manifest
    return Verification(
        planned=sum(stamp.cases for stamp in manifest.datasets) * len(manifest.diagnosers) * manifest.attempts,
        scored=any(result.scores for result in record.results),
        identical=tuple(identical),
        different=tuple(different),
        left_out=left_out,
        misses=sum(len(found) for key, found in misses.items() if key in compared),
        notices=notices,
    )


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


def _lateness(diagnosis: Diagnosis) -> str | None:
    """Return what made it depend on how long things took, which a replay cannot repeat."""
    late = [trouble.value for trouble in _ABOUT_TIME if diagnosis.usage.troubles.get(trouble.value)]
    return f"it ran out of time ({', '.join(late)})" if late else None


def _differences(recorded: ScoredDiagnosis, replayed: ScoredDiagnosis, *, forgiving: bool) -> Iterator[str]:
    """Say what differs; `forgiving` passes over scores that only an object could give again."""
    before, now = repeatable(recorded), repeatable(replayed)
    for part in ("verdict", "failure", "usage"):
        yield from _differing(part, before["diagnosis"].get(part), now["diagnosis"].get(part))
    judged = {score.name for score in replayed.scores}
    scores, scores_now = (
        {score.name: to_plain(score) for score in one.scores if score.name in judged or not forgiving}
        for one in (recorded, replayed)
    )
    yield from _differing("score", scores, scores_now)


def _differing(path: str, before: object, now: object) -> Iterator[str]:
    if before == now:
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted({*before, *now}):
            yield from _differing(f"{path}.{name}", before.get(name), now.get(name))
        return
    yield f"{path}: the run has {_short(before)}, the replay {_short(now)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _notices(record: RunRecord, chosen: Mapping[str, Contestant]) -> tuple[str, ...]:
    manifest = record.manifest
    found = []
    if manifest.content_digest != agents_digest():
        found.append("the agents' content (prompts, teams) is not the one that the run was made with")
    now = declared(chosen)
    for label in sorted(chosen):
        found += _differing(f"what {label!r} declares", manifest.declared.get(label), now.get(label))
    for name, version in sorted(versions().items()):
        if manifest.versions.get(name, version) != version:
            found.append(f"{name} {version}, the run was made with {manifest.versions[name]}")
    lost = [label for label, entry in record.scorers.items() if _is_python(entry)]
    if lost:
        found.append(f"scorers defined in Python are left out: {', '.join(lost)}")
    if manifest.config.get("cassettes") == TapeMode.OFF:
        found.append("the run kept no cassettes")
    return tuple(found)
