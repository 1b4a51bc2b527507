"""A generator in a file: ours say in their header what they are, and need no run beside them; others are recognised."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fastsr.errors import UserError
from fastsr.files import sha256_of
from fastsr.models.architecture import CHANNELS, GeneratorArchitecture, from_header, header_of
from fastsr.models.base import Generator
from fastsr.models.foreign import recognise, unwrap
from fastsr.models.networks import build_generator
from fastsr.models.tensors import check_finite, load_tensors, load_torch_file, misfits, save_tensors

OURS = "fastsr"
KNOWN = "fastsr's own, SRGAN, MSRResNet, ESRGAN and Real-ESRGAN (RRDB), SRVGGNetCompact and SPAN"


@dataclass(frozen=True)
class ModelFile:
    """A generator as a file holds it."""

    file: Path
    architecture: GeneratorArchitecture
    weights: dict[str, Tensor]
    """By our names, fp32 on the CPU."""
    layout: str
    """The project whose names the file uses: fastsr, or another."""
    notes: dict[str, str]
    """The rest of the header, such as `training` (a summary as JSON) and `license`; empty in files of others."""


def save_generator(
    generator: Generator, file: Path, notes: Mapping[str, str] | None = None
) -> None:
    """Writes a generator with its description, and notes such as `training` and `license`, in the header.

    Raises OSError.
    """
    generator.settle()
    header = {**(notes or {}), **header_of(generator.architecture)}
    save_tensors(generator.state_dict(), file, header)


def read_model(file: Path) -> ModelFile:
    """A generator of ours or of another project, from .safetensors, or from torch's files, of which no code is run.

    Raises UserError where the file is none of those known, is damaged, or holds weights that do not fit or are not
    finite.
    """
    if not file.is_file():
        raise UserError(f"{file} does not exist")
    header = read_header(file) if file.suffix == ".safetensors" else {}
    try:
        architecture = from_header(header)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{file} does not say what generator it holds ({error}); give a file that fastsr saved"
        ) from None
    if architecture is None:
        return read_foreign(file)
    check_unchanged(file)
    notes = {name: text for name, text in header.items() if name not in header_of(architecture)}
    return ModelFile(file, architecture, load_tensors(file), OURS, notes)


def read_header(file: Path) -> dict[str, str]:
    """Texts of a safetensors file by name. Raises UserError where it is damaged, or no such file."""
    try:
        with safe_open(file, "pt") as opened:
            return opened.metadata() or {}
    except (SafetensorError, OSError, ValueError):
        raise UserError(
            f"{file} is damaged or no safetensors file; give a generator that fastsr saved"
        ) from None


def read_foreign(file: Path) -> ModelFile:
    """A generator of another project. Raises UserError where it is none of those known."""
    content = load_tensors(file) if file.suffix == ".safetensors" else load_torch_file(file)
    weights = unwrap(content)
    try:
        found = recognise(weights) if weights else None
    except ValueError as error:
        raise UserError(f"{file} holds a generator of another kind: {error}") from None
    if found is None:
        first = ", ".join(list(weights or ())[:3]) or "no tensors"
        raise UserError(f"{file} holds no generator that is known ({first}); known are {KNOWN}")
    floats = {
        name: value.float() for name, value in found.weights.items() if value.is_floating_point()
    }
    return ModelFile(file, found.architecture, {**found.weights, **floats}, found.layout, {})


def load_generator(file: Path, device: torch.device | None = None) -> Generator:
    """The generator in a file, in evaluation mode and channels-last.

    Raises UserError where the file is no generator that is known, is damaged, or holds weights that do not fit or are
    not finite.
    """
    return generator_of(read_model(file), device)


def generator_of(model: ModelFile, device: torch.device | None = None) -> Generator:
    """The generator that was read. Raises UserError where its weights do not fit or are not finite."""
    check_fits(model)
    check_finite(model.weights, model.file)
    generator = build_generator(model.architecture)
    generator.load_state_dict(model.weights)
    generator.requires_grad_(False).eval()
    return generator.to(device=device or torch.device("cpu"), memory_format=torch.channels_last)  # pyright: ignore


def check_fits(model: ModelFile) -> None:
    """Raises UserError where a header describes other weights than its file holds, without allocating what it says."""
    blocks: int = getattr(model.architecture, "blocks", 0)
    if blocks > len(model.weights):  # to build 10^9 of them would take for ever
        raise UserError(
            f"{model.file} does not fit {described(model.architecture)}: the file has {len(model.weights)} tensors"
        )
    try:
        with torch.device("meta"):
            expected = build_generator(model.architecture).state_dict()
    except (ArithmeticError, RuntimeError, TypeError, ValueError, UserError) as error:
        # sizes that no tensor has, or that the network lacks
        raise UserError(
            f"{model.file} does not say what generator it holds ({str(error).splitlines()[0]}); "
            "give a file that fastsr saved"
        ) from None
    if unfit := misfits(expected, model.weights):
        raise UserError(f"{model.file} does not fit {described(model.architecture)}: {unfit}")


def described(architecture: GeneratorArchitecture) -> str:
    """The kind and sizes of a generator on one line: `RRDBNet, scale 4, blocks 23, filters 64`."""
    settings = header_of(architecture)
    kind = settings.pop("architecture").removeprefix("fastsr.")
    if settings["channels"] == str(CHANNELS):
        del settings["channels"]
    return ", ".join([kind, *(f"{name} {text}" for name, text in settings.items())])


def check_unchanged(file: Path) -> None:
    """Raises UserError where a file of a checkpoint is not what was saved, which the state.json beside it tells."""
    try:
        state = json.loads((file.parent / "state.json").read_text(encoding="utf-8"))
        saved = state["sha256"][file.name]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a file on its own, or a checkpoint from before there were sums
    if sha256_of(file) != saved:
        raise UserError(f"{file} is damaged: its contents are not those that were saved")
