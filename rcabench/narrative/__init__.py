"""Explanations, judged by a model: kept apart from the deterministic scores, and never mixed with them."""
