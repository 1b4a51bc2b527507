"""Weight files: safetensors only, never pickles. A generator's file says what it is, and needs no run beside it."""

import json
import re
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fastsr.checkpoints import checkpoint_name, list_checkpoints, read_best
from fastsr.console import listed
from fastsr.errors import UserError
from fastsr.files import sha256_of, sync
from fastsr.models import SRResNet
from fastsr.models.enlarge import Skip

ARCHITECTURE = "fastsr.SRResNet"
NAMES = {"ema": "ema", "raw": "generator"}
"""Names in a checkpoint of a generator's averaged and trained weights."""
PEER = re.compile(r"peer-\d+-")
"""Beginning of the names of a peer's files in a checkpoint; whatever else lies there is not ours."""


def save_tensors(
    tensors: dict[str, Tensor], file: Path, metadata: dict[str, str] | None = None
) -> None:
    """Writes tensors to a safetensors file and waits until the disk has it. Raises OSError."""
    try:
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, file, metadata
        )
    except SafetensorError as error:  # wraps what the system said, such as a full disk
        raise OSError(str(error)) from error
    sync(file)


def load_tensors(file: Path) -> dict[str, Tensor]:
    """Reads a safetensors file to the CPU. Raises UserError where it is missing or damaged."""
    if not file.is_file():
        raise UserError(f"{file} does not exist")
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{file} is damaged or no safetensors file ({error})") from None


def load_module(module: nn.Module, file: Path) -> None:
    """Copies a file's weights into a module, in place. Raises UserError where they do not fit."""
    try:
        module.load_state_dict(load_tensors(file))
    except RuntimeError as error:
        raise UserError(f"{file} does not fit: {str(error).splitlines()[-1].strip()}") from None


def save_generator(generator: SRResNet, file: Path) -> None:
    """Writes a generator with its architecture in the file's header. Raises OSError."""
    settings = {
        "scale": generator.scale, "blocks": generator.block_count, "filters": generator.filters, "skip": generator.skip
    }  # fmt: skip
    metadata = {
        "architecture": ARCHITECTURE,
        **{name: str(value) for name, value in settings.items()},
    }
    save_tensors(generator.state_dict(), file, metadata)


def load_generator(file: Path, device: torch.device | None = None) -> SRResNet:
    """The generator in a file, in evaluation mode and channels-last.

    Raises UserError where the file is no generator of fastsr, is damaged, or holds weights that are not finite.
    """
    if not file.is_file():
        raise UserError(f"{file} does not exist")
    try:
        with safe_open(file, "pt") as opened:
            header: dict[str, str] = opened.metadata() or {}
    except (SafetensorError, OSError, ValueError):
        raise UserError(
            f"{file} is damaged or no safetensors file; give a generator that fastsr saved"
        ) from None
    if header.get("architecture") != ARCHITECTURE:
        raise UserError(
            f"{file} holds no generator of fastsr; give a file such as peer-0-ema.safetensors, or a run"
        )
    try:
        scale, blocks, filters = (int(header[name]) for name in ("scale", "blocks", "filters"))
        generator = SRResNet(scale, blocks, filters, known_skip(header.get("skip", "none")))
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{file} does not say what generator it holds ({error}); give a file that fastsr saved"
        ) from None
    check_unchanged(file)
    load_module(generator, file)
    check_finite(generator, file)
    generator.requires_grad_(False).eval()
    return generator.to(device=device or torch.device("cpu"), memory_format=torch.channels_last)  # pyright: ignore


def check_finite(module: nn.Module, file: Path) -> None:
    """Raises UserError naming the first weight that holds NaN or infinity."""
    for name, value in module.state_dict().items():
        if not bool(value.isfinite().all()):
            raise UserError(
                f"{file} cannot be used: {name} is not finite; take an earlier checkpoint"
            )


def check_unchanged(file: Path) -> None:
    """Raises UserError where a file of a checkpoint is not what was saved, which the state.json beside it tells."""
    try:
        state = json.loads((file.parent / "state.json").read_text(encoding="utf-8"))
        saved = state["sha256"][file.name]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a file on its own, or a checkpoint from before there were sums
    if sha256_of(file) != saved:
        raise UserError(f"{file} is damaged: its contents are not those that were saved")


def known_skip(name: str) -> Skip:
    """Raises ValueError for a skip of another version of fastsr."""
    for skip in get_args(Skip):
        if name == skip:
            return skip
    raise ValueError(f"skip {name} is not known here")


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
