"""Column statistics agree with the libraries that define them, and survive missing samples."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import RobustScaler, StandardScaler

from rcabench.agents.baselines.columns import deviation, extremes, farthest, interquartile_range, mean, quantile, varies


def ragged() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return columns of 40, 7, 1 and 0 samples."""
    values = np.random.default_rng(3).normal(5.0, 2.0, size=(40, 4))
    values[7:, 1] = np.nan
    values[1:, 2] = np.nan
    values[:, 3] = np.nan
    return values


def test_statistics_of_ragged_columns_are_those_of_the_samples_that_are_there() -> None:
    values = ragged()

    for column in range(3):
        samples = values[np.isfinite(values[:, column]), column]
        assert mean(values)[column] == pytest.approx(samples.mean())
        assert deviation(values)[column] == pytest.approx(samples.std())
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            assert quantile(values, share)[column] == pytest.approx(np.quantile(samples, share))
        assert (extremes(values)[0][column], extremes(values)[1][column]) == (samples.min(), samples.max())


def test_a_column_without_samples_has_no_statistics() -> None:
    values = ragged()

    found = [mean(values), deviation(values), quantile(values, 0.5), *extremes(values)]
    assert all(np.isnan(statistic[3]) for statistic in found)
    assert not varies(values)[3]


def test_a_matrix_without_rows_has_no_statistics() -> None:
    values = np.empty((0, 2))

    found = [mean(values), deviation(values), quantile(values, 0.5), *extremes(values)]
    assert all(np.isnan(statistic).all() for statistic in found)
    assert not varies(values).any()


def test_rounding_alone_does_not_make_a_column_vary() -> None:
    values = np.array([[0.1 + 0.2, 1.0, 0.0], [0.3, 1.001, 0.0]])

    assert varies(values).tolist() == [False, True, False]


def test_the_farthest_sample_is_the_one_that_scikit_learns_scalers_find() -> None:
    generator = np.random.default_rng(11)
    normal, after = generator.gamma(2.0, size=(50, 6)), generator.gamma(3.0, size=(20, 6))

    standard = StandardScaler().fit(normal).transform(after)
    robust = RobustScaler().fit(normal).transform(after)
    found = farthest(after, center=mean(normal), scale=deviation(normal), two_sided=True)
    assert found == pytest.approx(np.abs(standard).max(axis=0))
    width = quantile(normal, 0.75) - quantile(normal, 0.25)
    assert farthest(after, center=quantile(normal, 0.5), scale=width, two_sided=False) == pytest.approx(
        robust.max(axis=0)
    )


def test_rounding_alone_makes_no_interquartile_range() -> None:
    """Quantiles exported by monitoring systems differ in the last bit; dividing by that makes 1e16."""
    values = np.array([[0.00475, 1.0], [0.00475 * (1 + 1e-15), 2.0], [0.00475 * (1 - 1e-15), 4.0], [0.2, 9.0]])

    assert interquartile_range(values[:3]).tolist() == [0.0, 1.5]
    assert np.isnan(interquartile_range(np.full((3, 1), np.nan))).all()
