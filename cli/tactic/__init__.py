"""tactic: task-aware image compression for cameras behind a thin link."""

__version__ = "0.1.0"
