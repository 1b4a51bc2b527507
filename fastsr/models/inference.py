"""Generators run on whole images."""

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fastsr.data.images import find_images, read_rgb8
from fastsr.errors import UserError
from fastsr.models import SRResNet
from fastsr.models.weights import find_generators, load_generator
from fastsr.system.precision import Precision


@torch.no_grad()
def super_resolve(
    generator: SRResNet, lr_hwC: Tensor, precision: Precision | None = None
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
    model: Path, sources: tuple[Path, ...], out: Path, device: torch.device
) -> Iterator[Path]:
    """Writes each image, enlarged, as a PNG of the same name into `out`, and yields its path.

    Args:
        model: a run, a checkpoint (their first peer is used) or a generator's file. sources: image files and folders.
    Raises:
        UserError: a file cannot be read, or two images would be written to one name; nothing is overwritten.
    """
    generator = load_generator(next(iter(find_generators(model).values())), device)
    targets: dict[Path, Path] = {}
    for path in find_images(sources):
        target = out / f"{path.stem}-x{generator.scale}.png"
        if target in targets or target.exists():
            raise UserError(
                f"{target} exists already, or two images would be written to it; give another --out"
            )
        targets[target] = path
    if not targets:
        raise UserError("no image is given; name image files, or folders of them")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written ({error.strerror}); give another folder"
        ) from None
    for target, path in targets.items():
        try:
            lr = torch.from_numpy(read_rgb8(path))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        Image.fromarray(super_resolve(generator, lr).numpy()).save(target)
        yield target
