"""OpenRCA (Xu et al., ICLR 2025): a bank, a telecom provider and two shop clusters, with questions about failures."""

from rcabench.datasets.openrca.adapter import OpenRca

__all__ = ["OpenRca"]
