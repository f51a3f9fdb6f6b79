"""Nezha (IntelligentDDS, ESEC/FSE 2023): Train Ticket and Online Boutique with injected faults."""

from rcabench.datasets.nezha.adapter import Nezha

__all__ = ["Nezha"]
