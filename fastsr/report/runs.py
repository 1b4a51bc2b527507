"""Runs and reproductions, read from their folders into plain values.

A number that is missing or not finite is NaN. Damaged files raise UserError; only metrics.jsonl may hold broken lines,
as a crash leaves one, and they are skipped.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from statistics import median
from typing import Any

from fastsr.config.check import check
from fastsr.config.mixing import mixing_matrix, variants
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.config.toml import from_toml
from fastsr.errors import UserError
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import JSON_NAME as EVALUATION
from fastsr.evaluation.results import Evaluation
from fastsr.files import read_sessions
from fastsr.reproduction.results import JSON_NAME as TABLES
from fastsr.reproduction.results import Tables

BINS = 10


@dataclass(frozen=True)
class Peer:
    """A peer of a run, by the name it has in tables, and its teachers."""

    index: int
    variant: str
    """Independent, ML, or ML* (softened)."""
    teachers: frozenset[int]

    @property
    def label(self) -> str:
        return f"peer {self.index} ({self.variant})"


@dataclass(frozen=True)
class TrainRow:
    """One row of metrics.jsonl about training: means over the steps since the row before."""

    step: int
    stage: str
    peers: tuple[Mapping[str, float], ...]
    """Losses and probabilities by name, NaN left out."""
    steps_per_second: float
    disagreement: tuple[tuple[float, ...], ...]
    """Nats, `[peers][peers]`; empty where it was not measured."""
    real: tuple[tuple[int, ...], ...]
    """Per peer, how many of the real images got each tenth of probability; empty where it was not measured."""
    generated: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ValidationRow:
    step: int
    scores: Mapping[str, Mapping[str, float]]
    """By method (bicubic, peer 0, ...), then by metric."""
    low_resolution: str = "bicubic"
    """The low resolution that was validated on, in a few words."""


@dataclass(frozen=True)
class Run:
    """A run as read from its folder."""

    folder: Path
    name: str
    config: TrainConfig
    peers: tuple[Peer, ...]
    environment: Mapping[str, Any]
    training: tuple[TrainRow, ...]
    validation: tuple[ValidationRow, ...]
    evaluation: Evaluation | None
    grid: Path | None
    """The last comparison picture that was drawn while training."""

    @property
    def evaluation_folder(self) -> Path:
        return self.folder / "evaluation"

    @property
    def last_step(self) -> int:
        return max((row.step for row in (*self.training, *self.validation)), default=0)

    def speed(self, stage: str) -> float:
        """Median steps per second of a stage; NaN where none was measured."""
        rates = [row.steps_per_second for row in self.training if row.stage == stage]
        return median([rate for rate in rates if isfinite(rate)] or [nan])


@dataclass(frozen=True)
class Reproduction:
    folder: Path
    name: str
    tables: Tables
    runs: tuple[Run, ...]


def collect(folder: Path) -> Run | Reproduction:
    """The run or reproduction in a folder. Raises UserError for one that holds neither, and for damaged files."""
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder; name a run, or a folder that fastsr reproduce wrote"
        )
    file = folder / TABLES
    if not file.is_file():
        return read_run(folder)
    tables = Tables.read(file)
    return Reproduction(
        folder,
        folder.resolve().name,
        tables,
        tuple(read_run(folder / name) for name in tables.runs),
    )


def read_run(folder: Path) -> Run:
    """The run in a folder. Raises UserError where its config.toml is missing or damaged, and for damaged files."""
    config_file, evaluation_file = folder / "config.toml", folder / "evaluation" / EVALUATION
    if not config_file.is_file():
        raise UserError(
            f"{folder} is no run: it has no config.toml; name a folder that fastsr train wrote"
        )
    try:
        config = check(from_toml(config_file, TrainConfig()))
        peers = peers_of(config.cohort)
    except UserError as error:
        reason = str(error).removeprefix("--config ").removeprefix(f"{config_file}")
        raise UserError(f"{config_file} {reason.strip(': ')}; restore the file") from None
    training, validation = read_metrics(folder / "metrics.jsonl", len(peers))
    evaluation = Evaluation.read(evaluation_file) if evaluation_file.is_file() else None
    grids = sorted((folder / "pictures").glob("step-*.png"))
    environment = read_environment(folder / "environment.json")
    grid = grids[-1] if grids else None
    name = folder.resolve().name
    return Run(folder, name, config, peers, environment, training, validation, evaluation, grid)


def peers_of(cohort: CohortConfig) -> tuple[Peer, ...]:
    """Raises UserError where the settings contradict each other."""
    rows = zip(variants(cohort), mixing_matrix(cohort), strict=True)
    return tuple(
        Peer(k, variant, frozenset(j for j, weight in enumerate(row) if weight > 0))
        for k, (variant, row) in enumerate(rows)
    )


def read_environment(file: Path) -> dict[str, Any]:
    """The newest environment that a run was trained in, and how many there are. Empty where there is no file.

    Raises UserError where it is damaged.
    """
    sessions = read_sessions(file)
    newest = sessions[-1] if sessions else {}
    return (
        {**newest, "sessions": f"{len(sessions)}, this is the newest"} if sessions[1:] else newest
    )


def read_metrics(file: Path, peers: int) -> tuple[tuple[TrainRow, ...], tuple[ValidationRow, ...]]:
    """Rows in the order of their steps. Raises UserError where the file cannot be read."""
    try:
        lines = (
            file.read_text(encoding="utf-8", errors="replace").splitlines()
            if file.is_file()
            else []
        )
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); allow reading it") from None
    training: list[TrainRow] = []
    validation: list[ValidationRow] = []
    for line in lines:
        try:
            row = json.loads(line)
            if row["kind"] == "train":
                training.append(train_row(row, peers))
            elif row["kind"] == "validation":
                validation.append(validation_row(row))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return tuple(sorted(training, key=lambda row: row.step)), tuple(
        sorted(validation, key=lambda row: row.step)
    )


def train_row(row: dict[str, Any], peers: int) -> TrainRow:
    """A row of metrics.jsonl. Raises KeyError, TypeError, ValueError or AttributeError where it is damaged."""
    calibration = row.get("calibration") or {}
    matrix = tuple(tuple(number(value) for value in line) for line in row.get("disagreement") or ())
    square = len(matrix) == peers and all(len(line) == peers for line in matrix)
    return TrainRow(
        int(row["step"]),
        str(row["stage"]),
        tuple(numbers(peer) for peer in row["peers"]),
        number((row.get("wall") or {}).get("steps_per_second")),
        matrix if square else (),
        histograms(calibration.get("real"), peers),
        histograms(calibration.get("generated"), peers),
    )


def validation_row(row: dict[str, Any]) -> ValidationRow:
    return ValidationRow(
        int(row["step"]),
        {str(name): numbers(scores) for name, scores in row["scores"].items()},
        str(row.get("low_resolution", BICUBIC)),
    )


def histograms(counts: Any, peers: int) -> tuple[tuple[int, ...], ...]:
    """Empty unless there are ten counts for each peer."""
    rows = tuple(tuple(int(count) for count in row) for row in counts or ())
    return rows if len(rows) == peers and all(len(row) == BINS for row in rows) else ()


def number(value: object) -> float:
    """A JSON value as a finite float, or NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return nan
    return float(value) if abs(value) < 1e30 else nan


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those values that are finite numbers."""
    found = {str(name): number(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if isfinite(value)}
