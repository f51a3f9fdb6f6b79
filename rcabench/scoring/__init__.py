"""Truth and verdict in, scores out; pure."""
