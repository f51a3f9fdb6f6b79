"""Datasets are found by folder, by name and as packs; what cannot be found says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rcabench.core.content import content_folder
from rcabench.core.errors import DataError, DatasetNotFound
from rcabench.datasets import catalog
from rcabench.datasets.catalog import Kind, catalogue, data_root, find_dataset, pack_names
from rcabench.datasets.synthetic import Synthetic
from rcabench.datasets.writer import DatasetWriter

TINY = {"services": 10, "incidents": 1, "healthy": 0, "window_minutes": 2}


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A content folder with one small pack, and an empty data root."""
    folder = tmp_path / "content" / "packs"
    folder.mkdir(parents=True)
    (folder / "mini.yaml").write_text(
        yaml.safe_dump({"adapter": "synthetic", "card": "synthetic", "cases": 1, "title": "Mini", "options": TINY})
    )
    monkeypatch.setattr(catalog, "content_folder", lambda _: folder.parent)
    monkeypatch.setenv("RCABENCH_DATA", str(tmp_path / "data"))
    return folder


def write_dataset(folder: Path, *, card: str = "synthetic") -> None:
    with DatasetWriter.create(folder, name=folder.name, card=card, importer={}) as writer:
        Synthetic(**TINY).convert(None, writer)
        writer.finish()


def test_the_data_root_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCABENCH_DATA", str(tmp_path))

    assert data_root() == tmp_path


def test_the_data_root_lies_in_the_cache_folder_of_the_xdg_specification(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RCABENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert data_root() == tmp_path / "rcabench" / "datasets"


@pytest.mark.parametrize("value", ["", "relative/cache"])
def test_a_cache_folder_that_is_no_absolute_path_is_ignored(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.delenv("RCABENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", value)

    assert data_root() == Path.home() / ".cache" / "rcabench" / "datasets"


def test_a_dataset_is_found_by_its_folder_and_by_its_name(packs: Path, tmp_path: Path) -> None:
    write_dataset(data_root() / "mine")

    assert find_dataset(str(data_root() / "mine")).name == "mine"
    assert find_dataset("mine").folder == data_root() / "mine"


def test_a_folder_wins_over_a_name_and_an_imported_dataset_over_a_pack(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(data_root() / "mini")
    assert find_dataset("mini").folder == data_root() / "mini"

    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "mini")
    assert find_dataset("mini").folder.resolve() == tmp_path / "mini"


def test_a_folder_that_only_shares_its_name_with_a_pack_is_no_obstacle(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mini").mkdir()
    monkeypatch.chdir(tmp_path)

    assert find_dataset("mini").name == "mini"


def test_a_pack_is_generated_once(packs: Path) -> None:
    first = find_dataset("mini")
    written = (first.folder / "dataset.yaml").stat().st_mtime_ns
    again = find_dataset("mini")

    assert len(first.cases) == 1
    assert first.manifest["card"] == "synthetic"
    assert again.folder == first.folder
    assert (again.folder / "dataset.yaml").stat().st_mtime_ns == written


def test_a_changed_pack_version_or_generator_is_generated_anew(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {catalog._pack_folder("mini", catalog._read_pack("mini"))}
    pack = yaml.safe_load((packs / "mini.yaml").read_text())
    folders.add(catalog._pack_folder("mini", {**pack, "options": {**TINY, "seed": 9}}))
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "__version__", "99.0")
        folders.add(catalog._pack_folder("mini", pack))
    monkeypatch.setattr(Synthetic, "generator", "another")
    folders.add(catalog._pack_folder("mini", pack))

    assert len(folders) == 4


def test_remains_of_a_killed_generation_are_removed(packs: Path) -> None:
    folder = catalog._pack_folder("mini", catalog._read_pack("mini"))
    remains = folder.parent / f".{folder.name}.partial-x1"
    (remains / "work").mkdir(parents=True)

    find_dataset("mini")

    assert not remains.exists()


_FIND = """
import sys
from pathlib import Path
from rcabench.datasets import catalog
setattr(catalog, "content_folder", lambda name: Path(sys.argv[1]))
folder = catalog.find_dataset("mini").folder
print(folder, (folder / "dataset.yaml").stat().st_ino)
"""


def test_two_processes_that_need_a_pack_at_once_generate_it_once(packs: Path) -> None:
    command = [sys.executable, "-c", _FIND, str(packs.parent)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [process.communicate(timeout=60)[0] for process in running]

    assert [process.returncode for process in running] == [0, 0]
    assert len(set(found)) == 1


def test_a_faulty_pack_is_refused_with_its_file(packs: Path) -> None:
    (packs / "odd.yaml").write_text("adapter: synthetic\nkard: synthetic\n")

    with pytest.raises(DataError, match=r"odd\.yaml: a pack has the keys .*'kard'"):
        find_dataset("odd")


def test_a_pack_of_an_unknown_adapter_is_refused_with_its_file(packs: Path) -> None:
    (packs / "odd.yaml").write_text("adapter: syntetic\ncard: synthetic\n")

    with pytest.raises(DataError, match=r"odd\.yaml: unknown datasets plug-in 'syntetic'; did you mean 'synthetic'"):
        find_dataset("odd")


def test_a_data_root_that_cannot_be_written_is_named_with_a_way_out(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RCABENCH_DATA", str(tmp_path / "file"))

    with pytest.raises(DataError, match="set RCABENCH_DATA"):
        find_dataset("mini")


def test_an_unknown_name_is_met_with_the_nearest_one_and_what_to_do(packs: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"'minni'; did you mean 'mini'\?.*rcabench datasets import"):
        find_dataset("minni")


def test_a_folder_without_a_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"without dataset\.yaml"):
        find_dataset(tmp_path)


def test_a_folder_that_does_not_exist_is_said_not_to(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="does not exist"):
        find_dataset(tmp_path / "nowhere")


def test_the_name_of_a_card_without_data_tells_how_to_get_it(packs: Path) -> None:
    with pytest.raises(DatasetNotFound, match="rcabench datasets import synthetic --out"):
        find_dataset("synthetic")


@pytest.mark.parametrize("text", ["", "..", ".packs", "../data/mine", "~"])
def test_a_name_never_leads_out_of_the_data_root(packs: Path, text: str) -> None:
    write_dataset(data_root() / "mine")

    with pytest.raises(DatasetNotFound):
        find_dataset(text)


def test_the_catalogue_lists_imports_packs_and_cards_without_generating_anything(packs: Path) -> None:
    write_dataset(data_root() / "mine", card="unheard-of")
    entries = {entry.name: entry for entry in catalogue()}

    mine, mini = entries["mine"], entries["mini"]
    assert (mine.kind, mine.cases, mine.licence, mine.where) == (Kind.IMPORTED, 1, None, data_root() / "mine")
    assert (mini.kind, mini.cases, mini.licence, mini.where) == (Kind.PACK, 1, "CC0-1.0", None)
    assert not (data_root() / ".packs").exists()
    assert "synthetic" not in entries

    find_dataset("mini")
    where = {entry.name: entry.where for entry in catalogue()}
    assert where["mini"] is not None


def test_every_embedded_pack_says_how_many_cases_it_has_and_has_them() -> None:
    assert content_folder("datasets").is_dir()
    for name in pack_names():
        entry = next(entry for entry in catalogue() if entry.name == name)

        assert len(find_dataset(name).cases) == entry.cases
