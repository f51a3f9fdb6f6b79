"""The floors and classical methods keep to what every diagnoser must keep to."""

from __future__ import annotations

import pytest

from rcabench.plugins import Registry, Spec
from rcabench.testing import check_diagnoser

BASELINES = ("random", "prior", "loudest", "zscore", "nsigma", "baro", "randomwalk")


@pytest.mark.parametrize("name", BASELINES)
def test_the_baseline_answers_as_any_diagnoser_must(name: str) -> None:
    check_diagnoser(lambda: Registry.of("diagnosers").build(Spec(name=name)))
