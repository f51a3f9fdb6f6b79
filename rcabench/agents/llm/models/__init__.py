"""Which models there are, how they are reached, and what can go wrong on the way."""
