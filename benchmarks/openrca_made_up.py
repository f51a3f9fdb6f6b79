"""How the statistical team and the floors fare on made-up systems in OpenRCA's layouts.

    python benchmarks/openrca_made_up.py --seeds 4

Every seed makes a system with seven failures anew: at any minute of their half hours, two of them in one; each can be
seen for seven minutes. The figures say whether a method's parts fit together on these layouts. They are no
prediction for the published data, of which the effects of a failure on the KPIs are unknown here.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

from rcabench import evaluate
from rcabench.datasets.folder import Dataset
from rcabench.datasets.openrca import OpenRca
from rcabench.datasets.writer import DatasetWriter
from rcabench.reporting.statistics import estimate
from rcabench.testing.openrca_layout import write_openrca_layout

SYSTEMS = ("bank", "telecom", "market-cloudbed-1")
HOURS, FAULTS = 6, 7
SCORES = ("openrca.strict", "openrca.mean")


def made_up(folder: Path, system: str, seed: int) -> Dataset:
    """Return a system's questions."""
    made = write_openrca_layout(folder / f"source-{seed}", system, seed=seed, hours=HOURS, faults=FAULTS)
    out, name = folder / f"{system}-{seed}", f"openrca-{system}"
    with DatasetWriter.create(out, name=name, card=OpenRca().card_for(made.source), importer={}) as writer:
        OpenRca(system=system).convert(made.source, writer)
        writer.finish()
    return Dataset.load(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--system", choices=SYSTEMS, action="append", help="may be repeated; default: all")
    parser.add_argument("-x", "--diagnoser", action="append", help="default: statistical, loudest, prior, random")
    chosen = parser.parse_args()
    methods = chosen.diagnoser or ["statistical", "loudest", "prior", "random"]
    for system in chosen.system or SYSTEMS:
        found = defaultdict[tuple[str, str], list[float]](list)
        with tempfile.TemporaryDirectory(prefix="rcabench-made-up-") as folder:
            for seed in range(1, chosen.seeds + 1):
                cases = evaluate(methods, made_up(Path(folder), system, seed), onset="hidden").cases()
                for diagnoser, group in cases.groupby("diagnoser"):
                    for score in SCORES:
                        found[str(diagnoser), score] += group[score].tolist()
        for diagnoser in dict.fromkeys(name for name, _ in found):
            figures = "   ".join(f"{score} {estimate(found[diagnoser, score])}" for score in SCORES)
            print(f"{system:18} {diagnoser:12} {figures}", flush=True)


if __name__ == "__main__":
    main()
