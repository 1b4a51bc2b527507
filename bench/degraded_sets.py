"""Test sets with fixed degradations, made without fastsr: `python -m bench.degraded_sets SET... --out FOLDER`.

Gaussian blur by SciPy, means of SCALE x SCALE pixels, Gaussian noise by NumPy, JPEG with 4:2:0 by Pillow. So what a
network has learned from fastsr's degradations is tested on those of others. `fastsr eval --lr given` reads the folders.
"""

import argparse
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from fastsr.data.images import find_images, read_rgb8

SCALE = 4


class Degradation(NamedTuple):
    """Blur in HR pixels, noise in levels, quality of JPEG."""

    sigma: float
    noise: float
    quality: int


KINDS = {"mild": Degradation(1.5, 6, 60), "heavy": Degradation(3, 20, 35)}


def degraded(hr: NDArray[np.uint8], what: Degradation, seed: int) -> Image.Image:
    """A quarter of the size, from blurred pixels, with noise, as JPEG."""
    blurred = gaussian_filter(hr.astype(float), (what.sigma, what.sigma, 0), mode="mirror")
    height, width = (side // SCALE for side in hr.shape[:2])
    small = blurred.reshape(height, SCALE, width, SCALE, 3).mean((1, 3))
    noisy = small + np.random.default_rng(seed).normal(0, what.noise, small.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy + 0.5, 0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=what.quality, subsampling="4:2:0"
    )
    return Image.open(io.BytesIO(file.getvalue()))


def write_set(source: Path, out: Path, what: Degradation, most: int | None) -> int:
    """Writes originals, cut to multiples of the scale, and their low resolutions. Returns how many."""
    paths = find_images((source,))[:most]
    low = out / "LR_bicubic" / f"X{SCALE}"
    for folder in (out / "HR", low):
        folder.mkdir(parents=True, exist_ok=True)
    for seed, path in enumerate(paths):
        hr = read_rgb8(path)
        hr = hr[: hr.shape[0] // SCALE * SCALE, : hr.shape[1] // SCALE * SCALE]
        Image.fromarray(hr).save(out / "HR" / f"{path.stem}.png")
        degraded(hr, what, seed).save(low / f"{path.stem}x{SCALE}.png")
    return len(paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, help="images of each set")
    given = parser.parse_args()
    for source in given.sets:
        for kind, what in KINDS.items():
            out = given.out / f"{source.name}-{kind}"
            print(f"{out}: {write_set(source, out, what, given.most)} images")


if __name__ == "__main__":
    main()
