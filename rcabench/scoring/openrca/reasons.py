"""Which of OpenRCA's reasons a candidate means that names a canonical fault type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rcabench.core.errors import DataError
from rcabench.core.verdict import Candidate
from rcabench.scoring.content import ContentFile, newest
from rcabench.scoring.taxonomy import Taxonomy

_FOLDER = "reasons"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reasons:
    """The reasons of a benchmark.

    Attributes:
        id: of the content file.
        host_only: reasons that can only be said of a host.
        host_never: reasons that cannot.
    """

    id: str
    host_only: frozenset[str]
    host_never: frozenset[str]

    @classmethod
    def of(cls, dataset: str) -> Reasons | None:
        """Return the reasons of a dataset; None for one to which OpenRCA's rules do not apply.

        Raises:
            DataError: the content file is damaged.
        """
        return _reasons_of(dataset)

    def meant(self, candidate: Candidate, offered: Sequence[str], taxonomy: Taxonomy) -> str:
        """Return the reason that a candidate means, "" for none.

        Args:
            candidate: names a reason, or a canonical fault type.
            offered: the reasons to choose from, in the benchmark's order.
            taxonomy: reason -> canonical fault type.
        """
        said = candidate.fault_type
        if said is None or said in offered:
            return said or ""
        kind = taxonomy.canonical(said)
        is_host = candidate.pod is None and candidate.service is None and candidate.host is not None
        unfit = self.host_never if is_host else self.host_only
        fitting = [r for r in offered if kind is not None and taxonomy.canonical(r) is kind and r not in unfit]
        return fitting[0] if fitting else said


@cache
def _reasons_of(dataset: str) -> Reasons | None:
    files = [file for file in newest(_FOLDER) if file.speaks_about(dataset)]
    return _parsed(files[0]) if files else None


def _parsed(file: ContentFile) -> Reasons:
    lists = {}
    for key in ("host_only", "host_never"):
        names = file.body.get(key)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(file.file, f"{key!r} is {names!r}", remedy="write a list of reasons")
        lists[key] = frozenset(names)
    return Reasons(id=file.id, **lists)
