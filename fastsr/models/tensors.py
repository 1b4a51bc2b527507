"""Tensors in files: ours are safetensors; those of others may be torch files, of which no code is ever run."""

import warnings
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fastsr.errors import UserError
from fastsr.files import sync


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


def load_torch_file(file: Path) -> object:
    """The contents of a file of torch.save, on the CPU. Raises UserError where it holds code, or cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickles; what cannot be read is told below
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise UserError(
            f"{file} is refused: it is damaged, or holds Python objects, which could run code, besides tensors; "
            "where you trust it, save its tensors as .safetensors"
        ) from None
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        known = (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError)
        if not isinstance(error, known):
            raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{file} cannot be read as weights ({type(error).__name__}: {first}); give a .safetensors or .pth file"
        ) from None


def check_finite(tensors: dict[str, Tensor], file: Path) -> None:
    """Raises UserError naming the first weight that holds NaN or infinity."""
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise UserError(
                f"{file} cannot be used: {name} is not finite; take an earlier checkpoint"
            )


def misfits(wanted: dict[str, Tensor], given: dict[str, Tensor], most: int = 3) -> str:
    """The entries in which two states differ, some of each kind by name; empty where they fit."""
    kinds = {
        "missing": [name for name in wanted if name not in given],
        "not known": [name for name in given if name not in wanted],
        "of another shape": [
            f"{name} {list(value.shape)} instead of {list(wanted[name].shape)}"
            for name, value in given.items()
            if name in wanted and value.shape != wanted[name].shape
        ],
    }
    return "; ".join(
        f"{kind}: {', '.join(names[:most])}"
        + (f" and {len(names) - most} more" if len(names) > most else "")
        for kind, names in kinds.items()
        if names
    )
