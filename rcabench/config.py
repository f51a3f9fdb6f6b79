"""An experiment file as a validated plan; every fault of the file is reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rcabench.agents.base import Scrutable
from rcabench.core.content import content_folder
from rcabench.core.digest import digest_plain
from rcabench.core.errors import ConfigError, PluginError, RcabenchError
from rcabench.core.session import TapeMode, Tracing
from rcabench.core.spending import Spending
from rcabench.plugins import Registry, Spec, did_you_mean
from rcabench.strict_yaml import read_mapping
from rcabench.telemetry.replay import Budget

NO_LIMIT = Budget()
UNLIMITED = Spending()
PLAIN = Tracing()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Which diagnosers answer which incidents, and under what conditions.

    Attributes:
        name: of the experiment; the default run folder is called after it.
        datasets: names or folders, in the order of the report.
        diagnosers: with distinct labels, in the order of the report.
        scorers: how verdicts are judged; they can be changed later without running again.
        onset_given: whether diagnosers are told when the fault began, where the dataset knows it.
        attempts: per case and diagnoser.
        seed: of everything random.
        budget: per diagnosis.
        timeout_seconds: wall time per diagnosis; None for no limit.
        jobs: worker processes; no result depends on it.
        concurrency: diagnoses in flight at once, of diagnosers that wait for models.
        cassettes: what becomes of calls to models.
        spending: what the models of one diagnosis may cost.
        total_usd: what all diagnoses may cost together; none is begun that there is no money for. None for no limit.
        tracing: what agents' spans carry.
        cases: ids of the cases to take; empty for all.
        limit: take the first so many of them from each dataset; None for all.
    """

    name: str
    datasets: tuple[str, ...]
    diagnosers: tuple[Spec, ...]
    scorers: tuple[Spec, ...]
    onset_given: bool = True
    attempts: int = 1
    seed: int = 0
    budget: Budget = NO_LIMIT
    timeout_seconds: float | None = 600.0
    jobs: int = 1
    concurrency: int = 1
    cassettes: TapeMode = TapeMode.AUTO
    spending: Spending = UNLIMITED
    total_usd: float | None = None
    tracing: Tracing = PLAIN
    cases: tuple[str, ...] = ()
    limit: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return what the record keeps of it."""
        plain = asdict(self)
        plain["diagnosers"] = [spec.to_entry() for spec in self.diagnosers]
        plain["datasets"], plain["cases"] = list(self.datasets), list(self.cases)
        plain["scorers"] = [spec.to_plain() for spec in self.scorers]
        plain["cassettes"] = self.cassettes.value
        return plain

    def digest(self) -> str:
        """Return the SHA-256 of all that decides which diagnoses are made and how.

        The datasets have digests of their own, wherever they lie. Scorers and the name change no diagnosis, nor
        does how many are made at once, where their models' answers come from, what is written down of their work,
        or when a run stops to be gone on with later.
        """
        return digest_of_plan(self.to_plain())


_DECIDES_NO_DIAGNOSIS = ("name", "datasets", "scorers", "jobs", "concurrency", "cassettes", "total_usd", "tracing")


def digest_of_plan(plain: Mapping[str, Any]) -> str:
    """Return the digest of a plan (see `Plan.digest`) that a record keeps as plain data."""
    return digest_plain({key: plain[key] for key in sorted(plain) if key not in _DECIDES_NO_DIAGNOSIS})


def load_plan(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Read an experiment file, or one that comes with rcabench, into a plan.

    Args:
        source: path of a YAML file, or the name of an embedded experiment such as `quickstart`.
        overrides: keys of the file to replace, as if they were written there.

    Raises:
        ConfigError: with every fault of the file and of the overrides.
    """
    file = _config_file(source)
    plain = read_mapping(file, such_as="datasets, diagnosers")
    replaced = f", {' and '.join(sorted(overrides))} replaced" if overrides else ""
    return plan_from({"name": file.stem, **plain, **(overrides or {})}, source=f"{file}{replaced}")


def plan_from(plain: Mapping[str, Any], *, source: str, objects: Sequence[Spec] = ()) -> Plan:
    """Validate the content of an experiment file.

    Args:
        plain: as read from YAML.
        source: what error messages call it.
        objects: what stands for diagnosers that are no plug-ins, such as functions.

    Raises:
        ConfigError: with every fault.
    """
    faults = [
        *_shape_faults(plain),
        *_plugin_faults(plain.get("diagnosers"), "diagnosers", _limits(plain)),
        *_plugin_faults(plain.get("scorers"), "scorers"),
        *_repeated_labels(plain.get("diagnosers"), objects),
        *_dataset_faults(plain.get("datasets"), plain.get("cases")),
        *_tracing_faults(plain.get("tracing")),
    ]
    if not plain.get("diagnosers") and not objects:
        faults.append("diagnosers: name at least one")
    if faults:
        raise ConfigError(source, faults)
    model = _Experiment.model_validate(plain)
    return Plan(
        name=model.name,
        datasets=tuple(model.datasets),
        diagnosers=(*(entry.spec() for entry in model.diagnosers), *objects),
        scorers=tuple(entry.spec() for entry in model.scorers) or all_scorers(),
        onset_given=model.onset == "given",
        attempts=model.attempts,
        seed=model.seed,
        budget=Budget(queries=model.budget.queries, rows=model.budget.rows, seconds=model.budget.seconds),
        timeout_seconds=model.timeout_seconds,
        jobs=model.jobs,
        concurrency=model.concurrency,
        cassettes=TapeMode(model.cassettes),
        spending=model.spending.limits(),
        total_usd=model.total_usd,
        tracing=Tracing(**dict(model.tracing)),
        cases=tuple(sorted(set(model.cases))),
        limit=model.limit,
    )


def all_scorers() -> tuple[Spec, ...]:
    """Return every installed scorer with its default options."""
    return tuple(Spec(name=name) for name in Registry.of("scorers").names())


def embedded_configs() -> tuple[str, ...]:
    """Return the names of the experiments that come with rcabench, sorted."""
    return tuple(sorted(file.stem for file in content_folder("configs").glob("*.yaml")))


def _as_entry(written: object) -> object:
    """Take `name:option=value` for a plug-in with options."""
    if not isinstance(written, str):
        return written
    try:
        spec = Spec.parse(written)
    except (PluginError, yaml.YAMLError) as error:
        raise ValueError(str(error)) from None
    return {"name": spec.name, "options": dict(spec.options), "label": spec.label}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _PluginEntry(_Section):
    name: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = {}
    label: str = ""

    def spec(self) -> Spec:
        return Spec(name=self.name, options=self.options, label=self.label)


_Money = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _BudgetSection(_Section):
    queries: Annotated[int, Field(ge=1)] | None = None
    rows: Annotated[int, Field(ge=1)] | None = None
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class _SpendingSection(_Section):
    calls: Annotated[int, Field(ge=1)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    usd: _Money | None = None
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    def limits(self) -> Spending:
        return Spending(calls=self.calls, tokens=self.tokens, usd=self.usd, seconds=self.seconds)


class _TracingSection(_Section):
    content: bool = False
    tenant: Annotated[str, Field(min_length=1)] | None = None
    project: Annotated[str, Field(min_length=1)] | None = None
    otlp: bool = False


_Cassettes = Annotated[
    Literal["auto", "record", "replay", "off"],
    # YAML reads a bare `off` as false.
    BeforeValidator(lambda written: "off" if written is False else written),
]
_Entry = Annotated[_PluginEntry, BeforeValidator(_as_entry)]


class _Experiment(_Section):
    name: Annotated[str, Field(min_length=1, pattern=r"^[\w.-]+$")]
    datasets: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    diagnosers: list[_Entry] = []
    scorers: list[_Entry] = []
    onset: Literal["given", "hidden"] = "given"
    attempts: Annotated[int, Field(ge=1)] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    budget: _BudgetSection = _BudgetSection()
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 600.0
    jobs: Annotated[int, Field(ge=1)] = 1
    concurrency: Annotated[int, Field(ge=1)] = 1
    cassettes: _Cassettes = "auto"
    spending: _SpendingSection = _SpendingSection()
    total_usd: _Money | None = None
    tracing: _TracingSection = _TracingSection()
    cases: list[str] = []
    limit: Annotated[int, Field(ge=1)] | None = None


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "": _Experiment, "budget": _BudgetSection, "diagnosers": _PluginEntry, "scorers": _PluginEntry,
    "spending": _SpendingSection, "tracing": _TracingSection,
}  # fmt: skip


def _shape_faults(plain: Mapping[str, Any]) -> Iterator[str]:
    try:
        _Experiment.model_validate(plain)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False):
            yield _explained(problem["loc"], problem["type"], problem["msg"], problem["input"])


def _explained(path: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    if kind == "missing":
        return f"{where}: is missing"
    if kind == "extra_forbidden":
        section = _SECTIONS[str(path[0]) if len(path) > 1 else ""]
        return f"{where}: unknown key{did_you_mean(str(path[-1]), section.model_fields)}"
    message = message.removeprefix("Value error, ")
    return f"{where}: {message[:1].lower()}{message[1:]}, not {value!r}"


def _well_formed_entries(written: object, key: str) -> Iterator[tuple[str, Spec]]:
    """Yield path and spec of each plug-in that can be read; `_shape_faults` speaks of the others."""
    for position, item in enumerate(written if isinstance(written, list | tuple) else ()):
        try:
            yield f"{key}[{position}]", _PluginEntry.model_validate(_as_entry(item)).spec()
        except ValueError:
            continue


def _plugin_faults(written: object, kind: str, spending: Spending | None = None) -> Iterator[str]:
    for path, spec in _well_formed_entries(written, kind):
        yield from (f"{path}: {fault}" for fault in _build_faults(spec, kind, spending))


def _build_faults(spec: Spec, kind: str, spending: Spending | None) -> Sequence[str]:
    """Return what is wrong with a plug-in's name, options, or the values of its options.

    Where it is to spend something, what it has to say about that itself is among it.
    """
    registry = Registry.of(kind)
    found = registry.faults(spec)
    if found:
        return found
    try:
        built = registry.build(spec)
        return tuple(built.faults(spending)) if spending is not None and isinstance(built, Scrutable) else ()
    except RcabenchError as error:
        return (str(error),)


def _tracing_faults(written: object) -> Iterator[str]:
    if isinstance(written, Mapping) and written.get("otlp") is True:
        from rcabench.agents.llm.tracing.spans import require_otlp

        try:
            require_otlp()
        except PluginError as error:
            yield f"tracing.otlp: {error}"


def _limits(plain: Mapping[str, Any]) -> Spending | None:
    """Return what a diagnosis may cost, as far as it can be read; `_shape_faults` speaks of the rest.

    None for a replay, which spends nothing: it needs neither prices nor keys.
    """
    if plain.get("cassettes") == TapeMode.REPLAY:
        return None
    try:
        spending = _SpendingSection.model_validate(plain.get("spending", {})).limits()
    except ValidationError:
        spending = UNLIMITED
    total = plain.get("total_usd")
    if spending.usd is None and isinstance(total, int | float) and not isinstance(total, bool):
        return replace(spending, usd=float(total))
    return spending


def _repeated_labels(written: object, objects: Sequence[Spec]) -> Iterator[str]:
    seen = {spec.label: "an object" for spec in objects}
    for path, spec in _well_formed_entries(written, "diagnosers"):
        if spec.label in seen:
            yield f"{path}: label {spec.label!r} is taken by {seen[spec.label]}; give one of them another label"
        seen.setdefault(spec.label, path)


def _dataset_faults(written: object, cases: object) -> Iterator[str]:
    from rcabench.datasets.catalog import find_dataset

    seen: dict[str, str] = {}
    ids: set[str] = set()
    for position, name in enumerate(written if isinstance(written, list | tuple) else ()):
        if not isinstance(name, str) or not name:
            continue
        path = f"datasets[{position}]"
        try:
            dataset = find_dataset(name)
        except RcabenchError as error:
            yield f"{path}: {error}"
            continue
        if not dataset.cases:
            yield f"{path}: {name!r} holds no case"
        if dataset.name in seen:
            yield f"{path}: {name!r} is the dataset {dataset.name!r}, which {seen[dataset.name]} names already"
        seen.setdefault(dataset.name, path)
        ids |= {case.incident.id for case in dataset.cases}
    for position, case in enumerate(cases if isinstance(cases, list | tuple) else ()):
        if isinstance(case, str) and case not in ids:
            yield f"cases[{position}]: no dataset of this experiment has a case {case!r}"


def _config_file(source: str | Path) -> Path:
    file = Path(source)
    if file.is_file():
        return file
    embedded = content_folder("configs") / f"{source}.yaml"
    if file.name == str(source) and embedded.is_file():
        return embedded
    known = embedded_configs()
    raise ConfigError(str(source), [f"no such file, and no embedded experiment{did_you_mean(str(source), known)}"])
