"""`fastsr data preview`: what a training with blind degradations would see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from fastsr.config.check_degrade import check_degrade
from fastsr.config.presets import preset
from fastsr.console import say
from fastsr.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PreviewArguments:
    """Show degraded patches on one page: HR, LR, and what was drawn for each.

    Examples:
        fastsr data preview --degrade real-esrgan --out page.png
        fastsr data preview --degrade light --data photos --patch 128 --out page.png
    """

    data: tuple[Path, ...] = ()
    """Folders of images. Default: the sample photos."""
    degrade: str = "real-esrgan"
    """real-esrgan, bsrgan, light, or a Real-ESRGAN options file (.yml)."""
    scale: Literal[1, 2, 3, 4, 8] = 4
    """Upscaling factor. 1: restoration."""
    channels: int = 3
    """Channels of the images, of which the first three are shown, or the first as grey."""
    bits: Literal[8, 16] = 8
    """Bits of a sample that are kept, as in training. The page has 8 in any case."""
    patch: int = 128
    """Side of a HR patch in pixels, a multiple of the scale."""
    count: int = 8
    """Patches to show."""
    seed: int = 0
    """Seed; the patches are the first that a training with it sees."""
    cache: Path | None = None
    """Folder for packed pixels. Default: ~/.cache/fastsr."""
    out: Path = Path("preview.png")
    """PNG file to write."""


def write_preview(arguments: PreviewArguments) -> None:
    """Raises UserError for settings that do not fit, images that cannot be used, and a page that cannot be written."""
    config = preset(arguments.degrade)
    if config.is_bicubic:
        raise UserError("--degrade bicubic draws nothing; use real-esrgan, bsrgan, light or a file")
    if arguments.patch % arguments.scale or not 1 <= arguments.count <= 64:
        raise UserError(
            f"--patch {arguments.patch} must be a multiple of --scale, and --count {arguments.count} from 1 to 64"
        )
    if arguments.channels < 1:
        raise UserError(f"--channels {arguments.channels} cannot be used; use 1 or more")
    check_degrade(config, arguments.patch, arguments.scale)
    from fastsr.data.formats import PixelFormat
    from fastsr.data.images import find_images
    from fastsr.data.pack import pack_images
    from fastsr.data.photos import TRAIN, sample_photos
    from fastsr.data.preview import contact_sheet

    form = PixelFormat(arguments.channels, arguments.bits)
    store = pack_images(
        find_images(arguments.data or sample_photos(TRAIN), suffixes=form.suffixes),
        form=form,
        minimum_side=arguments.patch + config.context_at(arguments.scale),
        cache=arguments.cache,
    )
    sheet = contact_sheet(
        store, config, scale=arguments.scale, patch=arguments.patch, count=arguments.count, seed=arguments.seed
    )  # fmt: skip
    try:
        sheet.save(arguments.out, "PNG")
    except OSError as error:
        raise UserError(
            f"--out {arguments.out} cannot be written ({error.strerror or error}); give another file"
        ) from None
    say(Console(), str(arguments.out))
