"""Enlarging image files with a trained generator."""

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from fastsr.errors import UserError
from fastsr.evaluate import super_resolve
from fastsr.images import find_images, read_rgb8
from fastsr.weights import find_generators, load_generator


def upscale_files(model: Path, sources: tuple[Path, ...], out: Path, device: torch.device) -> Iterator[Path]:
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
            raise UserError(f"{target} exists already, or two images would be written to it; give another --out")
        targets[target] = path
    if not targets:
        raise UserError("no image is given; name image files, or folders of them")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}); give another folder") from None
    for target, path in targets.items():
        try:
            lr = torch.from_numpy(read_rgb8(path))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        Image.fromarray(super_resolve(generator, lr).numpy()).save(target)
        yield target
