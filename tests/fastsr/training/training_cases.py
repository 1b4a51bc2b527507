"""Small trainings."""

from typing import Any

from rich.console import Console

from fastsr.training.run import Run


def quiet() -> Console:
    return Console(quiet=True)


def rows(run: Run, kind: str) -> list[dict[str, Any]]:
    return [row for row in run.read_metrics() if row["kind"] == kind]
