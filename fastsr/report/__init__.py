"""One self-contained HTML page about runs: tables, pictures, curves, settings. Needs no torch, and no network."""

from fastsr.report.page import write_report

__all__ = ["write_report"]
