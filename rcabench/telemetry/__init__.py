"""Reads recorded or live telemetry, and never outside of what an incident shows."""
