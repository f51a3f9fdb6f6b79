"""rcabench: replay recorded incidents to agents that look for the root cause, and measure how right they are."""

__version__ = "0.1.0"
