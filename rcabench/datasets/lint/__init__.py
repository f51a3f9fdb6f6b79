"""Checks of an imported dataset: is it complete, is it consistent, does anything give answers away."""

from rcabench.datasets.lint.checks import lint
from rcabench.datasets.lint.finding import Finding, Severity

__all__ = ["Finding", "Severity", "lint"]
