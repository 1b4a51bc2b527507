"""Pictures enlarged from Python: the image, array or tensor that comes in goes out larger.

Axes: N images, C channels, h w low resolution, H W high resolution.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fastsr.data.native import OWN_SPACE, converted, samples
from fastsr.download.hub import is_hub_name, model_from_hub
from fastsr.errors import UserError
from fastsr.facts import ModelFacts, read_facts
from fastsr.inference.engine import Choices, Engine
from fastsr.inference.peers import Peers, began_alike, generator_files, open_generators
from fastsr.models import Generator
from fastsr.models.fold import folded
from fastsr.system.compiler import check_compiler
from fastsr.system.device import choose_device
from fastsr.system.precision import choose_precision

Some = TypeVar("Some", Image.Image, NDArray[Any], Tensor)
LEVELS = {torch.uint8: 255, torch.uint16: 65_535}


class Upscaler:
    """Enlarges images by a model: `upscaler(image)`. Made by `fastsr.load`.

    Args:
        generators: of one scale; what they give is averaged.
        info: the facts of the first one's file.
        tell: gets a line where the way of computing has to change, as when memory runs out.
    """

    def __init__(
        self,
        generators: tuple[Generator, ...],
        info: ModelFacts,
        choices: Choices = Choices(),  # noqa: B008 - frozen
        amp: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.generators, self.info, self.choices = generators, info, choices
        self.amp, self.tell = amp, tell
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        device = next(self.generators[0].parameters()).device
        return Engine(self.generators, self.choices, choose_precision(self.amp, device), self.tell)

    @property
    def scale(self) -> int:
        """The factor by which images become higher and wider."""
        return self.engine.scale

    @property
    def channels(self) -> int:
        """Of the images that the model was trained on."""
        return self.engine.channels

    @property
    def device(self) -> torch.device:
        return self.engine.device

    @property
    def tile(self) -> int | None:
        """Side of a tile in pixels of the image that comes in, which may be set; None: whole, or by memory."""
        return self.choices.tile

    @tile.setter
    def tile(self, side: int | None) -> None:
        self.choices = replace(self.choices, tile=side)
        self.engine = self.new_engine()

    def to(self, device: str | torch.device) -> "Upscaler":
        """Moves the generators, and returns the same upscaler. Raises UserError where there is no such device."""
        chosen = choose_device(str(device))
        self.generators = tuple(one.to(chosen) for one in self.generators)
        self.engine = self.new_engine()
        return self

    def __call__(self, image: Some) -> Some:
        """The image, `scale` times as high and wide.

        Args:
            image: a Pillow image (grey, grey with alpha, RGB, RGBA, 16-bit grey; palettes and others become RGB); an
                array `[h, w]` or `[h, w, C]` or a tensor `[N, C, h, w]`, uint8, uint16 or float in [0, 1], where C is 1
                (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha); or as many as a model of other channels takes.
        Returns:
            the same kind: of an array or tensor the dtype, and of a tensor the device too; floats are cut to [0, 1].
        Raises:
            UserError: it is no such image, or there is not enough memory for the smallest tile.
        """
        if isinstance(image, Image.Image):
            return self.enlarge_image(image)
        if isinstance(image, Tensor):
            return self.enlarge_tensor(image.movedim(1, -1) if image.ndim == 4 else image).movedim(
                -1, 1
            )
        return self.enlarge_array(image)

    def enlarge_image(self, image: Image.Image) -> Image.Image:
        pixels = samples(converted(image, image.info.get("icc_profile")))
        large = self.enlarge_array(pixels)
        result = Image.fromarray(large[..., 0] if large.shape[2] == 1 else large)
        kept = {"exif"} if image.mode in OWN_SPACE else {"exif", "icc_profile"}
        result.info.update({key: image.info[key] for key in kept & image.info.keys()})
        return result

    def enlarge_array(self, image: NDArray[Any]) -> NDArray[Any]:
        native = np.require(image, image.dtype.newbyteorder("="), ["C", "W"])
        pixels = torch.from_numpy(native[..., None] if image.ndim == 2 else native)
        large = self.enlarge_tensor(pixels[None] if pixels.ndim == 3 else pixels[None, None])
        return large[0].numpy()[..., 0] if image.ndim == 2 else large[0].numpy()

    def enlarge_tensor(self, pixels_NhwC: Tensor) -> Tensor:
        shape, dtype = tuple(pixels_NhwC.shape), pixels_NhwC.dtype
        if len(shape) != 4 or shape[3] not in (1, 2, 3, 4, self.channels) or 0 in shape:
            most = f"C 1 to 4 or {self.channels}" if self.channels > 4 else "C 1 to 4"
            raise UserError(
                f"no image has {len(shape)} axes of {shape}; give [h, w], [h, w, C] or a tensor [N, C, h, w], {most}"
            )
        if dtype not in LEVELS and not dtype.is_floating_point:
            raise UserError(
                f"{dtype} is no type of samples; give uint8, uint16, or floats in [0, 1]"
            )
        return self.engine.enlarge(pixels_NhwC, LEVELS.get(dtype))


def load(
    model: str | Path,
    *,
    device: str = "auto",
    peer: Peers = 0,
    self_ensemble: bool = False,
    tile: int | None = None,
    overlap: int | None = None,
    memory: float | None = None,
    amp: bool = False,
    compile: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Upscaler:
    """Opens a model for enlarging images.

    Args:
        model: a generator's file, a run, a checkpoint, or `user/name` on the Hugging Face hub.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        peer: of a run or checkpoint: a number; best by validation; average of all weights; or ensemble, the mean of
            what all peers make.
        self_ensemble: mean over the 8 ways to turn and mirror an image: 8 times the work, a little more PSNR.
        tile: side of a tile in pixels; None: the whole image, where memory allows it.
        overlap: pixels that a tile sees beyond its core; None: the receptive field, so that tiles leave no trace.
        memory: GB to use; None: half of what the host has free, or 0.9 of the GPU's.
        amp: mixed precision, where the hardware has it.
        compile: compile the network for any size, which takes a minute.
        tell: gets a line where the way of computing has to change, as when memory runs out.
    Raises:
        UserError: the model cannot be used.
    """
    choices = Choices(
        self_ensemble=self_ensemble, tile=positive("tile", tile), overlap=positive("overlap", overlap, 0),
        memory=usable_bytes(memory),
    )  # fmt: skip
    chosen = choose_device(device)
    place = place_of(model)
    files = generator_files(place, peer)
    if peer == "average" and not began_alike(place):
        tell(
            "--peer average: the peers of this run began with different weights, whose mean is no network that was "
            "trained; --peer ensemble averages what they make"
        )
    generators = tuple(folded(one) for one in open_generators(files, peer, chosen))
    if compile:
        check_compiler()
        for block in (block for one in generators for block in one.blocks_to_compile()):
            block.compile(fullgraph=True, dynamic=True)
    return Upscaler(generators, facts_of(files[0], generators[0]), choices, amp, tell)


def facts_of(file: Path, generator: Generator) -> ModelFacts:
    """Facts about the model in a file, which may be one of others that says nothing of itself."""
    if file.suffix == ".safetensors":
        facts = read_facts(file)
    else:
        count = sum(one.numel() for one in generator.parameters())
        facts = ModelFacts(file, file.stat().st_size, "", None, None, count, ("F32",), {})
    label = generator.architecture.label
    return replace(facts, architecture=label, scale=generator.scale, channels=generator.channels)


def notes_of(file: Path) -> dict[str, str]:
    """Notes of a file beside its network: a summary of its training, a licence."""
    about = read_facts(file).about if file.suffix == ".safetensors" else {}
    return {name: about[name] for name in ("training", "license") if name in about}


def place_of(model: str | Path) -> Path:
    """A path as it is, or the file of a model on the hub, downloaded once. What lies in a folder that is here is not
    looked for there."""
    path, name = Path(model), str(model)
    is_elsewhere = isinstance(model, str) and is_hub_name(name) and not path.parent.exists()
    return model_from_hub(name) if is_elsewhere else path


def usable_bytes(gigabytes: float | None) -> int | None:
    if gigabytes is None:
        return None
    if not 0 < gigabytes < float("inf"):
        raise UserError(f"--memory {gigabytes} cannot be used; use GB above 0, or leave it out")
    return int(gigabytes * 1e9)


def positive(name: str, value: int | None, least: int = 1) -> int | None:
    if value is not None and value < least:
        raise UserError(f"--{name} {value} cannot be used; use {least} or more, or leave it out")
    return value
