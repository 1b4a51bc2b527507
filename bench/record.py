"""Results as rows of JSON, each with the machine and the versions that it depends on."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fastsr.system.environment import environment

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
    """Commit, versions and machine."""
    known = environment()
    return {
        "commit": output("git", "rev-parse", "HEAD"),
        # Rows written by this very run would count as changes.
        "dirty": output("git", "status", "--porcelain", "--", ".", ":!bench/results") != "",
        **{key: known[key] for key in KEPT},
        "gpu": gpu_name(),
        "driver": output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if gpu_name() else None,
    }


def load() -> float | None:
    """Processes running, mean of the last minute; those of the benchmark are among them."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def gpu_name() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def output(*command: str) -> str | None:
    """What a command prints, or None where it fails or does not exist."""
    try:
        done = subprocess.run(command, cwd=RESULTS.parent.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
