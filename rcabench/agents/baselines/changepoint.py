"""Bayesian online change-point detection on several series at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln, logsumexp

from rcabench.agents.baselines.columns import Floats, Integers


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runs:
    """What is known about each hypothesis on when the current run began.

    Attributes:
        starts: index of the first sample of each run, newest last.
        log_weights: logarithm of the posterior probability of each.
        kappa, dof: (runs,) of the normal-inverse-Wishart posterior of the run.
        mu: (runs x series) posterior mean.
        precision: (runs x series x series) inverse of the posterior scale matrix.
        log_det: (runs,) logarithm of the determinant of the posterior scale matrix.
    """

    starts: Integers
    log_weights: Floats
    kappa: Floats
    dof: Floats
    mu: Floats
    precision: Floats
    log_det: Floats

    @classmethod
    def fresh(cls, start: int, dims: int, log_weight: float = 0.0) -> Runs:
        """Return the one run that begins at `start` and has seen nothing: the prior."""
        return cls(
            starts=np.array([start]),
            log_weights=np.full(1, log_weight),
            kappa=np.ones(1),
            dof=np.full(1, dims + 1.0),
            mu=np.zeros((1, dims)),
            precision=np.eye(dims)[None],
            log_det=np.zeros(1),
        )

    def log_predictive(self, sample: Floats) -> Floats:
        """Return the log density of the next sample under each run: a multivariate Student t."""
        dims = len(sample)
        t_dof = self.dof - dims + 1.0
        spread = (self.kappa + 1.0) / (self.kappa * t_dof)
        centered = sample - self.mu
        distance = np.einsum("ri,rij,rj->r", centered, self.precision, centered) / spread
        density: Floats = (
            gammaln((t_dof + dims) / 2)
            - gammaln(t_dof / 2)
            - dims / 2 * np.log(np.pi * t_dof * spread)
            - self.log_det / 2
            - (t_dof + dims) / 2 * np.log1p(distance / t_dof)
        )
        return density

    def updated(self, sample: Floats) -> Runs:
        """Return the runs after one more sample (rank-one update of scale and its inverse)."""
        centered = sample - self.mu
        share = self.kappa / (self.kappa + 1.0)
        projected = np.einsum("rij,rj->ri", self.precision, centered)
        growth = 1.0 + share * np.einsum("ri,ri->r", centered, projected)
        outer = projected[:, :, None] * projected[:, None, :]
        return replace(
            self,
            kappa=self.kappa + 1.0,
            dof=self.dof + 1.0,
            mu=(self.kappa[:, None] * self.mu + sample) / (self.kappa[:, None] + 1.0),
            precision=self.precision - (share / growth)[:, None, None] * outer,
            log_det=self.log_det + np.log(growth),
        )

    def pruned(self, most: int) -> Runs:
        """Return the `most` likeliest runs, in order of their start."""
        if len(self.starts) <= most:
            return self
        kept = np.sort(np.argsort(-self.log_weights, kind="stable")[:most])
        return self._at(kept)

    def _at(self, kept: Integers) -> Runs:
        return Runs(
            starts=self.starts[kept],
            log_weights=self.log_weights[kept],
            kappa=self.kappa[kept],
            dof=self.dof[kept],
            mu=self.mu[kept],
            precision=self.precision[kept],
            log_det=self.log_det[kept],
        )

    def joined(self, other: Runs) -> Runs:
        """Return the hypotheses of both, `other` last."""
        return Runs(
            starts=np.concatenate((self.starts, other.starts)),
            log_weights=np.concatenate((self.log_weights, other.log_weights)),
            kappa=np.concatenate((self.kappa, other.kappa)),
            dof=np.concatenate((self.dof, other.dof)),
            mu=np.concatenate((self.mu, other.mu)),
            precision=np.concatenate((self.precision, other.precision)),
            log_det=np.concatenate((self.log_det, other.log_det)),
        )


def run_starts(values: Floats, *, hazard: float, most_runs: int = 100) -> Integers:
    """Return, after each sample, where the likeliest current run began.

    Source: Adams and MacKay, "Bayesian Online Changepoint Detection", 2007, algorithm 1 (run
    length recursion with a constant hazard), with the multivariate Student t predictive of Xuan and
    Murphy, "Modeling changing dependency structure in multivariate time series", ICML 2007
    (full-covariance normal-inverse-Wishart model, prior mean 0, kappa 1, scale I, d + 1 degrees of freedom).

    The recursion runs on log probabilities. Only the `most_runs` likeliest hypotheses are kept, so
    the cost is O(samples x most_runs x series^2), with no matrix inverted or decomposed.

    Args:
        values: (samples x series), about in [0, 1], nothing missing.
        hazard: probability of a change at each sample.
        most_runs: number of hypotheses to keep.

    Returns:
        One index per sample, at most that sample's own.

    Example:
        >>> import numpy as np
        >>> step = np.repeat([0.0, 1.0], 30)[:, None] + np.sin(np.arange(60.0))[:, None] / 50
        >>> int(run_starts(step, hazard=1 / 50)[-1])
        30
    """
    samples, dims = values.shape
    runs = Runs.fresh(0, dims)
    found = np.zeros(samples, dtype=np.int64)
    for index, sample in enumerate(values):
        joint = runs.log_weights + runs.log_predictive(sample)
        posterior = joint - logsumexp(joint)
        found[index] = runs.starts[int(np.argmax(posterior))]
        grown = replace(runs.updated(sample), log_weights=posterior + np.log1p(-hazard)).pruned(most_runs)
        runs = grown.joined(Runs.fresh(index + 1, dims, float(np.log(hazard))))
    return found
