"""The page on adding a dataset works as it stands, typed into a file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-dataset.md"


def test_the_adapter_on_the_page_imports_its_sample_lints_and_conforms(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    script = tmp_path / "shop_rcabench.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    ran = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert ran.returncode == 0, ran.stderr
    assert "shop: 1 incident(s) in 1 recording(s): 120 metrics" in ran.stdout
    assert sorted(re.findall(r"there are no (\w+)", ran.stdout)) == ["logs", "spans"]
