"""Taxonomies and aliases: which file speaks about which dataset, and what is wrong with a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcabench.core.component import Level
from rcabench.core.errors import DataError
from rcabench.core.fault import FaultType
from rcabench.scoring.aliases import Aliases, parsed
from rcabench.scoring.content import ContentFile, everything, latest, newest, read
from rcabench.scoring.taxonomy import Taxonomy, choose


@pytest.mark.parametrize(
    ("label", "fault_type"),
    [
        ("exception", FaultType.CODE_EXCEPTION),
        ("return", FaultType.CODE_RETURN),
        ("cpu_contention", FaultType.CPU),
        ("cpu_consumed", FaultType.CPU),
        ("network_delay", FaultType.NETWORK_DELAY),
    ],
)
def test_nezhas_labels_have_these_fault_types(label: str, fault_type: FaultType) -> None:
    assert Taxonomy.of("nezha-onlineboutique-2022-08-22").canonical(label) == fault_type


def test_every_fault_type_stands_for_itself_in_every_taxonomy() -> None:
    for taxonomy in (Taxonomy.named(file.id) for file in everything("taxonomies")):
        assert [taxonomy.canonical(each.value) for each in FaultType] == list(FaultType), taxonomy.id


def test_the_synthetic_taxonomy_names_every_fault_type() -> None:
    assert set(Taxonomy.of("synthetic-small").labels) == set(FaultType)


def test_a_dataset_under_a_name_of_its_own_is_read_with_what_all_taxonomies_agree_on() -> None:
    taxonomy = Taxonomy.of("my-import")

    assert (taxonomy.id, taxonomy.canonical("cpu_contention")) == ("common", FaultType.CPU)
    assert taxonomy.unmapped(["cpu", "gremlins", None, "availability", "gnomes"]) == ("gnomes", "gremlins")


def test_a_taxonomy_is_found_by_id_name_and_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.v3.yaml"
    file.write_text("labels: {slow disk: disk_io}\n")

    assert {Taxonomy.named(name).id for name in ("petshop", "petshop.v1", "petshop.v1.yaml")} == {"petshop.v1"}
    assert Taxonomy.named(str(file)).canonical("slow disk") == FaultType.DISK_IO


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("mine.yaml", "labels: {a: cpu}", "carries no version"),
        ("mine.v1.yaml", "labels: [", "is no YAML"),
        ("mine.v1.yaml", "- a", "expected a mapping, got list"),
        ("mine.v1.yaml", "datasets: nezha\nlabels: {a: cpu}", "`datasets` is 'nezha'"),
        ("mine.v1.yaml", "datasets: [a]", "`labels` is None"),
        ("mine.v1.yaml", "labels: {a: cpu}\nlabel: {}", r"unknown key\(s\) \['label'\]"),
        ("mine.v1.yaml", "labels: {a: cpuu}", "unknown fault type 'cpuu'.*write one of cpu, memory"),
        ("mine.v1.yaml", "labels: {1: cpu}", "label 1 is no text"),
        ("mine.v1.yaml", "labels: {cpu: memory}", "'cpu' is itself a fault type"),
    ],
)
def test_a_bad_taxonomy_is_refused_with_file_and_fault(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(DataError, match=problem) as caught:
        Taxonomy.named(str(tmp_path / name))
    assert name in str(caught.value)


def test_a_taxonomy_knows_its_labels_and_the_fault_types() -> None:
    taxonomy = Taxonomy.named("nezha.v1")

    assert taxonomy.known >= {"return", "cpu", "database"}
    assert taxonomy.unmapped(taxonomy.known) == ()


def test_a_missing_taxonomy_file_is_refused() -> None:
    with pytest.raises(DataError, match="is missing"):
        Taxonomy.named("/nowhere/mine.v1.yaml")


def _files(folder: Path, **texts: str) -> tuple[ContentFile, ...]:
    for name, text in texts.items():
        (folder / f"{name.replace('_', '.')}.yaml").write_text(text)
    return tuple(read(file) for file in sorted(folder.glob("*.yaml")))


def test_labels_that_taxonomies_translate_differently_are_not_common(tmp_path: Path) -> None:
    files = _files(
        tmp_path, a_v1="labels: {slow: latency, both: cpu}", b_v1="labels: {slow: cpu, both: cpu, one: crash}"
    )

    taxonomy = choose("unclaimed", files)

    assert (taxonomy.id, taxonomy.unmapped(["slow", "both", "one"])) == ("common", ("slow",))


def test_two_taxonomies_that_claim_one_dataset_are_refused(tmp_path: Path) -> None:
    files = _files(tmp_path, a_v1="datasets: [x*]\nlabels: {a: cpu}", b_v1="datasets: [xy]\nlabels: {a: cpu}")

    assert choose("xz", files).id == "a.v1"
    with pytest.raises(DataError, match=r"b\.v1\.yaml.*'xy' is claimed by a\.v1\.yaml too"):
        choose("xy", files)


def test_the_highest_version_counts_and_ten_is_above_nine(tmp_path: Path) -> None:
    files = _files(tmp_path, a_v9="labels: {a: cpu}", a_v10="labels: {a: cpu}", b_v1="labels: {a: cpu}")

    assert [file.id for file in latest(files)] == ["a.v10", "b.v1"]


def test_every_content_file_can_be_read_and_no_dataset_is_claimed_twice() -> None:
    claimed = [pattern for file in newest("taxonomies") for pattern in file.datasets]

    assert len(claimed) == len(set(claimed)) > 0
    assert all(parsed(file) for file in everything("aliases"))


def test_an_alias_file_is_read_by_level(tmp_path: Path) -> None:
    file = tmp_path / "mine.v1.yaml"
    file.write_text("datasets: [mine]\nservice: {cart-svc: cart}\n")

    aliases = Aliases(by_level=parsed(read(file)))

    assert aliases.canonical(Level.SERVICE, "cart-svc ") == "cart"
    assert aliases.canonical(Level.POD, "cart-svc ") == "cart-svc"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: {a: b}", "unknown level 'services'"),
        ("service: [a]", r"`service` is \['a'\]"),
        ("service: {a: b, b: c}", r"\['a'\] lead to another alias"),
        ("service: {a: ''}", "both as text"),
    ],
)
def test_a_bad_alias_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "mine.v1.yaml"
    file.write_text(text)

    with pytest.raises(DataError, match=problem):
        parsed(read(file))
