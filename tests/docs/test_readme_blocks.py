"""Whatever Python the README and the how-tos show can be typed in as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("**/*.md"))]

METHOD_IN_TEN_LINES = """\
import rcabench

async def loudest_service(incident, telemetry):
    changes = telemetry.ask(rcabench.MetricChanges(windows=(incident.window,), baseline=incident.reference))
    ranked = changes.assign(change=changes["maximum"] - changes["baseline_median"]).sort_values("change")[::-1]
    services = ranked["service"].dropna().drop_duplicates()
    return rcabench.Verdict(candidates=tuple(rcabench.Candidate(service=name) for name in services))

report = rcabench.evaluate([loudest_service, "random"], rcabench.load_dataset("demo", limit=5), onset="hidden")
print(report.to_frame())
"""
"""What the README shows to whoever brings a method of their own."""


def python_blocks(text: str) -> list[str]:
    """Return the contents of the fenced blocks that say they are Python; `py` marks what is not meant to be run."""
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def run_blocks(blocks: list[str], name: str) -> dict[str, object]:
    """Run blocks one after the other, as a reader would who types them into one session."""
    session: dict[str, object] = {"__name__": "reader"}
    for number, block in enumerate(blocks, start=1):
        # A reader's file does not have this file's `from __future__` imports: dataclasses would see text for types.
        exec(compile(block, f"{name}, block {number}", "exec", dont_inherit=True), session)
    return session


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_python_on_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = python_blocks(page.read_text(encoding="utf-8"))
    if not blocks:
        pytest.skip("this page shows no Python")
    monkeypatch.chdir(tmp_path)
    run_blocks(blocks, page.name)


def test_a_method_of_ones_own_is_measured_in_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert len([line for line in METHOD_IN_TEN_LINES.splitlines() if line]) <= 10
    report = run_blocks([METHOD_IN_TEN_LINES], "ten lines")["report"]
    frame = report.to_frame()  # type: ignore[attr-defined]  # a reader's session knows no types
    assert set(frame["diagnoser"]) == {"loudest_service", "random"}
    assert "service.AC@1" in set(frame["metric"])
    assert "loudest_service" in capsys.readouterr().out


def test_blocks_do_not_inherit_what_this_file_imports_from_the_future() -> None:
    block = (
        "from dataclasses import dataclass\n@dataclass\nclass Own:\n    n: int = 0\nkind = Own.__annotations__['n']\n"
    )
    assert run_blocks([block], "page")["kind"] is int


def test_blocks_are_found_and_run_in_order() -> None:
    page = "text\n```python\na = 1\n```\n```sh\nfalse\n```\n```py\n1 / 0\n```\n```python\nb = a + 1\n```\n"
    assert run_blocks(python_blocks(page), "page")["b"] == 2
