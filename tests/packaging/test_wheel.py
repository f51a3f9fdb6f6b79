"""The wheel holds the engine and its content, nothing else, and works where there is no checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT = ("datasets", "agents", "scoring", "configs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="building a wheel without a package index needs hatchling installed")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` of a fresh environment with the wheel; its dependencies come from this one."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    # Appended by a .pth file, so that what is installed here comes first, as in any environment.
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    target = ["--prefix", str(folder), "--no-deps", "--no-index", "--ignore-installed", "--no-warn-script-location"]
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *target, wheel], capture_output=True, text=True, check=True)
    return folder / "bin"


def run(program: Path, *arguments: str, cwd: Path) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_claims_one_import_name(names: list[str]) -> None:
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"rcabench"}


def test_the_wheel_holds_all_content_and_no_other_files(names: list[str]) -> None:
    tracked = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "--cached", "--others", "--exclude-standard", *CONTENT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tracked.returncode != 0:
        pytest.skip("this is no git checkout, so nobody knows which files belong to it")
    expected = {name for name in tracked.stdout.splitlines() if (REPOSITORY / name).is_file()}
    inside = {name.removeprefix("rcabench/_content/") for name in names if name.startswith("rcabench/_content/")}
    assert inside == expected
    assert {name.split("/")[0] for name in inside} == set(CONTENT)


def test_the_wheel_holds_the_type_marker_the_licence_and_no_tests(names: list[str]) -> None:
    assert "rcabench/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("test_" in name or name.endswith((".pyc", ".parquet", ".csv")) for name in names)


def test_an_editable_installation_copies_nothing_out_of_the_checkout(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="what an editable installation holds is hatchling's to say")
    code = "import sys; from hatchling.build import build_editable; print(build_editable(sys.argv[1]))"
    built = run(Path(sys.executable), "-c", code, str(tmp_path), cwd=REPOSITORY).split()[-1]
    with zipfile.ZipFile(tmp_path / built) as archive:
        kept = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert kept == ["_rcabench_eval.pth"]
        assert archive.read(kept[0]).decode().strip() == str(REPOSITORY)


def test_an_installed_wheel_finds_its_commands_plugins_and_content(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import rcabench; print(rcabench.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "rcabench run quickstart" in run(installed / "rcabench", "--help", cwd=tmp_path)
    assert "statistical" in run(installed / "rcabench", "plugins", "diagnosers", cwd=tmp_path)
    assert "demo" in run(installed / "rcabench", "datasets", "list", cwd=tmp_path)
    content = run(
        installed / "python", "-c", "from rcabench.config import embedded_configs as e; print(*e())", cwd=tmp_path
    )
    assert content.split() == sorted(file.stem for file in (REPOSITORY / "configs").glob("*.yaml"))


def test_an_installed_wheel_runs_an_experiment(installed: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    output = run(
        installed / "rcabench", "run", "quickstart", "-d", str(tiny_dataset), "-x", "prior", "-x", "statistical",
        "--limit", "1", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert "service.AC@1" in output
    assert '"commit"' not in (tmp_path / "run" / "manifest.json").read_text()


def test_constraints_are_names_and_versions_only() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert len(pinned) > 20
    for line in pinned:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+", line), line


def test_every_dependency_is_constrained_to_a_version_that_it_may_have() -> None:
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    written = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    wanted = [requirement for requirement in map(Requirement, written) if requirement.name != project["name"]]
    text = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in text.splitlines() if "==" in line and not line.startswith("#"))
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    for requirement in wanted:
        pinned = pins[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.specifier.contains(pinned, prereleases=True), requirement


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "pyproject.toml", "constraints.txt", "README.md"])
def test_no_file_of_the_build_names_a_package_index_or_a_machine(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    assert not re.search(r"--[a-z-]*index|--find-links|/home/|/root/", text)


@pytest.mark.parametrize(
    ("user", "tools", "installs"),
    [(0, ["apt-get"], True), (1000, ["apt-get"], False), (0, [], False), (0, ["apt-get", "chromium"], False)],
    ids=["fresh", "no root", "no apt-get", "browser there"],
)
def test_ci_asks_for_a_browser_where_it_may_and_goes_on_without_one(
    tmp_path: Path, user: int, tools: list[str], installs: bool
) -> None:
    programs = {"id": f"echo {user}", "make": f'echo "$@" >>{tmp_path}/made', **dict.fromkeys(tools, "exit 100")}
    if "apt-get" in tools:
        programs["apt-get"] = f'echo "$1" >>{tmp_path}/asked; [ "$1" = update ]'
    for name, line in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("bash", "sh", "dirname", "timeout"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    done = subprocess.run([REPOSITORY / ".ci" / "run"], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    asked = tmp_path / "asked"
    assert (asked.read_text().split() if asked.exists() else []) == (["update", "install"] if installs else [])
    assert ("chromium could not be installed" in done.stdout) == installs
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "made").read_text().splitlines()
    assert [line.split()[-1] for line in made] == ["test", "lint", "types", "layers"]
