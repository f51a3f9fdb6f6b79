"""What of PetShop's files lies in a folder, by kind of traffic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rcabench.datasets.inventory import Inventory

_DEPTH = 4
_FILES = ("metrics.csv", "target.json")


def inventory(source: Path, traffics: Sequence[str]) -> Inventory:
    """Look at a folder: which kinds of traffic there are, with how many issues and whether with a baseline."""
    lines: list[str] = []
    missing: list[str] = []
    problems: list[str] = []
    options: list[str] = []
    for traffic in traffics:
        root = _found(source, traffic)
        if root is None:
            missing.append(f"the traffic {traffic}")
            continue
        issues = sorted(path for path in root.glob("*/issue*") if path.is_dir())
        problems += [
            f"{issue / name}: is missing" for issue in issues for name in _FILES if not (issue / name).is_file()
        ]
        if not issues:
            problems.append(f"{root}: holds no {{train,test}}/issue_N")
        if not (root / "graph.csv").is_file():
            missing.append(f"{root / 'graph.csv'}: no call chains without it")
        baseline = (root / "noissue" / "metrics.csv").is_file()
        if not baseline:
            missing.append(f"{root / 'noissue' / 'metrics.csv'}: no reference and no healthy windows without it")
        lines.append(f"{traffic}: {len(issues)} issue(s), {'with' if baseline else 'without'} a baseline")
        options.append(f"traffic={traffic}")
    if not options:
        problems.append(f"{source}: holds none of {', '.join(traffics)} (give the folder that holds dataset/)")
    return Inventory(lines=tuple(lines), missing=tuple(missing), problems=tuple(problems), options=tuple(options))


def _found(source: Path, traffic: str) -> Path | None:
    level = [source]
    for _ in range(_DEPTH):
        for place in level:
            if place.name == traffic or (place / traffic).is_dir():
                return place if place.name == traffic else place / traffic
        level = [child for place in level for child in sorted(place.iterdir()) if child.is_dir()]
    return None
