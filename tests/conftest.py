"""What all tests share: a clean environment, a fixed seed for property tests, and the shared real data."""

from __future__ import annotations

import fcntl
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where datasets that are generated on first use lie during this test session."""
    return tmp_path_factory.mktemp("data-root")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, data_root: Path) -> Iterator[None]:
    """No test reads the user's datasets, zone, width of terminal or credentials."""
    for name in [name for name in os.environ if name.startswith(("RCABENCH_", "OPENAI_", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RCABENCH_DATA", str(data_root))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    yield


@pytest.fixture(scope="session")
def shared_archive() -> Callable[[str], Path]:
    """Return the unpacked folder of an archive of real incidents, or skip the test where it is absent."""

    def unpacked(name: str) -> Path:
        archive = SHARED_DATA / f"{name}.tar.xz"
        if not archive.is_file():
            pytest.skip(f"the real data is absent: there is no ../shared/data/{archive.name} beside this checkout")
        cache = Path(tempfile.gettempdir()) / f"rcabench-test-data-{os.getuid()}"
        cache.mkdir(mode=0o700, exist_ok=True)
        stamp = archive.stat()
        target = cache / f"{name}-{stamp.st_size}-{stamp.st_mtime_ns}"
        # Several workers of pytest-xdist may want the same archive: the first unpacks, the others wait.
        with (cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                with tempfile.TemporaryDirectory(dir=cache) as partial:
                    with tarfile.open(archive) as tar:
                        tar.extractall(partial, filter="data")
                    (Path(partial) / name).rename(target)
        return target

    return unpacked
