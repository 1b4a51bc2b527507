"""Measured results as rows of JSON in bench/results, written with machine and versions, and read back.

A row is one line of a JSON Lines file: `name` of the benchmark, `date`, the values measured, `circumstances`, `load`.
"""

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fastsr.system.environment import environment

Row = dict[str, Any]

RESULTS = Path(__file__).parent / "results"
KEPT = ("python", "torch", "triton", "processor", "threads")


def append_row(name: str, values: dict[str, Any], about: dict[str, Any]) -> Path:
    """Adds one row to results/cpu.jsonl, or to the file named after the GPU; rows are never changed. Returns the file.

    Args:
        about: `circumstances` at the start of the session, whose sources are measured whatever is committed meanwhile.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    row = {"name": name, "date": now, **values, **about, "load": load()}
    file = RESULTS / f"{slug(gpu_name() or 'cpu')}.jsonl"
    RESULTS.mkdir(exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps(row) + "\n")
    return file


def circumstances() -> dict[str, Any]:
    """Commit, versions and machine, as they are in every row.

    Where FASTSR_COMMIT is given, as where sources were copied without their history, it is the commit, and whether they
    differ from it is None.
    """
    known = environment()
    # Rows written by this very run would count as changes.
    changes = output("git", "status", "--porcelain", "--", ".", ":!bench/results")
    commit = os.environ.get("FASTSR_COMMIT")
    return {
        "commit": commit or output("git", "rev-parse", "HEAD"),
        "dirty": None if commit or changes is None else changes != "",
        **{key: known[key] for key in KEPT},
        "gpu": gpu_name(),
        "driver": output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        if gpu_name()
        else None,
    }


def load() -> float | None:
    """Mean number of running processes in the last minute, the benchmark's included; None on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def gpu_name() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def output(*command: str) -> str | None:
    """Output of a command, or None where it fails or does not exist."""
    try:
        done = subprocess.run(
            command, cwd=RESULTS.parent.parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def slug(name: str) -> str:
    """A name in lower case with hyphens, for files."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def ladder_rows(folder: Path, *beside: str) -> list[Row]:
    """Rows of the ladder, and of other benchmarks of such rows, from all files of a folder, oldest first.

    Args:
        beside: names of the others, such as "uncompiled".
    Raises ValueError where a line is not JSON.
    """
    rows = [
        row
        for file in sorted(folder.glob("*.jsonl"))
        for row in read_rows(file)
        if row.get("name") in ("ladder", *beside)
    ]
    return sorted(rows, key=lambda row: row["date"])


def read_rows(file: Path) -> list[Row]:
    """All rows of a file. Raises ValueError, naming the line, where one is not JSON."""
    rows: list[Row] = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{file}, line {number} is not JSON ({error}); remove the line"
            ) from None
    return rows


def session(row: Row) -> tuple[str, str]:
    """Commit and day, which identify rows measured together."""
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
