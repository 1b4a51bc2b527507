"""Test images that a run was trained on, found by their pixels."""

from collections.abc import Iterable
from pathlib import Path

from fastsr.checkpoints import run_of
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.console import counted
from fastsr.data.duplicates import Known
from fastsr.data.formats import format_of
from fastsr.data.images import find_images
from fastsr.data.pack import open_pack, pack_key
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair
from fastsr.files import default_cache


def known_images(model: Path) -> Known | None:
    """The training images of a run or of the run of a checkpoint, from its pack; None where they are not at hand."""
    run = run_of(model)
    if run is None:
        return None
    try:
        config = from_toml(run / "config.toml", TrainConfig())
        images, form = config.images, format_of(config)
        packs = (images.cache or default_cache()) / "packs"
        folder = packs / pack_key(find_images(images.data, suffixes=form.suffixes), form)
        return Known(open_pack(folder)[0]) if images.data and folder.is_dir() else None
    except UserError:
        return None  # images that are no longer there, or a damaged pack: training tells of those


def training_note(known: Iterable[Known], pairs: Iterable[Pair], scale: int) -> list[str]:
    """A note where test images are trained on: their scores say little about other images."""
    stores = tuple(known)
    if not stores:
        return []
    found = [
        any(one.find(pair.hr, slack=scale - 1) is not None for one in stores) for pair in pairs
    ]
    if not any(found):
        return []
    are = "is" if sum(found) == 1 else "are"
    return [
        f"warning: {sum(found)} of {counted(len(found), 'image')} {are} among the training images; "
        "such scores say little about other images"
    ]
