"""Archives as their publishers offer them: which ones are safe to unpack, and how."""

from __future__ import annotations

import lzma
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from rcabench.core.errors import DataError

_CHUNK = 1 << 20
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much an archive may hold before it counts as a bomb.

    Attributes:
        members: files and folders.
        ratio: unpacked bytes per byte of the archive; telemetry as text reaches about 60.
        bytes: unpacked bytes in all.
        free: unpacked bytes that are let through whatever the ratio.
    """

    members: int = 200_000
    ratio: float = 400.0
    bytes: int = 64 << 30
    free: int = 64 << 20


DEFAULT_LIMITS = Limits()


@contextmanager
def opened(source: Path, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Path]:
    """Yield `source` if it is a folder, else a temporary folder with what its archive holds.

    The archive may be a `.tar`, compressed with xz, gzip or bzip2, or a `.zip`. Only regular files
    and folders below the target are ever written.

    Raises:
        DataError: there is nothing at `source`, it is no archive, it is damaged, or a member of it
            is hostile: an absolute path, a path with `..`, a link, a device, or too much data. One
            that is raised about an unpacked file names it by the archive.
    """
    source = Path(source)
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise DataError(source, "is neither a folder nor a file", remedy="check the path")
    with tempfile.TemporaryDirectory(prefix="rcabench-") as folder:
        unpack(source, Path(folder), limits=limits)
        try:
            yield Path(folder)
        except DataError as error:
            if not Path(error.file).is_relative_to(folder):
                raise
            # The temporary folder says nothing to the user, and is gone before he can look.
            file = source / Path(error.file).relative_to(folder)
            raise DataError(file, error.problem, row=error.row, remedy=error.remedy) from error


def unpack(source: Path, folder: Path, *, limits: Limits = DEFAULT_LIMITS) -> None:
    """Write the files of an archive into an existing folder.

    Raises:
        DataError: as `opened`.
    """
    unpacking = _Unpacking(source=source, folder=folder, limits=limits)
    try:
        if zipfile.is_zipfile(source):
            _unpack_zip(unpacking)
        else:
            _unpack_tar(unpacking)
    except _DAMAGE as error:
        raise DataError(source, f"cannot be unpacked: {error}", remedy="download it again") from error


@dataclass(kw_only=True, slots=True)
class _Unpacking:
    source: Path
    folder: Path
    limits: Limits
    members: int = 0
    written: int = 0
    _made: set[Path] = field(default_factory=set)

    def place(self, name: str) -> Path:
        """Return where a member belongs, having refused every name that leads elsewhere."""
        self.members += 1
        if self.members > self.limits.members:
            raise self.refusal(name, f"it is one of more than {self.limits.members:,} members")
        path = PurePosixPath(name)
        if "\\" in name or "\0" in name or path.is_absolute() or (path.parts and path.parts[0].endswith(":")):
            raise self.refusal(name, "its path is absolute or not portable")
        if ".." in path.parts:
            raise self.refusal(name, "its path leads out of the folder")
        return self.folder.joinpath(*path.parts)

    def make_folder(self, target: Path) -> None:
        if target not in self._made:
            target.mkdir(parents=True, exist_ok=True)
            self._made.add(target)

    def write(self, name: str, target: Path, stream: IO[bytes]) -> None:
        self.make_folder(target.parent)
        if target.exists():
            raise self.refusal(name, "it is there twice")
        allowed = min(self.limits.bytes, max(self.limits.free, self.limits.ratio * self.source.stat().st_size))
        with target.open("wb") as file:
            while chunk := stream.read(_CHUNK):
                self.written += len(chunk)
                if self.written > allowed:
                    raise self.refusal(name, f"the archive unpacks to more than {int(allowed):,} bytes")
                file.write(chunk)

    def refusal(self, name: str, reason: str) -> DataError:
        return DataError(self.source, f"member {name!r} is refused: {reason}", remedy="get it from its publisher")


def _unpack_tar(unpacking: _Unpacking) -> None:
    try:
        archive = tarfile.open(unpacking.source, mode="r:*")  # noqa: SIM115 (closed by the with below)
    except tarfile.ReadError as error:
        raise DataError(
            unpacking.source, "is no .tar (plain, .xz, .gz, .bz2) and no .zip", remedy="give a folder or an archive"
        ) from error
    with archive:
        for member in archive:
            target = unpacking.place(member.name)
            if member.isdir():
                unpacking.make_folder(target)
            elif member.isreg():
                stream = archive.extractfile(member)
                if stream is not None:
                    unpacking.write(member.name, target, stream)
            else:
                kind = "a link" if member.issym() or member.islnk() else "a device or pipe"
                raise unpacking.refusal(member.name, f"it is {kind}")


def _unpack_zip(unpacking: _Unpacking) -> None:
    with zipfile.ZipFile(unpacking.source) as archive:
        for member in archive.infolist():
            target = unpacking.place(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.flag_bits & 0x1:
                raise unpacking.refusal(member.filename, "it is encrypted")
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise unpacking.refusal(member.filename, "it is a link or a device")
            if member.is_dir():
                unpacking.make_folder(target)
            else:
                with archive.open(member) as stream:
                    unpacking.write(member.filename, target, stream)
