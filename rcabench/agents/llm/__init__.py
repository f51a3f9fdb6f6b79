"""Agents that a language model drives; the only package that imports AutoGen."""
