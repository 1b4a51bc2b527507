"""Images that tests make."""

from pathlib import Path

import numpy as np
from PIL import Image


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with noise on them: more like a photo than noise alone. uint8 `[height, width, 3]`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        np.sin(x / rng.uniform(5, 30) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(5, 30))
        for _ in range(3)
    ]
    return np.clip(
        127 + 90 * np.stack(waves, 2) + rng.normal(0, 12, (height, width, 3)), 0, 255
    ).astype(np.uint8)


def write_images(folder: Path, count: int = 2, side: int = 41) -> Path:
    folder.mkdir()
    for k in range(count):
        Image.fromarray(random_image(side, side + 5, k)).save(folder / f"{k}.png")
    return folder
