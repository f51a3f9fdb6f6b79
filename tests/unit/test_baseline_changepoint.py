"""Change-point detection: the fast recursion equals the textbook one, and finds what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_t

from rcabench.agents.baselines.changepoint import Runs, run_starts


def textbook(values: np.ndarray[tuple[int, int], np.dtype[np.float64]], hazard: float) -> list[int]:
    """Adams and MacKay's algorithm 1 written out plainly: every run, every matrix, no logarithms."""
    dims = values.shape[1]
    weights = {0: 1.0}
    found = []
    for now, sample in enumerate(values):
        joint: dict[int, float] = {}
        for start, weight in weights.items():
            seen = values[start:now]
            count, center = len(seen), seen.mean(axis=0) if len(seen) else np.zeros(dims)
            kappa, dof = 1 + count, dims + 1 + count
            mu = count * center / kappa
            scatter = (seen - center).T @ (seen - center) if count else np.zeros((dims, dims))
            scale = np.eye(dims) + scatter + count / kappa * np.outer(center, center)
            t_dof = dof - dims + 1
            shape = scale * (kappa + 1) / (kappa * t_dof)
            joint[start] = weight * float(multivariate_t.pdf(sample, loc=mu, shape=shape, df=t_dof))
        total = sum(joint.values())
        found.append(max(joint, key=lambda start: joint[start]))
        weights = {start: value / total * (1 - hazard) for start, value in joint.items()} | {now + 1: hazard}
    return found


@pytest.mark.parametrize(("dims", "hazard"), [(1, 1 / 50), (3, 1 / 50), (2, 0.45)])
def test_the_recursion_equals_the_textbook(dims: int, hazard: float) -> None:
    generator = np.random.default_rng(dims)
    values = generator.normal(0.2, 0.05, size=(40, dims))
    values[25:] += 0.6

    assert run_starts(values, hazard=hazard, most_runs=1000).tolist() == textbook(values, hazard)


def test_pruning_keeps_the_answer_on_a_clear_change() -> None:
    generator = np.random.default_rng(5)
    values = generator.normal(0.2, 0.02, size=(200, 4))
    values[150:] += 0.5

    starts = run_starts(values, hazard=1 / 50, most_runs=20)
    assert starts[149] == 0
    assert starts[-1] == 150


def test_pruning_keeps_the_likeliest_runs_in_order() -> None:
    runs = Runs.fresh(0, 2, -3.0)
    for start, log_weight in ((1, -1.0), (2, -9.0), (3, -2.0)):
        runs = runs.joined(Runs.fresh(start, 2, log_weight))

    assert runs.pruned(2).starts.tolist() == [1, 3]
    assert runs.pruned(9).starts.tolist() == [0, 1, 2, 3]


def test_noise_alone_has_no_change() -> None:
    values = np.random.default_rng(9).normal(0.5, 0.1, size=(120, 5))

    assert set(run_starts(values, hazard=1 / 50).tolist()) == {0}


def test_a_thousand_extreme_samples_stay_finite() -> None:
    """Densities underflow here by thousands of orders of magnitude; their logarithms do not."""
    values = np.random.default_rng(2).normal(0.0, 1e-6, size=(1000, 8))
    values[600:] += 1e6

    starts = run_starts(values, hazard=1 / 50, most_runs=30)
    assert 600 in starts
    assert (starts[:600] == 0).all()


def test_the_inverse_scale_matrix_stays_an_inverse_over_many_updates() -> None:
    generator = np.random.default_rng(4)
    runs, scatter = Runs.fresh(0, 6), np.eye(6)
    for sample in generator.normal(size=(500, 6)):
        centered = sample - runs.mu[0]
        scatter = scatter + runs.kappa[0] / (runs.kappa[0] + 1) * np.outer(centered, centered)
        runs = runs.updated(sample)

    assert runs.precision[0] @ scatter == pytest.approx(np.eye(6), abs=1e-9)
    assert runs.log_det[0] == pytest.approx(np.linalg.slogdet(scatter)[1])
