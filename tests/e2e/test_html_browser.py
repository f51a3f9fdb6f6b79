"""HTML pages in a real browser: their own script runs, no other does, and nothing overflows."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rcabench.reporting.html import HtmlReporter
from rcabench.testing.reports import agents_report, small_dataset, small_report

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: pages are not opened in a browser"
)

Show = Callable[..., str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    dataset = small_dataset(tmp_path_factory.mktemp("data") / "small")
    records = [small_report(dataset), small_report(dataset, onset_given=True)]
    agents = HtmlReporter().render([agents_report(dataset)])
    pages = {page.name: page.text for page in HtmlReporter().render(records)}
    return pages | {f"agents/{page.name}": page.text for page in agents}


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Return a function that opens a page and returns its document after scripts have run."""

    def shown(text: str, *, width: int = 1400, wait_ms: int = 400) -> str:
        page = tmp_path / "page.html"
        page.write_text(text, encoding="utf-8")
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},1200", f"--virtual-time-budget={wait_ms}", "--dump-dom", page.as_uri(),
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return shown


def tried(page: str, script: str) -> str:
    """Return the page with a script of the test's own, which the policy is widened for."""
    widened = re.sub(
        r"script-src &#x27;sha256-[^;]*;|script-src 'sha256-[^;]*;", "script-src 'unsafe-inline';", page, count=1
    )
    assert widened != page
    return widened.replace("</body>", f"<script>{script}</script></body>")


def test_the_pages_own_script_runs_under_the_policy(site: Mapping[str, str], show: Show) -> None:
    assert 'class="tools" data-for="matrix-' in site["index.html"]
    assert re.search(r'<div class="tools"[^>]* hidden', site["index.html"])

    document = show(site["index.html"])

    assert not re.search(r'<div class="tools"[^>]* hidden', document)
    assert "<button" in document


def test_a_script_that_slipped_through_the_escaping_would_not_run(site: Mapping[str, str], show: Show) -> None:
    attack = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"

    document = show(site["index.html"].replace("</main>", f"{attack}</main>"))

    assert "<title>pwned" not in document
    assert "<title>Root-cause analysis" in document


def test_tables_sort_both_ways_with_numbers_as_numbers(site: Mapping[str, str], show: Show) -> None:
    script = """
        const table = document.querySelector("table.forest");
        const buttons = [...table.querySelectorAll("thead button")];
        const failed = buttons.find((button) => button.textContent.startsWith("Failed"));
        const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].dataset.value).join(" ");
        failed.click(); const down = names(); failed.click(); const up = names();
        document.title = `down: ${down} | up: ${up}`;
    """

    document = show(tried(site["index.html"], script))

    title = re.search(r"<title>down: (.*?) \| up: (.*?)</title>", document)
    assert title is not None
    assert title.group(1).split()[0] == "broken"
    assert title.group(2).split()[-1] == "broken"


def test_the_matrix_can_be_filtered_by_text_and_by_who_was_wrong(site: Mapping[str, str], show: Show) -> None:
    script = """
        const tools = document.querySelector(".tools");
        const rows = [...document.getElementById(tools.dataset.for).tBodies[0].rows];
        const left = () => rows.filter((row) => !row.hidden).length;
        const all = left();
        const input = tools.querySelector("input");
        input.value = "CART"; input.dispatchEvent(new Event("input")); const found = left();
        input.value = ""; input.dispatchEvent(new Event("input"));
        const select = tools.querySelector("select");
        select.value = "d0"; select.dispatchEvent(new Event("change"));
        document.title = `${all} ${found} ${left()} ${tools.querySelector("output").textContent}`;
    """

    document = show(tried(site["index.html"], script))

    assert "<title>2 1 1 1 of 2 shown</title>" in document


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "incidents/small/5f0d3c2b1a09.html",
        "agents/index.html",
        "agents/incidents/small/5f0d3c2b1a09.html",
    ],
)
@pytest.mark.parametrize("width", [1400, 600])
def test_no_page_is_wider_than_the_screen(site: Mapping[str, str], show: Show, name: str, width: int) -> None:
    script = "document.title = `${document.documentElement.scrollWidth} of ${innerWidth}`;"

    document = show(tried(site[name], script), width=width)

    title = re.search(r"<title>(\d+) of (\d+)</title>", document)
    assert title is not None
    assert int(title.group(1)) <= int(title.group(2))


def test_labels_of_an_axis_do_not_overlap(site: Mapping[str, str], show: Show) -> None:
    script = """
        let overlaps = 0;
        for (const svg of document.querySelectorAll(".curves svg")) {
          const boxes = [...svg.querySelectorAll("text")].map((text) => text.getBoundingClientRect());
          boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
            overlaps += a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
          }));
        }
        document.title = `${overlaps} overlaps in ${document.querySelectorAll(".curves svg").length}`;
    """

    document = show(tried(site["incidents/small/5f0d3c2b1a09.html"], script))

    assert "<title>0 overlaps in 3</title>" in document
