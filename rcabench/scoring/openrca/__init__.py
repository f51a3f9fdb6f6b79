"""OpenRCA's rules of scoring: as its evaluator applies them, and as they were meant."""
