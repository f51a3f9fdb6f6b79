"""The OpenRCA adapter: each day of a system becomes one recording, each query one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.core.incident import Hints, Incident
from rcabench.core.truth import RootCause, Truth
from rcabench.datasets.archive import opened
from rcabench.datasets.inventory import Inventory
from rcabench.datasets.openrca.candidates import Candidates
from rcabench.datasets.openrca.inventory import inventory
from rcabench.datasets.openrca.layout import SYSTEMS, System, find_systems, service_of
from rcabench.datasets.openrca.queries import Query, fits, read_queries
from rcabench.datasets.openrca.records import Record, by_window, day_window, read_records
from rcabench.datasets.openrca.telemetry import record_day
from rcabench.datasets.writer import DatasetWriter
from rcabench.plugins import did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRca:
    """Reads the layout of OpenRCA: Bank, Telecom and the two clusters of Market.

    Attributes:
        system: bank, telecom, market-cloudbed-1 or market-cloudbed-2; None where the source holds only one.
        days: for example `2021-03-04`, in UTC+8; all days of the system where none is named.

    Example:
        >>> OpenRca(system="bank").days
        ()
    """

    system: str | None = None
    days: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.system is not None and self.system not in SYSTEMS:
            raise ValueError(f"no system {self.system!r}{did_you_mean(self.system, SYSTEMS)}")
        # YAML reads an unquoted day as a date, and one day needs no list.
        given = [self.days] if isinstance(self.days, str | date) else self.days
        try:
            days = tuple(date.fromisoformat(str(day)).isoformat() for day in given)
        except ValueError:
            raise ValueError(f"days is {self.days!r}; expected days such as 2021-03-04") from None
        object.__setattr__(self, "days", days)

    def card_for(self, source: Path) -> str:
        """Return the name of the card that fits what lies at `source`.

        Raises:
            DataError: as `convert`.
        """
        with opened(source) as folder:
            return self._choose(folder).card

    def inspect(self, source: Path) -> Inventory:
        """Return what lies at `source` and what is wrong with it, without importing it."""
        with opened(source) as folder:
            return inventory(folder, system=self.system).of_source(source, opened=folder)

    def convert(self, source: Path | None, writer: DatasetWriter) -> None:
        """Convert one system of the source.

        Raises:
            DataError: it is not in this layout; it holds several systems and none was chosen; labels
                contradict each other; a table has another header or another unit of time.
        """
        if source is None:
            raise DataError("openrca", "needs a source", remedy="give the downloaded folder or archive")
        with opened(source) as folder:
            system = self._choose(folder)
            records = read_records(system.records)
            asked = matched(system, records, read_queries(system.queries), writer)
            folders = system.days()
            days = self._days(system, records, folders)
            _note(system, days, folders, writer)
            candidates = Candidates.of(system.name)
            _note_unoffered(records, candidates, writer)
            for day in days:
                with writer.recording(day.isoformat()) as recording:
                    if day in folders:
                        record_day(folders[day], day, system=system.name, recording=recording, writer=writer)
            together = by_window(records)
            for record, query in asked:
                if record.day in days:
                    here = together[record.window_number]
                    writer.case(
                        incident=_incident(record, query, failures=len(here), candidates=candidates),
                        truth=Truth(root_causes=tuple(_root_cause(system.name, cause) for cause in here)),
                        recording=record.day.isoformat(),
                    )

    def _choose(self, folder: Path) -> System:
        systems = find_systems(folder, called=self.system)
        chosen = self.system or min(systems)
        if self.system is None and len(systems) > 1:
            raise DataError(
                folder, f"holds several systems: {', '.join(systems)}", remedy="set the option system to one of them"
            )
        if chosen not in systems:
            raise DataError(folder, f"holds no system {chosen}", remedy=f"it holds {', '.join(systems)}")
        return systems[chosen]

    def _days(self, system: System, records: Sequence[Record], folders: Mapping[date, Path]) -> tuple[date, ...]:
        """Return the days to import: those with records, those with telemetry alone too, or those named."""
        known = sorted({record.day for record in records} | set(folders))
        missing = [day for day in self.days if date.fromisoformat(day) not in known]
        if missing:
            listed = ", ".join(map(str, known))
            raise DataError(system.records, f"there is no day {missing[0]!r}", remedy=f"choose from {listed}")
        return tuple(day for day in known if not self.days or day.isoformat() in self.days)


def matched(
    system: System, records: Sequence[Record], queries: Sequence[Query], writer: DatasetWriter
) -> tuple[tuple[Record, Query], ...]:
    """Return each query with its record: the one in the same place of its file.

    Queries whose criteria are not those that the records of the half hour come to are left out and counted.

    Raises:
        DataError: there are more of one than of the other, or no query fits its record.
    """
    if len(records) != len(queries):
        problem = f"holds {len(queries)} queries for {len(records)} records"
        raise DataError(system.queries, problem, remedy="every record has one query, in the same order")
    together = by_window(records)
    fitting = []
    for record, query in zip(records, queries, strict=True):
        if fits(query, together[record.window_number]):
            fitting.append((record, query))
        else:
            writer.skip(system.queries, query.row, "scoring_points are not what the records of its half hour come to")
    if not fitting:
        problem = "none of its scoring_points is what the records come to"
        raise DataError(system.queries, problem, row=queries[0].row, remedy="queries and records need the same order")
    return tuple(fitting)


def _note(system: System, days: Sequence[date], folders: Mapping[date, Path], writer: DatasetWriter) -> None:
    if not writer.name.startswith(f"openrca-{system.name}"):
        writer.notice(
            f"this is OpenRCA's {system.name}, and what is kept for it elsewhere (scores, KPIs, constants) goes by the"
            f" name openrca-{system.name}; import it under that --name to use them"
        )
    for stranger in system.strangers():
        writer.skip(stranger, None, "is no folder of a day, YYYY_MM_DD")
    bare = [str(day) for day in days if day not in folders]
    if bare:
        writer.notice(
            f"{len(bare)} of {len(days)} day(s) have no telemetry here: {', '.join(bare)}; their questions can be"
            " answered by what was answered elsewhere, and by nobody who has to look"
        )


def _note_unoffered(records: Sequence[Record], candidates: Candidates, writer: DatasetWriter) -> None:
    for what, named, offered in (
        ("component", {record.component for record in records}, candidates.components),
        ("reason", {record.reason for record in records}, candidates.reasons),
    ):
        strange = sorted(named - set(offered))
        if strange:
            # Which ones would give answers away to whoever reads the manifest.
            writer.notice(f"{len(strange)} {what}(s) of the records are not among the candidates that questions offer")


def _incident(record: Record, query: Query, *, failures: int, candidates: Candidates) -> Incident:
    """Return the question; the whole day may be looked at, for OpenRCA takes thresholds from it."""
    day, window = day_window(record.day), record.window
    before, _ = day.split(window.start)
    _, after = day.split(window.end)
    return Incident(
        id="unnamed", dataset="unnamed", symptom=query.instruction, window=window, history=before, aftermath=after,
        asked=query.asked,
        hints=Hints(failures=failures, fault_types=candidates.reasons, components=candidates.components),
    )  # fmt: skip


def _root_cause(system: str, record: Record) -> RootCause:
    if record.level == "node":
        return RootCause(host=record.component, fault_type=record.reason, onset=record.onset)
    if record.level == "service":
        return RootCause(service=record.component, fault_type=record.reason, onset=record.onset)
    return RootCause(
        pod=record.component, service=service_of(system, record.component), fault_type=record.reason,
        onset=record.onset,
    )  # fmt: skip
