"""Archives from elsewhere are unpacked below the target folder, or refused by name and reason."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from rcabench.core.errors import DataError
from rcabench.datasets.archive import Limits, opened


def tar_of(file: Path, *members: tarfile.TarInfo, content: bytes = b"x", mode: str = "w:xz") -> Path:
    with tarfile.open(file, mode) as archive:  # type: ignore[call-overload]  # the mode is a plain text here
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_of(file: Path, name: str, content: bytes = b"x", mode: int = stat.S_IFREG | 0o644) -> Path:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, content)
    return file


def test_a_folder_is_used_as_it_lies(tmp_path: Path) -> None:
    with opened(tmp_path) as folder:
        assert folder == tmp_path


@pytest.mark.parametrize("mode", ["w", "w:xz", "w:gz", "w:bz2"])
def test_a_tar_is_unpacked_whatever_its_compression_and_removed_afterwards(tmp_path: Path, mode: str) -> None:
    archive = tar_of(tmp_path / "data", member("a/b/", tarfile.DIRTYPE), member("a/b/c.csv"), content=b"1,2", mode=mode)

    with opened(archive) as folder:
        assert (folder / "a" / "b" / "c.csv").read_bytes() == b"1,2"
    assert not folder.exists()


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    with opened(zip_of(tmp_path / "data.zip", "a/b.csv", b"1,2")) as folder:
        assert (folder / "a" / "b.csv").read_bytes() == b"1,2"


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (member("../out.csv"), "leads out of the folder"),
        (member("a/../../out.csv"), "leads out of the folder"),
        (member("/etc/out.csv"), "absolute"),
        (member("C:/out.csv"), "absolute"),
        (member("..\\out.csv"), "not portable"),
        (member("a", tarfile.SYMTYPE, "/etc"), "a link"),
        (member("a", tarfile.LNKTYPE, "/etc/passwd"), "a link"),
        (member("a", tarfile.CHRTYPE), "a device"),
        (member("a", tarfile.FIFOTYPE), "a device"),
    ],
)
def test_a_hostile_member_of_a_tar_is_refused_and_nothing_escapes(
    tmp_path: Path, hostile: tarfile.TarInfo, reason: str
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = tar_of(inside / "data.tar.xz", hostile)

    with pytest.raises(DataError, match=reason) as caught, opened(archive):
        pass
    assert str(archive) in str(caught.value)
    assert repr(hostile.name) in str(caught.value)
    assert [path.name for path in tmp_path.rglob("out.csv")] == []


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("../out.csv", stat.S_IFREG | 0o644, "leads out of the folder"),
        ("/out.csv", stat.S_IFREG | 0o644, "absolute"),
        ("a", stat.S_IFLNK | 0o777, "a link or a device"),
    ],
)
def test_a_hostile_member_of_a_zip_is_refused(tmp_path: Path, name: str, mode: int, reason: str) -> None:
    with pytest.raises(DataError, match=reason), opened(zip_of(tmp_path / "data.zip", name, mode=mode)):
        pass


def test_a_second_member_at_the_same_path_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "data.tar", member("a"), member("a"), mode="w")

    with pytest.raises(DataError, match="there twice"), opened(archive):
        pass


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, kind: str) -> None:
    zeros = bytes(4 << 20)
    archive = tmp_path / f"bomb.{kind}"
    if kind == "zip":
        zip_of(archive, "zeros", zeros)
    else:
        tar_of(archive, member("zeros"), content=zeros, mode="w:gz")

    with (
        pytest.raises(DataError, match="unpacks to more than"),
        opened(archive, limits=Limits(ratio=100, free=1 << 20)),
    ):
        pass


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "data.tar", *(member(str(number)) for number in range(4)), mode="w")

    with pytest.raises(DataError, match="more than 3 members"), opened(archive, limits=Limits(members=3)):
        pass


@pytest.mark.parametrize("mode", ["w:xz", "w:gz", "w"])
def test_a_truncated_archive_is_refused_with_its_name(tmp_path: Path, mode: str) -> None:
    archive = tar_of(tmp_path / "data.tar", member("a"), content=bytes(range(256)) * 4000, mode=mode)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 2 // 3])

    with pytest.raises(DataError, match=r"data\.tar: cannot be unpacked"), opened(archive):
        pass


def test_what_is_no_archive_is_refused_with_what_would_be_right(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")

    with pytest.raises(DataError, match=r"is no \.tar .* and no \.zip"), opened(tmp_path / "notes.txt"):
        pass
    with pytest.raises(DataError, match="neither a folder nor a file"), opened(tmp_path / "missing"):
        pass


def test_a_fault_of_an_unpacked_file_is_told_by_the_name_of_the_archive(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "data.tar.xz", member("a/b.csv"))

    with pytest.raises(DataError) as raised, opened(archive) as folder:
        raise DataError(folder / "a" / "b.csv", "is faulty", row=7, remedy="mend it")
    assert str(raised.value) == f"{archive}/a/b.csv, row 7: is faulty (mend it)"

    with pytest.raises(DataError, match=r"^elsewhere\.csv: is faulty"), opened(archive):
        raise DataError("elsewhere.csv", "is faulty")
