"""PetShop (amazon-science, CLeaR 2024): injected issues in a pet adoption shop on AWS, metrics and a call graph."""

from rcabench.datasets.petshop.adapter import PetShop

__all__ = ["PetShop"]
