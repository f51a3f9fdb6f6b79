"""N-Sigma: how far a metric strays, in standard deviations of its normal period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rcabench.agents.base import WithoutModel
from rcabench.agents.baselines.columns import Floats, deviation, farthest, mean, varies
from rcabench.agents.baselines.panel import NORMAL_SECONDS, MetricPanel, metric_panel
from rcabench.agents.baselines.ranking import Wording, nothing_to_compare, ranked_verdict
from rcabench.core.incident import Incident
from rcabench.core.verdict import Verdict
from rcabench.telemetry.base import Telemetry


@dataclass(frozen=True, kw_only=True, slots=True)
class NSigma(WithoutModel):
    """Rank components by how many sigmas any of their metrics strays from its normal mean.

    Source: Li et al., "Causal Inference-Based Root Cause Analysis for Online Service Systems with
    Intervention Recognition" (CIRCA), KDD 2022, baseline NSigma; as implemented in RCAEval 1.8.1
    (Pham et al., WWW 2025), `e2e/__init__.py: nsigma`. score = max over the anomalous period of
    |x - mean| / s, with mean and standard deviation s (ddof 0) of the normal period; series are
    sorted by score, and components take the place of their first series. Series that are constant
    in the normal period are dropped, for s = 0.

    RCAEval's released code departs from that formula: it takes the largest x - mean, so that
    drops (lost traffic, a crash) do not count, and leaves out series that are constant in the
    anomalous period; `as_released` does the same. Missing samples are left out here; there, they
    are filled in with the sample before, or 0.

    Attributes:
        n: sigmas that count as an anomaly; only matters with `abstain`.
        abstain: say "no fault" where no series strays by `n` sigmas. With hundreds of series and
            short normal periods some series nearly always does.
        as_released: follow RCAEval's code rather than the formula.
        normal_seconds: length of the normal period.

    Example:
        >>> import asyncio
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> asyncio.run(NSigma(n=1e12).diagnose(small_incident(), small_telemetry())).abstained
        True
    """

    n: float = 3.0
    abstain: bool = True
    as_released: bool = False
    normal_seconds: float = NORMAL_SECONDS

    def __post_init__(self) -> None:
        if not self.n > 0:
            raise ValueError(f"n must be positive, got {self.n!r}")

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the components by the largest number of sigmas, or an abstention below `n`."""
        panel = metric_panel(incident, telemetry, normal_seconds=self.normal_seconds)
        scores = sigmas(panel, as_released=self.as_released)
        if panel.empty or not np.isfinite(scores).any():
            return nothing_to_compare("nsigma")
        highest = float(np.nanmax(scores))
        if self.abstain and highest < self.n:
            return Verdict(
                abstained=True,
                narrative=f"nsigma abstains: the farthest of {len(panel.series)} series strays by "
                f"{highest:.2f} sigmas, fewer than {self.n:g}.",
            )
        wording = Wording(method="nsigma", score="strays by {value} sigmas from its normal mean")
        return ranked_verdict(incident, telemetry, panel, scores, wording=wording)


def sigmas(panel: MetricPanel, *, as_released: bool) -> Floats:
    """Return the largest distance from the normal mean in normal standard deviations, per series.

    NaN where a series was constant, or has no samples in one of the periods.
    """
    normal, values = panel.normal.values, panel.anomalous.values
    compared = varies(normal) & varies(values) if as_released else varies(normal)
    scale = np.where(compared, deviation(normal), np.nan)
    return farthest(values, center=mean(normal), scale=scale, two_sided=not as_released)
