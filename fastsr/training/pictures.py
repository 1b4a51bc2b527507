"""Comparison pictures: one row per image, one labelled column per method, crops enlarged to be seen."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fastsr.data.formats import as_rgb8

LABEL_HEIGHT, GAP, CROP = 24, 6, 192


def centre_crop(image_HWC: Tensor, side: int) -> Tensor:
    height, width = image_HWC.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return image_HWC[top : top + side, left : left + side]


def comparison(rows: Sequence[Mapping[str, Tensor]]) -> Image.Image:
    """A grid of the images' centres. Each row maps labels, alike in all rows, to images `[height, width, C]`."""
    labels = list(rows[0])
    cells = [[centre_crop(row[label], CROP) for label in labels] for row in rows]
    width = len(labels) * (CROP + GAP) + GAP
    canvas = Image.new("RGB", (width, LABEL_HEIGHT + len(rows) * (CROP + GAP)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for column, label in enumerate(labels):
        draw.text((GAP + column * (CROP + GAP), 3), label, fill="black", font=font)
        for row, images in enumerate(cells):
            tile = Image.fromarray(as_rgb8(images[column].numpy()))
            canvas.paste(tile, (GAP + column * (CROP + GAP), LABEL_HEIGHT + row * (CROP + GAP)))
    return canvas


def as_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))
