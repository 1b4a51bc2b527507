"""A run: a folder with its configuration, environment, checkpoints, metrics and pictures."""

import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from fastsr.checkpoints import BEST_NAME, list_checkpoints
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml, to_toml
from fastsr.console import listed
from fastsr.errors import UserError
from fastsr.files import lock, read_sessions, read_text, write_text
from fastsr.system.environment import session

CHANGEABLE = {
    "images": {"cache", "data", "lr_data", "val", "val_lr_data", "skip_bad"},
    "model": {"init_generator", "init_discriminator"},
    "loss": {"vgg"},
    "optim": {"steps"},
    "machine": {
        "device",
        "compile",
        "autotune",
        "combine_kernels",
        "fused",
        "graph",
        "prove",
        "tune",
        "channels_last",
        "peer_streams",
        "checkpoint_activations",
    },
    "distributed": {"mesh", "rank_timeout"},
    "output": {
        "out",
        "resume",
        "resume_from",
        "save_every",
        "save_minutes",
        "val_every",
        "keep",
        "keep_best",
        "verbose",
    },
}
"""Settings that may differ when a run is continued: the patches, losses and updates stay what they were.

Images may have moved: a fingerprint of their pixels tells whether they are the same.
"""


class Run:
    """The folder of one training run, which computes nothing.

    Nothing in it is ever half-written: files get their names when complete.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.locked: BaseFileLock | None = None
        self.metrics_file = folder / "metrics.jsonl"
        self.pictures = folder / "pictures"
        self.checkpoints = folder / "checkpoints"
        self.best_file = folder / BEST_NAME

    @staticmethod
    def start(folder: Path, config: TrainConfig) -> "Run":
        """A new run. Raises UserError where the folder cannot be written, or holds a run or a config.toml of others."""
        run = Run(folder)
        # What cannot be kept is refused before anything is made.
        to_toml(config.with_absolute_paths())
        run.check_places()
        try:
            for path in (run.checkpoints, run.pictures):
                path.mkdir(parents=True, exist_ok=True)
            run.lock()
            if run.latest() is not None:
                raise UserError(
                    f"{folder} holds a run already; add --resume to continue it, or give another --out"
                )
            if (folder / "config.toml").exists() and not run.metrics_file.exists():
                raise UserError(
                    f"{folder} holds a config.toml that is no run's; give another --out"
                )
            run.describe(config)
            run.metrics_file.write_text("")
            run.best_file.unlink(missing_ok=True)
        except (OSError, UnicodeEncodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"--out {folder} cannot be written ({reason}); give another folder"
            ) from None
        return run

    def lock(self) -> None:
        """Keeps other processes from training in this folder until this one ends. Raises UserError where one does."""
        busy = f"{self.folder} is being trained by another process; wait for it, or stop it"
        self.check_places()
        self.locked = lock(self.folder / ".lock", busy)

    def check_places(self) -> None:
        """Raises UserError where a file stands in the place of a folder of the run's, or the reverse."""
        for name in ("checkpoints", "pictures", "tensorboard"):
            if (self.folder / name).exists() and not (self.folder / name).is_dir():
                raise UserError(
                    f"{self.folder / name} is no folder; remove it, or give another --out"
                )
        for name in (".lock", "config.toml", "environment.json", self.metrics_file.name):
            if (self.folder / name).exists() and not (self.folder / name).is_file():
                raise UserError(
                    f"{self.folder / name} is no regular file; remove it, or give another --out"
                )

    def close(self) -> None:
        """Lets other processes train in this folder again."""
        if self.locked:
            self.locked.release()

    def describe(self, config: TrainConfig) -> None:
        """Writes the settings in force from now on, and adds the environment to those of before. Raises OSError."""
        self.write_text("config.toml", to_toml(config.with_absolute_paths()))
        sessions = [*read_sessions(self.folder / "environment.json"), session()]
        self.write_text("environment.json", json.dumps(sessions, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> None:
        write_text(self.folder / name, text)

    def latest(self) -> Path | None:
        checkpoints = list_checkpoints(self.folder)
        return checkpoints[-1] if checkpoints else None

    def checkpoint(self, name: str | None = None) -> Path:
        """A checkpoint by its name; the latest by default. Raises UserError where there is no such one."""
        there = list_checkpoints(self.folder)
        found = [path for path in there if name is None or path.name == name]
        if not found:
            raise UserError(
                f"--from {name} is no checkpoint of {self.folder}; "
                f"it has {listed([path.name for path in there]) if there else 'none'}"
            )
        return found[-1]

    def check_same(self, config: TrainConfig) -> None:
        """Raises UserError naming the first setting that would make a continued run another experiment."""
        saved = saved_config(self.folder)
        now_set = asdict(config.without_idle().with_absolute_paths())
        for group, before in asdict(saved).items():
            after = now_set[group]
            if not isinstance(before, dict):
                continue
            for name, value in before.items():
                if value != after[name] and name not in CHANGEABLE.get(group, set()):
                    option, was, now = (
                        f"--{name.replace('_', '-')}",
                        words(value),
                        words(after[name]),
                    )
                    raise UserError(
                        f"{option} was {was} in {self.folder} and is {now} now; "
                        "leave it as it was, or start a new run with another --out"
                    )

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Adds one line to metrics.jsonl. Raises UserError where it cannot be written."""
        try:
            with self.metrics_file.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise UserError(
                f"{self.metrics_file} cannot be written ({error.strerror}); free space, then --resume"
            ) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """All rows that have a step; what is no such row, as a line cut by a crash, is left out. Raises UserError."""
        try:
            text = read_text(self.metrics_file, errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{self.metrics_file} cannot be read ({reason}); restore it") from None
        rows: list[dict[str, Any]] = []
        for line in text.splitlines():
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                row = json.loads(line)
                if type(row["step"]) is int:
                    rows.append(row)
        return rows

    def cut_metrics(self, step: int) -> None:
        rows = [row for row in self.read_metrics() if row["step"] <= step]
        self.write_text(self.metrics_file.name, "".join(json.dumps(row) + "\n" for row in rows))


def words(value: Any) -> str:
    """A setting's value as it is given on the command line."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def fresh_folder(config: TrainConfig, root: Path = Path("runs")) -> Path:
    """runs/RECIPE-xSCALE, with -2, -3, ... behind it where that exists."""
    name = f"{config.recipe}-x{config.model.scale}"
    candidates = (root / (name if k == 1 else f"{name}-{k}") for k in range(1, 1_000_000))
    return next(path for path in candidates if not path.exists())


def latest_folder(root: Path = Path("runs")) -> Path | None:
    """The run under `root` with the newest checkpoint, or that began later and has none yet."""
    runs = [
        (path.stat().st_mtime, path.parent.parent) for path in root.glob("*/checkpoints/step-*")
    ]
    runs += [
        (path.stat().st_mtime, path.parent)
        for path in root.glob("*/metrics.jsonl")
        if has_begun(path.parent) and Run(path.parent).latest() is None
    ]
    return max(runs)[1] if runs else None


def has_begun(folder: Path) -> bool:
    """True for a run, also for one that stopped before its first checkpoint, as on a full disk."""
    run = Run(folder)
    return run.latest() is not None or (
        (folder / "config.toml").is_file() and run.metrics_file.is_file()
    )


def saved_config(folder: Path) -> TrainConfig:
    """The settings that a run was started with. Raises UserError where the file is damaged."""
    try:
        return from_toml(folder / "config.toml", TrainConfig())
    except UserError as error:
        text = str(error).removeprefix("--config ")
        raise UserError(f"the run cannot be continued: {text}") from None


def resume_config(folder: Path, fallback: TrainConfig) -> TrainConfig:
    """The configuration a run was started with, to be continued; `fallback` where there is no run."""
    if not has_begun(folder):
        return fallback
    config = saved_config(folder)
    return replace(config, output=replace(config.output, out=folder, resume=True))
