"""The command line says in one message what is wrong, prints what can be piped, and starts without a wait."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rcabench import __version__
from rcabench.cli.app import app

Invoke = Callable[..., Any]

COMMANDS = ("run", "plan", "verify", "score", "report", "compare", "plugins", "doctor")
DATASET_COMMANDS = ("list", "show", "import", "lint")
HEAVY = (
    "pandas",
    "numpy",
    "pyarrow",
    "duckdb",
    "autogen_agentchat",
    "sklearn",
    "scipy",
    "networkx",
    "pydantic",
    "yaml",
)


@pytest.fixture
def rcabench() -> Invoke:
    def invoke(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="rcabench")

    return invoke


@pytest.fixture(scope="module")
def run_folder(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "floors"
    arguments = ["run", "quickstart", "-d", str(tiny_dataset), "-x", "random", "-x", "loudest", "--out", str(folder)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder


def help_process(*statements: str) -> subprocess.CompletedProcess[str]:
    code = "; ".join(["import sys", "sys.argv = ['rcabench', '--help']", *statements])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_help_imports_nothing_heavy() -> None:
    after = f"print('HEAVY', sorted(set(sys.modules) & set({HEAVY!r})))"
    call = "exec('try: main()\\nexcept SystemExit: pass')"
    output = help_process("from rcabench.cli import main", call, after).stdout
    assert "Commands:" in output
    assert "HEAVY []" in output


def test_help_takes_at_most_150_ms_of_processor() -> None:
    # Wall time would measure how busy this machine is with other tests.
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        help_process("from rcabench.cli import main", "main()")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) <= 0.15


def test_importing_rcabench_imports_nothing_heavy() -> None:
    code = f"import sys, rcabench; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("command", [(name,) for name in COMMANDS] + [("datasets", name) for name in DATASET_COMMANDS])
def test_every_command_explains_itself_with_an_example(rcabench: Invoke, command: tuple[str, ...]) -> None:
    result = rcabench(*command, "--help")
    assert result.exit_code == 0
    assert f"  rcabench {' '.join(command)}" in result.stdout


def test_no_summary_of_a_command_is_cut_off(rcabench: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "..." not in rcabench("--help").stdout.partition("Commands:")[2]
    assert "..." not in rcabench("datasets", "--help").stdout.partition("Commands:")[2]


def test_the_version_is_printed_alone(rcabench: Invoke) -> None:
    assert rcabench("--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "quikstart"), "did you mean 'quickstart'?"),
        (("run", "quickstart", "-d", "{tiny}", "-x", "randm"), "did you mean 'random'?"),
        (("run", "quickstart", "-d", "{tmp}"), "no dataset"),
        (("score", "{tmp}"), "is no run folder: it has no manifest.json"),
        (("report", "{tmp}"), "is no run folder"),
        (("report", "{run}", "--format", "pdf"), "unknown reporters plug-in 'pdf'"),
        (("report", "{run}", "--out", "{tmp}/file.txt/below.txt"), "{tmp}/file.txt: File exists"),
        (("compare", "{run}::random", "{run}::nobody"), "no diagnoser 'nobody'"),
        (("plugins", "gadgets"), "unknown kind of plug-in 'gadgets'"),
        (("datasets", "show", "nothing"), "no dataset is called 'nothing'"),
        (("datasets", "import", "nezhha", "--out", "{tmp}/new"), "did you mean 'nezha'?"),
        (("datasets", "import", "nezha", "{tmp}", "--out", "{tmp}/new"), "{tmp}"),
        (("datasets", "import", "synthetic", "--out", "{tmp}/new", "-o", "servces=3"), "did you mean 'services'?"),
    ],
)
def test_a_mistake_is_answered_with_one_message_and_exit_code_2(
    rcabench: Invoke, tiny_dataset: Path, run_folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file.txt").write_text("")
    names = {"tiny": str(tiny_dataset), "run": str(run_folder), "tmp": str(tmp_path)}
    result = rcabench(*(argument.format(**names) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("rcabench: ")
    assert message.format(**names) in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_debug_shows_where_an_error_came_from(rcabench: Invoke, tmp_path: Path) -> None:
    result = rcabench("--debug", "score", tmp_path)
    assert type(result.exception).__name__ == "RecordError"


def test_a_run_prints_the_leaderboard_and_what_to_type_next(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path
) -> None:
    result = rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "prior", "--limit", 2, "--out", tmp_path / "run")
    assert result.exit_code == 0
    assert "service.AC@1" in result.stdout
    assert f"rcabench report {tmp_path / 'run'} --format html" in result.stdout
    assert result.stderr == "0/2 diagnoses\n1/2 diagnoses\n2/2 diagnoses\n"


@pytest.mark.parametrize(
    ("total", "said"),
    [
        (2, [0, 1, 2]),
        (7, [0, 1, 2, 3, 4, 5, 6, 7]),
        (60, [*range(0, 61, 6)]),
        (15, [0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15]),
    ],
)
def test_a_log_file_gets_a_line_per_tenth_of_the_run(
    capsys: pytest.CaptureFixture[str], total: int, said: list[int]
) -> None:
    from rcabench.cli.running import progress
    from rcabench.record import Entry
    from rcabench.runner.walk import Step

    entry: Any = Entry.__new__(Entry)
    with progress("run") as watch:
        watch(Step(done=0, total=total, resumed=0))
        for done in range(1, total + 1):
            watch(Step(done=done, total=total, resumed=0, entry=entry))
    assert capsys.readouterr().err.splitlines() == [f"{done}/{total} diagnoses" for done in said]


def test_the_package_can_be_run_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "rcabench", "--version"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{__version__}\n", "")


def test_a_run_without_a_folder_gets_one_of_its_own(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert rcabench("run", "-d", tiny_dataset, "-x", "prior", "--limit", 1).exit_code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("quickstart-20")
    assert (folder / "manifest.json").is_file()


def test_the_same_command_resumes_and_another_plan_is_refused_unless_fresh(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path
) -> None:
    command = ["run", "quickstart", "-d", tiny_dataset, "-x", "prior", "--out", tmp_path / "run"]
    assert rcabench(*command).exit_code == 0
    assert "7/7 diagnoses, 7 of them from before" in rcabench(*command).stderr

    refused = rcabench(*command, "--onset", "hidden")
    assert refused.exit_code == 2
    assert "onset_given: the run has True, the plan False" in refused.stderr

    fresh = rcabench(*command, "--onset", "hidden", "--fresh")
    assert fresh.exit_code == 0
    assert "The earlier run was set aside" in fresh.stderr
    assert (tmp_path / "run.1" / "manifest.json").is_file()


def test_an_interrupted_run_says_how_to_go_on(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rcabench.record.RunWriter.append", interrupted)
    result = rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "prior", "--out", tmp_path / "run")
    assert result.exit_code == 130
    assert f"Go on with: --out {tmp_path / 'run'}" in result.stderr


def test_failed_diagnoses_are_pointed_out(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*arguments: object) -> None:
        raise ZeroDivisionError("one by zero")

    monkeypatch.setattr("rcabench.agents.baselines.random_choice.RandomChoice.diagnose", broken)
    result = rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "random", "--out", tmp_path / "run")
    assert result.exit_code == 0
    assert "7 diagnoses failed and count as misses; the first: random on " in result.stderr
    assert "ZeroDivisionError: one by zero" in result.stderr


def test_a_json_report_on_stdout_is_json_and_nothing_else(rcabench: Invoke, run_folder: Path) -> None:
    result = rcabench("report", run_folder, "--format", "json")
    assert json.loads(result.stdout)
    assert result.stderr == ""


@pytest.mark.parametrize(("reporter", "sign"), [("table", "service.AC@1"), ("markdown", "|"), ("latex", "tabular")])
def test_a_report_of_one_page_is_printed_or_written(
    rcabench: Invoke, run_folder: Path, tmp_path: Path, reporter: str, sign: str
) -> None:
    printed = rcabench("report", run_folder, "--format", reporter).stdout
    assert sign in printed
    file = tmp_path / "below" / "report.txt"
    assert rcabench("report", run_folder, "--format", reporter, "--out", file).stdout == f"{file}\n"
    assert file.read_text(encoding="utf-8").rstrip() == printed.rstrip()


def test_an_html_report_is_written_and_its_path_printed(rcabench: Invoke, run_folder: Path, tmp_path: Path) -> None:
    result = rcabench("report", run_folder, "--format", "html", "--out", tmp_path / "html")
    page = Path(result.stdout.strip())
    assert page.is_relative_to(tmp_path / "html")
    assert "<html" in page.read_text(encoding="utf-8")


def test_a_report_on_an_unfinished_run_says_so(rcabench: Invoke, tiny_dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "prior", "--out", folder)
    diagnoses = folder / "diagnoses.jsonl"
    diagnoses.write_bytes(b"".join(diagnoses.read_bytes().splitlines(keepends=True)[:4]))
    assert f"{folder} is incomplete: 4 of 7 diagnoses" in rcabench("report", folder).stderr


def test_a_run_that_was_not_scored_is_scored_for_its_report(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "prior", "--out", folder)
    expected = rcabench("report", folder).stdout
    for file in (folder / "scores").iterdir():
        file.unlink()
    assert rcabench("report", folder).stdout == expected


def test_scoring_again_prints_the_leaderboard(rcabench: Invoke, run_folder: Path) -> None:
    assert "onset" in rcabench("score", run_folder, "--scorer", "localization").stdout
    assert "service.AC@1" in rcabench("score", run_folder).stdout


def test_two_diagnosers_are_compared_case_by_case(rcabench: Invoke, run_folder: Path) -> None:
    output = rcabench("compare", f"{run_folder}::loudest", f"{run_folder}::random").stdout
    assert "A = floors::loudest, B = floors::random" in output
    assert "service.AC@1" in output
    chosen = ("--metric", "service.MRR", "--metric", "service.AC@3")
    few = rcabench("compare", f"{run_folder}::loudest", f"{run_folder}::random", *chosen).stdout
    assert "service.MRR" in few
    assert "service.AC@1" not in few
    assert "p corrected by Holm for 2 comparisons" in few


def test_plugins_are_listed_with_their_options(rcabench: Invoke) -> None:
    output = rcabench("plugins", "diagnosers").stdout
    assert output.startswith("diagnosers:\n")
    assert "team = 'statistical'" in output
    assert "scorers:" in rcabench("plugins").stdout


def test_a_dataset_is_listed_shown_and_found_clean(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "little").symlink_to(tiny_dataset)
    monkeypatch.setenv("RCABENCH_DATA", str(tmp_path / "root"))
    listing = rcabench("datasets", "list").stdout
    assert "demo" in listing
    assert "little" in listing
    shown = rcabench("datasets", "show", "little").stdout
    assert "cases:       7 in 1 recording(s)" in shown
    assert "healthy:     1" in shown


def test_the_card_of_a_dataset_that_is_not_here_can_be_read_with_how_to_get_it(rcabench: Invoke) -> None:
    shown = rcabench("datasets", "show", "nezha-onlineboutique")
    assert shown.exit_code == 0
    assert "licence:     MIT" in shown.stdout
    assert "trap:        PodSuccessRate(%) is 0 in every row." in shown.stdout
    assert "not here:    'nezha-onlineboutique' is known, and its data is not here: fetch it from" in shown.stdout


def test_a_dataset_that_can_be_used_passes_and_another_does_not(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path
) -> None:
    passed = rcabench("datasets", "lint", tiny_dataset)
    assert passed.exit_code == 0
    assert "7 case(s), usable; 2 warning(s)" in passed.stdout

    shutil.copytree(tiny_dataset, tmp_path / "odd")
    truth = tmp_path / "odd" / "truth.jsonl"
    truth.write_text(truth.read_text().replace('"cpu"', '"gremlins"'))
    failed = rcabench("datasets", "lint", tmp_path / "odd")
    assert failed.exit_code == 1
    assert "gremlins" in failed.stdout


def test_a_run_says_where_the_onset_could_not_be_given(rcabench: Invoke, tiny_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dataset, tmp_path / "mute")
    truth = tmp_path / "mute" / "truth.jsonl"
    truth.write_text(re.sub(r', "onset": "[^"]*"', "", truth.read_text()))
    result = rcabench("run", "quickstart", "-d", tmp_path / "mute", "-x", "prior", "--out", tmp_path / "run")
    assert "tiny does not say, or asks, when its faults began; so nobody was told." in result.stderr
    assert "onset withheld" in result.stdout


def test_showing_a_dataset_answers_none_of_its_cases(rcabench: Invoke, tiny_dataset: Path) -> None:
    shown = rcabench("datasets", "show", tiny_dataset).stdout
    assert not any(service in shown for service in ("auth", "search", "web"))


def test_doctor_looks_at_everything_and_is_content_here(rcabench: Invoke) -> None:
    result = rcabench("doctor")
    assert result.exit_code == 0
    for subject in ("python", "duckdb", "import name", "namesake", "configs/", "machine", "temporary", "data"):
        assert f"ok    {subject}" in result.stdout


def test_doctor_says_when_another_project_owns_the_import_name(
    rcabench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rcabench.doctor.packages_distributions", lambda: {"rcabench": ["rcabench", "rcabench-eval"]})
    result = rcabench("doctor")
    assert result.exit_code == 1
    assert "FAIL  import name  the import name is also claimed by rcabench" in result.stdout


def test_doctor_says_when_a_library_is_too_old(rcabench: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcabench.doctor.requires", lambda name: ["duckdb>=99.1", "pytest>=8; extra == 'dev'"])
    result = rcabench("doctor")
    assert result.exit_code == 1
    assert "but 99.1 is needed; upgrade it" in result.stdout


def test_doctor_says_when_tests_run_with_another_version(rcabench: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcabench.doctor._tested_versions", lambda: {"duckdb": "99.1"})
    result = rcabench("doctor")
    assert result.exit_code == 0
    assert "(tests run with 99.1)" in result.stdout


def test_the_public_names_can_all_be_imported() -> None:
    import rcabench

    for name in rcabench.__all__:
        assert getattr(rcabench, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Oracle'"):
        rcabench.Oracle  # noqa: B018


def test_every_question_is_a_public_name() -> None:
    import rcabench
    from rcabench.core.question import QUESTIONS

    assert {kind.__name__ for kind in QUESTIONS} <= set(rcabench.__all__)


def test_a_reader_that_stops_reading_is_no_error(run_folder: Path) -> None:
    code = f"import sys; sys.argv = ['rcabench', 'report', {str(run_folder)!r}]; from rcabench.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait()
