"""Which KPIs a prompt shows: those that engineers would look at, or as many drawn at random."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import yaml

from rcabench.core.content import content_folder
from rcabench.core.digest import digest_plain
from rcabench.core.errors import ConfigError
from rcabench.core.incident import Incident
from rcabench.core.time import format_utc

_FILE = "kpis.yaml"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Series:
    """A metric series by its name and component; what is not known is empty, so that series can be sorted."""

    metric: str
    pod: str = ""
    service: str = ""
    host: str = ""

    @property
    def component(self) -> str:
        """The finest component that it names; empty for the whole system."""
        return self.pod or self.service or self.host

    @property
    def family(self) -> str:
        """What stands for the file that it was published in: the level of its component."""
        return "pod" if self.pod else "service" if self.service else "host" if self.host else "system"


def oracle_kpis(dataset: str) -> tuple[str, ...]:
    """Return the engineers' list for a dataset, in the order of the file; empty where there is none.

    Raises:
        ConfigError: the content file is damaged.
    """
    for patterns, kpis in _lists():
        if any(fnmatchcase(dataset, pattern) for pattern in patterns):
            return kpis
    return ()


def kpis_digest() -> str:
    """Return the SHA-256 over all lists."""
    return digest_plain([[list(patterns), list(kpis)] for patterns, kpis in _lists()])


def named_by(kpis: Iterable[str], metrics: Iterable[str]) -> tuple[str, ...]:
    """Return the metrics that these KPIs name, sorted.

    A table with a column for each figure of a service is one KPI in the list and several metrics here, called
    `<KPI>.<column>`.

    Example:
        >>> named_by(["adservice-grpc", "cpu"], ["adservice-grpc.rr", "adservice-grpc.sr", "cpu", "cpu2"])
        ('adservice-grpc.rr', 'adservice-grpc.sr', 'cpu')
    """
    wanted = tuple(kpis)
    return tuple(sorted({m for m in metrics if any(m == kpi or m.startswith(f"{kpi}.") for kpi in wanted)}))


def drawn(series: Sequence[Series], count: int, *, seed: int, incident: Incident) -> tuple[str, ...]:
    """Return metrics drawn at random, from each family in turn, sorted.

    OpenRCA draws from its files in turn. A recording knows no files; series of pods, services, hosts and
    of the whole system, which OpenRCA keeps in files of their own, stand for them. A metric that
    exists at several levels belongs to the finest.

    Args:
        series: to draw from.
        count: how many metrics; all of them where there are fewer.
        seed: another seed, another draw; also decided by the incident's window and by what there is to draw from,
            and by nothing that names the incident.
        incident: whose window it is.
    """
    family: dict[str, str] = {}
    for one in sorted(series):
        if one.family == "pod" or one.metric not in family:
            family[one.metric] = one.family
    piles: dict[str, list[str]] = {}
    for metric in sorted(family):
        piles.setdefault(family[metric], []).append(metric)
    content = f"{seed}|{format_utc(incident.window.start)}|{sorted(family.items())!r}"
    draw = random.Random(int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big"))
    for name in sorted(piles):
        draw.shuffle(piles[name])
    found: list[str] = []
    while len(found) < count and any(piles.values()):
        for name in sorted(piles):
            if piles[name] and len(found) < count:
                found.append(piles[name].pop())
    return tuple(sorted(found))


@cache
def _lists() -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    file = content_folder("agents") / "openrca" / _FILE
    plain: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        return tuple((tuple(system["datasets"]), _flat(system["oracle"])) for system in plain["systems"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"agents/openrca/{_FILE}", [f"a system is incomplete: {error!r}"]) from None


def _flat(groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(str(kpi) for group in groups.values() for kpi in group)
