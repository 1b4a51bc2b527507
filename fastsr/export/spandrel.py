"""A generator as spandrel loads it, and with it ComfyUI, chaiNNer and others; compared before it is called done."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fastsr.errors import UserError
from fastsr.export.written import written
from fastsr.integrations.spandrel import MARK, install, marked
from fastsr.models import SPAN, Compact, Generator, RRDBNet
from fastsr.models.architecture import CHANNELS, header_of
from fastsr.models.tensors import save_tensors

USUAL_GROWTH = 32
"""Channels that a convolution of RRDB adds; spandrel takes no others."""
LARGEST_DIFFERENCE = {False: 1e-4, True: 2e-2}
SIDES = (13, 22)
REMEDY = "pip install 'fastsr[export]'"


def export_spandrel(
    generator: Generator,
    file: Path,
    *,
    half: bool = False,
    notes: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> float:
    """Writes a generator for spandrel. Returns the largest difference between what both make of one image.

    Networks that spandrel lacks carry a description of themselves; `fastsr.integrations.spandrel.install()` makes
    spandrel understand it.

    Raises UserError where spandrel is missing, loads it otherwise, or the file cannot be written; nothing is written.
    """
    generator.settle()
    weights = {name: value.cpu() for name, value in generator.state_dict().items()}
    if not is_known(generator):
        weights[MARK] = marked(generator.architecture)
    if half:
        weights = {
            name: value.half() if value.is_floating_point() else value
            for name, value in weights.items()
        }
    with written(file, overwrite) as temporary:
        save_tensors(weights, temporary, {**(notes or {}), **header_of(generator.architecture)})
        found = difference(temporary, generator)
        if not found <= LARGEST_DIFFERENCE[half]:
            raise UserError(
                f"{file} is not written: spandrel makes other pictures of it, by {found:.2g} of [0, 1]"
            )
    return found


def is_known(generator: Generator) -> bool:
    """True for a network that spandrel has by itself, with the same names of weights."""
    if isinstance(generator, RRDBNet):
        return generator.growth == USUAL_GROWTH
    if isinstance(generator, SPAN):  # of whose normalisation it knows that of RGB
        return generator.channels == CHANNELS
    return isinstance(generator, Compact)


def difference(file: Path, generator: Generator) -> float:
    """The largest difference between spandrel's and our result, of noise in [0, 1].

    Raises UserError where spandrel is missing or does not know the file.
    """
    spandrel = package()
    install()
    named = file.with_suffix(".safetensors")  # by which spandrel knows the kind of file
    file.rename(named)
    try:
        loaded = spandrel.ModelLoader(device="cpu").load_from_file(named)
    except (
        spandrel.UnsupportedModelError,
        RuntimeError,
        KeyError,
        ValueError,
        AssertionError,
    ) as error:
        raise UserError(
            f"spandrel does not load this network ({' '.join(str(error).split())[:200]})"
        ) from None
    finally:
        named.rename(file)
    image = torch.rand(1, generator.channels, *SIDES, generator=torch.Generator().manual_seed(0))
    device = next(generator.parameters()).device
    with torch.no_grad():
        want = generator(image.to(device)).cpu().clamp(0, 1)
        got = loaded.model.float().eval()(image).clamp(0, 1)
    return float((got - want).abs().max()) if got.shape == want.shape else torch.inf


def package() -> Any:
    """spandrel. Raises UserError where it is missing."""
    try:
        import spandrel
    except ImportError:
        raise UserError(f"--format spandrel needs spandrel; {REMEDY}") from None
    return spandrel
