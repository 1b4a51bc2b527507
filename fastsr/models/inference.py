"""Generators run on whole images."""

import os
import warnings
from collections.abc import Callable, Iterator
from collections.abc import Generator as Iteration
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from fastsr.data.images import DAMAGE, find_images, read_rgb8
from fastsr.errors import UserError
from fastsr.files import mark, sha256_of, sync
from fastsr.models import Generator
from fastsr.models.weights import find_generator, load_generator
from fastsr.system.precision import Precision


@torch.no_grad()
def super_resolve(
    generator: Generator, lr_hwC: Tensor, precision: Precision | None = None
) -> Tensor:
    """uint8 `[h, w, 3]` to uint8 `[scale*h, scale*w, 3]`, rounded; runs where the generator is, returns to the CPU."""
    assert not any(module.training for module in generator.modules()), "not in evaluation mode"
    device = next(generator.parameters()).device
    x = lr_hwC.to(device).permute(2, 0, 1)[None].float() / 255
    # Every image has another size: for cuDNN to search for the best algorithm would not pay.
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)
    with exact, (precision or Precision()).autocast(device):
        sr = generator(x.contiguous(memory_format=torch.channels_last))[0]
    return (sr * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu()


def upscale_files(
    model: Path,
    sources: tuple[Path, ...],
    out: Path,
    device: torch.device,
    peer: int | Literal["best"] = 0,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[Path]:
    """Writes each image, enlarged, as a PNG of the same name into `out`, and yields its path.

    Args:
        model: a run, a checkpoint or a generator's file. sources: image files and folders.
        peer: whose generator of a run or checkpoint; best: of a run, that with the highest validation PSNR.
    Raises:
        UserError: a file cannot be read, or two images would be written to one name; nothing is overwritten, and what
            the same model made of the same image is kept.
    """
    file = find_generator(model, peer)
    generator, model_digest = load_generator(file, device), sha256_of(file)
    targets = plan(find_images(sources, tell), out, generator.scale, model_digest)
    done = {target for target, (_, origin) in targets.items() if origin_of(target) == origin}
    if done:
        tell(f"{len(done)} of {len(targets)} images were enlarged by an earlier call")
    with writing_to(out):
        if not out.exists():
            out.mkdir(parents=True)
            mark(out)
    for target, (path, origin) in targets.items():
        if target not in done:
            try:
                lr = torch.from_numpy(read_rgb8(path))
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
            sr = Image.fromarray(super_resolve(generator, lr).numpy())
            with writing_to(out):
                save_whole(sr, target, origin)
        yield target


def plan(
    paths: list[Path], out: Path, scale: int, model_digest: str
) -> dict[Path, tuple[Path, str]]:
    """The files to write, each with its image and the origin that is noted in it.

    Raises UserError where a file is in the way, or there are no images.
    """
    targets: dict[Path, tuple[Path, str]] = {}
    for path in paths:
        target = out / f"{path.stem}-x{scale}.png"
        try:
            origin = f"{model_digest} {sha256_of(path)}"
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        if target in targets or (target.exists() and origin_of(target) != origin):
            raise UserError(
                f"{target} exists already, or two images would be written to it; give another --out"
            )
        targets[target] = path, origin
    if not targets:
        raise UserError("no image is given; name image files, or folders of them")
    return targets


ORIGIN = "fastsr"
"""Text in our PNG files: digests of the model and of the image, by which a call that was stopped goes on."""


def origin_of(file: Path) -> str | None:
    """From which model and image a PNG was made; None where fastsr did not make it, or there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                return image.info.get(ORIGIN)
    except (*DAMAGE, Image.DecompressionBombError):
        return None


def save_whole(image: Image.Image, file: Path, origin: str) -> None:
    """Writes a PNG that is complete, or not there. Raises OSError."""
    temporary = file.with_name(f".{os.getpid()}.part")
    text = PngInfo()
    text.add_text(ORIGIN, origin)
    try:
        image.save(temporary, "PNG", pnginfo=text)
        sync(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_to(out: Path) -> Iteration[None, None, None]:
    """Says in one line that the folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written ({error.strerror or error}); free space, or give another folder"
        ) from None
