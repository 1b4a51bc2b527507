"""Weight files of runs: generators found in runs and checkpoints."""

import re
from pathlib import Path
from typing import Literal

from fastsr.checkpoints import checkpoint_name, list_checkpoints, read_best
from fastsr.console import listed
from fastsr.errors import UserError

NAMES = {"ema": "ema", "raw": "generator"}
"""Names in a checkpoint of a generator's averaged and trained weights."""
PEER = re.compile(r"peer-\d+-")
"""Beginning of the names of a peer's files in a checkpoint; whatever else lies there is not ours."""


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


def peer_index(file: Path) -> int:
    return int(file.name.split("-")[1])
