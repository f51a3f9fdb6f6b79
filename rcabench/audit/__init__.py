"""What a finished run gives away: secrets, and truth that reached an agent."""

from rcabench.audit.finding import Finding, Kind, Report
from rcabench.audit.inspection import audit

__all__ = ["Finding", "Kind", "Report", "audit"]
