"""The canonical kinds of fault; each dataset's own labels map to them in `scoring/taxonomies/`."""

from __future__ import annotations

from enum import StrEnum


class FaultType(StrEnum):
    """What went wrong, in words that hold across datasets."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK_IO = "disk_io"
    DISK_SPACE = "disk_space"
    NETWORK_DELAY = "network_delay"
    NETWORK_LOSS = "network_loss"
    CODE_EXCEPTION = "code_exception"
    CODE_RETURN = "code_return"
    LATENCY = "latency"
    """Slow for a reason that the dataset does not tell apart further."""
    ERRORS = "errors"
    """Failing for a reason that the dataset does not tell apart further."""
    CRASH = "crash"
    DATABASE = "database"
