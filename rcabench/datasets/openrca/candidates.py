"""The components and reasons that OpenRCA's questions offer to choose from, per system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcabench.core.content import content_folder
from rcabench.core.errors import DataError

_FILE = "openrca.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """What may be answered.

    Attributes:
        components: hosts, pods and services, in the order in which they are offered.
        reasons: what may have happened to one, likewise.
    """

    components: tuple[str, ...]
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, system: str) -> Candidates:
        """Return the candidates of a system; the clusters of a shop share theirs.

        Raises:
            DataError: the content file is damaged.

        Example:
            >>> Candidates.of("market-cloudbed-1").components[:2]
            ('node-1', 'node-2')
        """
        import yaml

        file = content_folder("datasets") / "candidates" / _FILE
        plain: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        listed: Any = plain.get("systems") if isinstance(plain, Mapping) else None
        for row, entry in enumerate(listed if isinstance(listed, list) else [], start=1):
            if system == entry.get("system") or system.startswith(f"{entry.get('system')}-"):
                try:
                    return cls(components=tuple(entry["components"]), reasons=tuple(entry["reasons"]))
                except (KeyError, TypeError) as error:
                    raise DataError(file, f"an entry is incomplete: {error}", row=row) from error
        raise DataError(file, f"lists no candidates of {system!r}", remedy="add an entry to `systems`")
