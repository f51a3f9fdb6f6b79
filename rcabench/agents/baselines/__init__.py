"""Floors and classical methods to compare with."""
