"""Weight files of runs: generators and checkpoints found, and the best of a run."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fastsr.console import listed
from fastsr.errors import UserError
from fastsr.files import read_json, write_text
from fastsr.models.model_file import load_generator, save_generator
from fastsr.models.tensors import load_module, load_tensors, save_tensors

__all__ = [
    "Best", "checkpoint_name", "find_generator", "find_generators", "list_checkpoints", "load_generator",
    "load_module", "load_tensors", "read_best", "save_generator", "save_tensors", "write_best",
]  # fmt: skip
NAMES = {"ema": "ema", "raw": "generator"}
"""Names in a checkpoint of a generator's averaged and trained weights."""
STEP, PEER = re.compile(r"step-\d+"), re.compile(r"peer-\d+-")
"""Beginnings of the names of checkpoints, and of a peer's files in them; whatever else lies there is not ours."""


def find_generators(
    model: Path, weights: str = "ema", which: Literal["latest", "best"] = "latest"
) -> dict[str, Path]:
    """The generators meant by a path: one file, or all peers of a checkpoint or of one of a run.

    Args:
        weights: of a run or checkpoint, "ema" (averaged) or "raw" (as trained).
        which: checkpoint of a run: the latest, or the best by validation.
    Returns:
        names for people, such as "peer 0", and files.
    Raises:
        UserError: there is none.
    """
    if model.is_file():
        return {model.stem: model}
    if not model.is_dir():
        raise UserError(
            f"{model} does not exist; give a run, a checkpoint, or a generator's .safetensors file"
        )
    checkpoints = list_checkpoints(model)
    checkpoint = checkpoints[-1] if checkpoints else model
    if which == "best":
        checkpoint = model / "checkpoints" / checkpoint_name(read_best(model).step)
    found = checkpoint.glob(f"peer-*-{NAMES[weights]}.safetensors")
    files = sorted((path for path in found if PEER.match(path.name)), key=peer_index)
    if not files:
        raise UserError(
            f"{checkpoint if which == 'best' else model} holds no checkpoint; "
            "give a run, a checkpoint, or a generator's .safetensors file"
        )
    for k, file in enumerate(files):
        if peer_index(file) != k:
            lost = f"peer-{k}-{NAMES[weights]}.safetensors"
            raise UserError(f"{checkpoint} has lost {lost}; restore it, or give the file of a peer")
    return {f"peer {peer_index(file)}": file for file in files}


def find_generator(model: Path, peer: int | Literal["best"] = 0) -> Path:
    """The averaged generator of one peer of a run or checkpoint, or the file itself.

    Args:
        peer: best: the peer, at the step, that had the highest validation PSNR of a run.
    Raises:
        UserError: there is no such peer.
    """
    if model.is_file():
        return model
    number = read_best(model).peer if peer == "best" else peer
    files = find_generators(model, which="best" if peer == "best" else "latest")
    if f"peer {number}" not in files:
        raise UserError(f"{model} has no peer {number}; use --peer with one of {listed([*files])}")
    return files[f"peer {number}"]


@dataclass(frozen=True)
class Best:
    """The best of a run by validation: of which peer, after which step, and what it scored."""

    step: int
    peer: int
    psnr: float | None
    """dB; None where images were equal."""


BEST_NAME, BEST_FORMAT = "best.json", 1


def read_best(run: Path) -> Best:
    """Raises UserError where no best is kept, or the file is damaged."""
    file = run / BEST_NAME
    if not file.is_file():
        raise UserError(
            f"{run} keeps no best checkpoint: it was trained without --val or --keep-best, or is no run; "
            "use --peer 0"
        )
    return read_json(
        file,
        lambda content: Best(int(content["step"]), int(content["peer"]), content["psnr"]),
        BEST_FORMAT,
        "delete it, and take --peer 0",
    )


def write_best(run: Path, best: Best) -> None:
    """Raises OSError."""
    write_text(run / BEST_NAME, json.dumps({"format": BEST_FORMAT, **asdict(best)}) + "\n")


def peer_index(file: Path) -> int:
    return int(file.name.split("-")[1])


def list_checkpoints(run: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first. Raises UserError where their folder cannot be read."""
    folder = run / "checkpoints"
    try:
        found = [path for path in folder.iterdir() if STEP.fullmatch(path.name) and path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); allow reading it") from None
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def checkpoint_name(step: int) -> str:
    return f"step-{step:08d}"
