"""Weight files: safetensors only, never pickles. A generator's file says what it is, and needs no run beside it."""

import re
from pathlib import Path
from typing import get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fastsr.errors import UserError
from fastsr.files import sync
from fastsr.models import SRResNet
from fastsr.models.enlarge import Skip

ARCHITECTURE = "fastsr.SRResNet"
NAMES = {"ema": "ema", "raw": "generator"}
"""Names in a checkpoint of a generator's averaged and trained weights."""
STEP, PEER = re.compile(r"step-\d+"), re.compile(r"peer-\d+-")
"""How names of checkpoints, and of a peer's files in them, begin; whatever else lies there is not ours."""


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

    Raises UserError where the file is no generator of fastsr, or damaged.
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
    load_module(generator, file)
    generator.requires_grad_(False).eval()
    return generator.to(device=device or torch.device("cpu"), memory_format=torch.channels_last)  # pyright: ignore


def known_skip(name: str) -> Skip:
    """Raises ValueError for a skip of another version of fastsr."""
    for skip in get_args(Skip):
        if name == skip:
            return skip
    raise ValueError(f"skip {name} is not known here")


def find_generators(model: Path, weights: str = "ema") -> dict[str, Path]:
    """The generators meant by a path: one file, or all peers of a checkpoint or of a run's latest one.

    Args:
        weights: of a run or checkpoint, "ema" (averaged) or "raw" (as trained).
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
    files = sorted(
        (
            path
            for path in checkpoint.glob(f"peer-*-{NAMES[weights]}.safetensors")
            if PEER.match(path.name)
        ),
        key=peer_index,
    )
    if not files:
        raise UserError(
            f"{model} holds no checkpoint; give a run, a checkpoint, or a generator's .safetensors file"
        )
    for k, file in enumerate(files):
        if peer_index(file) != k:
            lost = f"peer-{k}-{NAMES[weights]}.safetensors"
            raise UserError(f"{checkpoint} has lost {lost}; restore it, or give the file of a peer")
    return {f"peer {peer_index(file)}": file for file in files}


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
