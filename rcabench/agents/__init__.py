"""Diagnosers: an incident and its telemetry in, a verdict out; the truth is out of reach."""
