"""Plug-ins are found, described, checked and built by name; whatever is wrong is said with what would be right."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.core.errors import PluginError
from rcabench.plugins import KINDS, Registry, Spec, _load_registry, did_you_mean

NAME = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
SCALAR = (
    st.integers(-99, 99) | st.booleans() | st.floats(-9, 9).map(lambda x: round(x, 3)) | NAME.map(lambda n: f"w{n}")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Picky:
    """Takes a size.

    More about it.
    """

    size: int
    color: str = "red"

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size {self.size!r} is negative")


class NoDataclass:
    pass


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group="rcabench.diagnosers")


@dataclass(frozen=True)
class Loaded:
    """Stands for an entry point whose object is at hand."""

    thing: Any
    name: str = "picky"
    value: str = "here:Picky"

    def load(self) -> Any:
        return self.thing


@pytest.fixture
def registry() -> Registry:
    entries: dict[str, Any] = {
        "picky": Loaded(thing=Picky),
        "plain": Loaded(thing=NoDataclass),
        "gone": entry("gone", "rcabench.no_such_module:Thing"),
        "absent": entry("absent", "rcabench.plugins:NoSuchThing"),
    }
    return Registry(kind="diagnosers", entries=MappingProxyType(entries))


@given(NAME, st.dictionaries(NAME, SCALAR, max_size=3))
def test_a_spec_survives_being_written_and_parsed(name: str, options: dict[str, Any]) -> None:
    spec = Spec(name=name, options={key: options[key] for key in options})
    assert Spec.parse(spec.label) == spec


@pytest.mark.parametrize("text", ["random:seed", "random:=3", "random:seed=1,oops"])
def test_an_option_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(PluginError, match="is not of the form option=value"):
        Spec.parse(text)


def test_a_spec_can_be_sent_to_another_process() -> None:
    spec = Spec(name="random", options={"seed": 3}, label="draw")
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_plugin_is_built_with_its_options(registry: Registry) -> None:
    assert registry.build(Spec(name="picky", options={"size": 3})) == Picky(size=3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(name="piky"), "unknown diagnosers plug-in 'piky'; did you mean 'picky'? There are: absent, gone"),
        (Spec(name="picky"), "needs the option 'size'"),
        (Spec(name="picky", options={"size": 1, "colour": "red"}), "no option 'colour'; did you mean 'color'?"),
        (Spec(name="picky", options={"size": -1}), "size -1 is negative"),
        (Spec(name="plain"), "is no dataclass; its fields are its options"),
        (Spec(name="gone"), "(rcabench.no_such_module:Thing) cannot be imported"),
        (Spec(name="absent"), "(rcabench.plugins:NoSuchThing) cannot be imported"),
    ],
)
def test_what_is_wrong_with_a_spec_is_said(registry: Registry, spec: Spec, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        registry.build(spec)
    assert message in str(caught.value)


def test_all_faults_of_a_spec_are_said_at_once(registry: Registry) -> None:
    assert len(registry.faults(Spec(name="picky", options={"colour": "red", "sise": 1}))) == 3


def test_an_unknown_kind_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(PluginError, match=r"unknown kind of plug-in 'diagnoser'; did you mean 'diagnosers'\?"):
        Registry.of("diagnoser")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Let a test say what is installed."""
    found: list[EntryPoint] = []
    monkeypatch.setattr("rcabench.plugins.entry_points", lambda group: tuple(found))
    _load_registry.cache_clear()
    yield found
    _load_registry.cache_clear()


def test_two_plugins_of_one_name_are_refused(installed: list[EntryPoint]) -> None:
    installed += [entry("mine", "one:Thing"), entry("mine", "other:Thing")]
    with pytest.raises(PluginError, match="two diagnosers plug-ins are called 'mine': one:Thing and other:Thing"):
        Registry.of("diagnosers")


def test_one_plugin_that_is_found_twice_is_one(installed: list[EntryPoint]) -> None:
    # A checkout beside its own wheel, for example.
    installed += [entry("mine", "one:Thing"), entry("mine", "one:Thing")]
    assert Registry.of("diagnosers").names() == ("mine",)


BUILT_IN = [(kind, name) for kind in KINDS for name in Registry.of(kind).names()]


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_every_installed_plugin_is_a_frozen_described_dataclass(kind: str, name: str) -> None:
    plugin = Registry.of(kind).get(name)
    assert is_dataclass(plugin)
    assert plugin.__dataclass_params__.frozen  # type: ignore[attr-defined]  # dataclasses keep it there, untyped
    assert all(field.kw_only for field in fields(plugin) if field.init)
    summary = Registry.of(kind).summary(name)
    assert summary.endswith(".")
    assert not summary.startswith(f"{plugin.__name__}(")


NEEDED_OPTIONS = {"llm": "model", "openrca_prompting": "model", "openrca_rca_agent": "model", "recorded": "answers"}


@pytest.mark.parametrize("name", Registry.of("diagnosers").names())
def test_every_installed_diagnoser_works_without_options_or_names_the_one_that_it_needs(name: str) -> None:
    faults = Registry.of("diagnosers").faults(Spec(name=name))
    if name in NEEDED_OPTIONS:
        assert faults == (f"diagnosers plug-in {name!r} needs the option {NEEDED_OPTIONS[name]!r}",)
    else:
        assert faults == ()


def test_without_anything_alike_there_is_no_guess() -> None:
    assert did_you_mean("zzz", ["alpha", "beta"]) == ". There are: alpha, beta"
    assert did_you_mean("zzz", []) == ". There are: none"
