"""A made-up distributed system whose incidents are generated, with a truth that is known exactly."""

from rcabench.datasets.synthetic.adapter import Synthetic

__all__ = ["Synthetic"]
