"""Walks the straight line from a plan to a scored, recorded run."""
