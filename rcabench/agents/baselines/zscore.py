"""The z-score: how many standard deviations a metric's mean has moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rcabench.agents.base import WithoutModel
from rcabench.agents.baselines.columns import Floats, deviation, mean, varies
from rcabench.agents.baselines.panel import NORMAL_SECONDS, MetricPanel, metric_panel
from rcabench.agents.baselines.ranking import Wording, nothing_to_compare, ranked_verdict
from rcabench.core.incident import Incident
from rcabench.core.verdict import Verdict
from rcabench.telemetry.base import Telemetry


@dataclass(frozen=True, kw_only=True, slots=True)
class ZScore(WithoutModel):
    """Blame the component with the largest standardised shift of any metric's mean.

    score = |mean after - mean before| / s, the largest over a component's series, where s is the
    standard deviation before. A series that was constant before takes s over both periods: with a
    share p of the samples after, a clean step then scores 1/sqrt(p(1-p)), large enough to be
    seen and finite. A series that never changes scores 0. See `metric_panel` for what is before
    and after, with and without a given onset. It never abstains but for want of metrics.

    Attributes:
        normal_seconds: length of the normal period.

    Example:
        >>> import asyncio
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> verdict = asyncio.run(ZScore().diagnose(small_incident(), small_telemetry()))
        >>> len(verdict.candidates) > 0
        True
    """

    normal_seconds: float = NORMAL_SECONDS

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the components by the largest standardised shift of their metrics."""
        panel = metric_panel(incident, telemetry, normal_seconds=self.normal_seconds)
        if panel.empty:
            return nothing_to_compare("zscore")
        wording = Wording(method="zscore", score="moved its mean by {value} standard deviations")
        return ranked_verdict(incident, telemetry, panel, mean_shifts(panel), wording=wording)


def mean_shifts(panel: MetricPanel) -> Floats:
    """Return |mean after - mean before| / standard deviation per series, NaN where a period is empty."""
    normal, values = panel.normal.values, panel.anomalous.values
    shift = np.abs(mean(values) - mean(normal))
    spread = np.where(varies(normal), deviation(normal), deviation(np.vstack((normal, values))))
    shift_over_spread = np.divide(shift, spread, out=np.zeros_like(shift), where=spread > 0)
    return np.where(np.isfinite(shift), shift_over_spread, np.nan)
