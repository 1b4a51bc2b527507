"""Rows of bench/results read back: those of the ladder, `pytest bench/test_ladder.py`."""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def ladder_rows(folder: Path) -> list[Row]:
    """Rows of the ladder from all files of a folder, oldest first.

    Raises ValueError where a line is no JSON.
    """
    rows = [row for file in sorted(folder.glob("*.jsonl")) for row in read_rows(file) if row.get("name") == "ladder"]
    return sorted(rows, key=lambda row: row["date"])


def read_rows(file: Path) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {number} is not JSON ({error}); remove the line") from None
    return rows


def session(row: Row) -> tuple[str, str]:
    """Commit and day: what is measured together."""
    return row["commit"] or "", row["date"][:10]


def sessions(rows: list[Row]) -> list[list[Row]]:
    """Rows by session, that of the newest row last."""
    newest_last = dict.fromkeys(session(row) for row in reversed(rows))
    return [[row for row in rows if session(row) == key] for key in reversed(newest_last)]


def rungs(rows: list[Row]) -> list[Row]:
    """One row per rung in the order they were first measured in; of a rung measured again, the newer row."""
    return list({row["rung"]: row for row in rows}.values())


def grouped(rows: list[Row], *fields: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by the values of these fields, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[field] for field in fields), []).append(row)
    return groups
