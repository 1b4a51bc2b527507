"""The images of a run: found, packed, checked against each other, and drawn from."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from fastsr.cohort.share import Share, Whole
from fastsr.config.fixed import validation_degradation
from fastsr.config.settings import TrainConfig
from fastsr.console import counted, is_live, say
from fastsr.data.conversions import conversions
from fastsr.data.degrade import DegradedPatches
from fastsr.data.duplicates import Known
from fastsr.data.formats import format_of
from fastsr.data.given import VALIDATION, paired, partners_of
from fastsr.data.images import find_images
from fastsr.data.pack import pack_images
from fastsr.data.photos import TRAIN, VAL, sample_photos
from fastsr.data.pixels import PixelStore, place
from fastsr.data.sampler import HostPatches, PatchSampler, PatchSource
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load_pairs
from fastsr.prediction.memory import predicted_need
from fastsr.system.backend import kernels
from fastsr.system.memory import available_memory, gigabytes


def open_images(
    config: TrainConfig, console: Console, waiting: int = 0, found: list[Path] | None = None
) -> PixelStore:
    """The training images, packed. Without --data: the demonstration photos.

    Args:
        waiting: other processes that wait for the pack.
        found: the images, where they have been searched for already; of many that takes seconds.
    """

    def progress(items: Iterator[Any], total: int, kind: str = "") -> Iterator[Any]:
        others = (
            f"; ranks 1 to {waiting} wait" if waiting > 1 else "; rank 1 waits" if waiting else ""
        )
        text = f"packing {counted(total, f'{kind}image')}{others}"
        if not is_live(console):
            say(console, text)
        yield from track(items, text, total, console=console, disable=not is_live(console))

    paths, low_paths = found or image_paths(config), low_image_paths(config)
    partners = partners_of(paths, low_paths, config.model.scale) if low_paths else {}

    def packed(files: list[Path], least: int, skip_bad: bool, kind: str = "") -> PixelStore:
        return pack_images(
            files,
            minimum_side=least,
            form=format_of(config),
            skip_bad=skip_bad,
            cache=config.images.cache,
            tell=lambda text: say(console, text),
            track=partial(progress, kind=kind),
        )

    store = packed(paths, config.drawn_side, config.images.skip_bad)
    if not partners:
        return store
    return paired(
        store, packed(low_paths, 1, False, "low-resolution "), partners, config.model.scale
    )


def notes_on_samples(config: TrainConfig, images: list[Path]) -> list[str]:
    """Sentences on what becomes of the samples of images, and on what else could become of them."""
    form = format_of(config)
    notes = conversions(images, form)
    if form.bits == 16 and not config.degrade.is_bicubic:
        notes.append("degradations round low resolution to 8 bits; high resolution keeps 16")
    if form.channels != 3 and not config.degrade.is_bicubic:
        notes.append("JPEG among the degradations codes each channel by itself, as grey")
    return notes


def low_image_paths(config: TrainConfig) -> list[Path]:
    """Given low resolutions of the training images. Raises UserError where they cannot be meant."""
    images, degrade = config.images, config.degrade
    if not images.lr_data:
        return []
    if not images.data:
        raise UserError(f"--lr-data {images.lr_data[0]} needs --data, the images it belongs to")
    if not degrade.is_bicubic:
        raise UserError(
            f"--lr-data gives low resolutions, and --degrade {degrade.degrade} makes them; leave one out"
        )
    return find_images(images.lr_data, suffixes=format_of(config).suffixes)


def image_paths(config: TrainConfig, console: Console | None = None) -> list[Path]:
    """Training images. With a console, folders that are left out are told there."""
    sources = config.images.data or sample_photos(TRAIN)
    tell = lambda text: say(console, text) if console else None  # noqa: E731
    return find_images(sources, tell, format_of(config).suffixes)


def validation_paths(config: TrainConfig) -> list[Path]:
    sources = validation_sources(config)
    return find_images(sources, suffixes=format_of(config).suffixes) if sources else []


def validation_sources(config: TrainConfig) -> tuple[Path, ...]:
    """Folders and files that are validated on: the demonstration's own photos where it trains on its own."""
    return config.images.val or (() if config.images.data else sample_photos(VAL))


def open_validation(config: TrainConfig) -> list[Pair]:
    """The images to validate on, with the low resolution that every validation uses. Raises UserError."""
    images, scale = config.images, config.model.scale
    files = tuple(validation_paths(config))
    form = format_of(config)
    if images.val_lr_data and not images.val:
        raise UserError(
            f"--val-lr-data {images.val_lr_data[0]} needs --val, the images it belongs to"
        )
    if not files:
        return []
    degraded = validation_degradation(config)
    low = find_images(images.val_lr_data, suffixes=form.suffixes) if images.val_lr_data else []
    partners = partners_of(list(files), low, scale, VALIDATION) if low else None
    return list(load_pairs(files, scale, images.border, partners, degraded, form))


def warn_of_repeated(
    store: PixelStore, validation: list[Pair], scale: int, console: Console
) -> None:
    """Says where training images are there twice, and where training sees what it is validated on.

    Of more images than fit into memory nothing is known: corners of all of them would have to be read.
    """
    if store.nbytes > available_memory() > 0:
        say(
            console,
            f"{gigabytes(store.nbytes)} of images: not searched for images that are there twice",
        )
        return
    known = Known(store)
    if repeated := known.repeated():
        again, first = repeated[0]
        count = f"{len(repeated)} of {len(store)} images in --data"
        are = "is" if len(repeated) == 1 else "are"
        say(
            console,
            f"warning: {count} {are} there more than once and drawn more often, "
            f"such as {store.names[again]}, which is {store.names[first]}",
        )
    warn_of_shared(known, validation, "--val", scale, console)


def warn_of_shared(
    known: Known, pairs: Iterable[Pair], what: str, scale: int, console: Console
) -> None:
    """Says how many images of a set are trained on: a score on them tells nothing of other images."""
    found = [known.find(pair.hr, slack=scale - 1) is not None for pair in pairs]
    if any(found):
        are = "is" if sum(found) == 1 else "are"
        say(
            console,
            f"warning: {sum(found)} of {counted(len(found), 'image')} of {what} {are} among the training images; "
            "such scores say little about other images",
        )


def patch_source(
    config: TrainConfig, store: PixelStore, device: torch.device, share: Share | None = None
) -> PatchSource:
    """The patches of a share, by default of everything, drawn by the device where it can reach the pixels, else by a
    thread of the host."""
    share = share or Whole(range(config.cohort.peers))
    # Predictions hold within 15 %.
    placed = place(store, device, lambda: round(1.15 * predicted_need(config, device)))
    by_triton = config.machine.fused and kernels(device) == "triton"
    reachable = placed.device == device or (by_triton and placed.pixels.is_pinned())
    drawing = device if reachable else None
    sampler = PatchSampler.from_config(placed, config, drawing, share.part, share.parts)
    patches = sampler if reachable else HostPatches(sampler, device)
    if config.degrade.is_bicubic:
        return patches
    return DegradedPatches(
        patches,
        config.degrade,
        scale=config.model.scale,
        seed=config.machine.seed,
        device=device,
        fused=config.machine.fused,
        counter=sampler.counter,
    )


def fingerprint(store: PixelStore) -> str:
    """Tells one set of training images from another by their pixels, order and sizes."""
    digest = hashlib.sha256(store.digest.encode())
    for table in (store.start_I, store.height_I, store.width_I):
        digest.update(table.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
