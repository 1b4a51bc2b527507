"""Pairs of patches per second of the operator, of torch, and of a DataLoader as most repositories have it.

Axes: N patches of a batch, C channels, H W high- and h w low-resolution sides of a patch.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from fastsr_kernels.backend import backend
from fastsr_kernels.patch_sampler import reference
from numpy.typing import NDArray
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from bench.microbench import (
    LAUNCHES,
    Contender,
    has_targets,
    measure,
    microseconds,
    needs_gpu,
    ratio,
)
from bench.timing import ROUNDS, synchronise
from fastsr.data.images import read_rgb8
from fastsr.data.photos import TRAIN, sample_photos
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler

SCALE, BATCH, WORKERS = 4, 16, 2
AHEAD = 2 * WORKERS  # batches that a DataLoader prepares in advance
# Of one bicubic against another, mean over a batch; seen: 0.4 / 255, and 17 / 255 mirrored.
LARGEST_ERROR = 1 / 255
LEAST_PAIRS_PER_S = {"device": 500_000, "pinned": 100_000}


@pytest.fixture(scope="module")
def patch(device: torch.device) -> int:
    """The paper's patches on a GPU; small ones on a CPU, where only the DataLoader would notice."""
    return 96 if device.type == "cuda" else 32


@pytest.fixture(scope="module")
def host_store(device: torch.device) -> PixelStore:
    """Sample photos in host memory; for a GPU so many copies of them (0.6 GB) that its cache cannot hold them."""
    photos = [read_rgb8(path) for path in sample_photos(TRAIN)]
    return PixelStore.from_images(photos * (50 if device.type == "cuda" else 1))


def make_sampler(
    store: PixelStore, patch: int, batch: int, device: torch.device, fused: bool = True
) -> PatchSampler:
    return PatchSampler(
        store, scale=SCALE, patch=patch, batch=batch, seed=0, device=device, fused=fused
    )


def drawing(
    sampler: PatchSampler, draw: Callable[[Tensor], Any] | None = None, calls: int = 20
) -> Contender:
    """Draws of one step after the other: the counter advances with every call, in replays too."""
    counter, chosen = (
        torch.zeros((), dtype=torch.int64, device=sampler.device),
        draw or sampler.draw,
    )
    return Contender(lambda: chosen(counter.add_(1)), calls, (counter,))


def compiled_draw(sampler: PatchSampler) -> Callable[[Tensor], Any]:
    compiled = torch.compile(reference.patch_sampler, fullgraph=True, dynamic=False)
    return lambda step: compiled(sampler.images, sampler.crop, sampler.seed, step)


def make_contenders(
    host_store: PixelStore, patch: int, batch: int, device: torch.device
) -> dict[str, Contender]:
    """The operator (the Triton kernel on a GPU, the reference on a CPU) by where pixels lie; the reference in torch."""
    store = host_store.to(device)
    in_torch = make_sampler(store, patch, batch, device, fused=False)
    contenders = {"device": drawing(make_sampler(store, patch, batch, device))}
    if device.type == "cuda" and backend("cuda") == "triton":
        contenders["pinned"] = drawing(make_sampler(host_store.pin(), patch, batch, device))
    contenders["compiled"] = drawing(in_torch, compiled_draw(in_torch))
    contenders["eager"] = drawing(in_torch, calls=5)  # so many kernels make a graph long enough
    return contenders


def to_bytes(x_NCHW: Tensor) -> Tensor:
    return (x_NCHW * 255).round().byte()


def assert_equal(contenders: dict[str, Contender]) -> None:
    """The first step's patches are the same, bit for bit."""
    drawn = {name: [*contender.function()] for name, contender in contenders.items()}
    for name, patches in drawn.items():
        assert all(map(torch.equal, patches, drawn["eager"])), (
            f"patches of {name} are not those of eager torch"
        )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", [BATCH, pytest.param(256, marks=needs_gpu)])
@pytest.mark.parametrize("launch", LAUNCHES)
def test_pairs_per_second(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    host_store: PixelStore,
    patch: int,
    device: torch.device,
    batch: int,
    launch: str,
) -> None:
    """Draws of one batch after the other, nothing between them."""
    replayed = launch == "replayed"
    contenders = make_contenders(host_store, patch, batch, device)
    assert_equal(contenders)
    seconds = measure(benchmark, contenders, replayed)
    pairs_per_s = {name: round(batch / median(rounds)) for name, rounds in seconds.items()}
    report(
        {
            "patch": patch,
            "batch": batch,
            "pairs_per_s": pairs_per_s,
            "times_as_fast_as": {
                name: ratio(seconds[name], seconds["device"])
                for name in seconds
                if name != "device"
            },
            **{name: microseconds(rounds) for name, rounds in seconds.items()},
        }
    )
    if has_targets() and replayed:
        for name, least in LEAST_PAIRS_PER_S.items():
            assert pairs_per_s[name] >= least, name


def shrink(hr_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bicubic by Pillow, of the crop alone."""
    height, width = hr_HWC.shape[0] // SCALE, hr_HWC.shape[1] // SCALE
    return np.array(Image.fromarray(hr_HWC).resize((width, height), Image.Resampling.BICUBIC))


def to_unit(x_HWC: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x_HWC)).permute(2, 0, 1).float() / 255


def turned(x_HWC: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """The patch in orientation `turn`: bit 0 mirrors columns, bit 1 rows, bit 2 then transposes."""
    x_HWC = x_HWC[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
    return np.ascontiguousarray(x_HWC.transpose(1, 0, 2) if turn & 4 else x_HWC)


class Photos(Dataset[tuple[Tensor, Tensor]]):
    """One pair of patches for each PNG file: decode, crop at random, turn, shrink."""

    def __init__(self, paths: list[Path], patch: int) -> None:
        self.paths, self.patch = paths, patch

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.paths[index]) as photo:
            hr_HWC = np.asarray(photo.convert("RGB"))
        top, left = (int(torch.randint(side - self.patch + 1, ())) for side in hr_HWC.shape[:2])
        crop_HWC = hr_HWC[top : top + self.patch, left : left + self.patch]
        crop_HWC = turned(crop_HWC, int(torch.randint(8, ())))
        return to_unit(shrink(crop_HWC)), to_unit(crop_HWC)


def make_loader(folder: Path, patch: int, batches: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Two workers that draw from the sample photos, written as PNG files, with pinned memory where there is a GPU."""
    paths = [folder / f"{path.stem}.png" for path in sample_photos(TRAIN)]
    for source, path in zip(sample_photos(TRAIN), paths, strict=True):
        Image.fromarray(read_rgb8(source)).save(path)
    photos = Photos(paths, patch)
    chosen = RandomSampler(photos, replacement=True, num_samples=batches * BATCH)
    pin = torch.cuda.is_available()
    return DataLoader(
        photos, BATCH, sampler=chosen, num_workers=WORKERS, prefetch_factor=2, pin_memory=pin
    )


def assert_pairs(lr_NChw: Tensor, hr_NCHW: Tensor) -> None:
    """LR patches are HR patches shrunk, but for the kind of bicubic and what it sees beyond the patch."""
    hr_NHWC = to_bytes(hr_NCHW.cpu()).permute(0, 2, 3, 1)
    shrunk_NChw = torch.stack([to_unit(shrink(hr_HWC.contiguous().numpy())) for hr_HWC in hr_NHWC])
    error = float((lr_NChw.cpu() - shrunk_NChw).abs().mean())
    assert error < LARGEST_ERROR, (
        f"LR patches are not HR patches shrunk: {255 * error:.1f} levels apart"
    )


def loader_seconds(folder: Path, patch: int, device: torch.device) -> list[float]:
    """Seconds of one batch, decoded and on the device, for each of `ROUNDS` rounds.

    The start of the workers and what they prepare meanwhile is not counted.
    """
    per_round = 10 * WORKERS if device.type == "cuda" else WORKERS
    # More batches than are taken: the workers are busy to the end.
    batches = iter(make_loader(folder, patch, AHEAD + ROUNDS * per_round + AHEAD))
    for _ in range(AHEAD):
        assert_pairs(*next(batches))
    seconds: list[float] = []
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(per_round):
            _ = [x.to(device, non_blocking=True) for x in next(batches)]
        synchronise()
        seconds.append((perf_counter() - began) / per_round)
    return seconds


@pytest.mark.timeout(600)
def test_against_data_loader(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    host_store: PixelStore,
    patch: int,
    device: torch.device,
    tmp_path: Path,
) -> None:
    """The operator with its launches. The loader is timed before it, not in turn: its workers never rest."""
    loader = loader_seconds(tmp_path, patch, device)
    operator = drawing(make_sampler(host_store.to(device), patch, BATCH, device))
    assert_pairs(*operator.function())
    seconds = measure(benchmark, {"operator": operator}, replayed=False) | {"loader": loader}
    report(
        {
            "patch": patch,
            "pairs_per_s": {
                name: round(BATCH / median(rounds)) for name, rounds in seconds.items()
            },
            "times_as_fast_as": ratio(loader, seconds["operator"]),
            **{name: microseconds(rounds) for name, rounds in seconds.items()},
        }
    )
