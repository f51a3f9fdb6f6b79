"""The loudest component: the largest relative change of any metric's mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rcabench.agents.base import WithoutModel
from rcabench.agents.baselines.columns import Floats, mean
from rcabench.agents.baselines.panel import NORMAL_SECONDS, MetricPanel, metric_panel
from rcabench.agents.baselines.ranking import Wording, nothing_to_compare, ranked_verdict
from rcabench.core.incident import Incident
from rcabench.core.verdict import Verdict
from rcabench.telemetry.base import Telemetry


@dataclass(frozen=True, kw_only=True, slots=True)
class Loudest(WithoutModel):
    """Blame the component with the largest relative change of any metric.

    The floor for whoever believes that the root cause is where the curves jump highest:
    score = |mean after - mean before| / |mean before|, the largest over a component's series. A
    series whose mean was 0 has no such ratio and is left out. See `metric_panel` for what is
    before and after, with and without a given onset. It never abstains but for want of metrics.

    Attributes:
        normal_seconds: length of the normal period.

    Example:
        >>> import asyncio
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> verdict = asyncio.run(Loudest().diagnose(small_incident(), small_telemetry()))
        >>> len(verdict.candidates) > 0
        True
    """

    normal_seconds: float = NORMAL_SECONDS

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the components by the largest relative change of their metrics."""
        panel = metric_panel(incident, telemetry, normal_seconds=self.normal_seconds)
        if panel.empty:
            return nothing_to_compare("loudest")
        wording = Wording(method="loudest", score="changed its mean {value}-fold, relative to before")
        return ranked_verdict(incident, telemetry, panel, relative_changes(panel), wording=wording)


def relative_changes(panel: MetricPanel) -> Floats:
    """Return |mean after - mean before| / |mean before| per series, NaN where it has no meaning."""
    before, after = mean(panel.normal.values), mean(panel.anomalous.values)
    level = np.abs(before)
    return np.divide(np.abs(after - before), level, out=np.full_like(level, np.nan), where=level > 0)
