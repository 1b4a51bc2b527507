"""Images that are the same by their pixels, whatever their files are called."""

from collections import defaultdict

import torch
from torch import Tensor

from fastsr.data.pixels import PixelStore

CORNER, SPARSE = 16, 64
"""Side of the corner that candidates are found by, in pixels, and the distance of pixels that are compared first."""


class Known:
    """Images of a store, found again by their pixels.

    Only a corner of each is read at first, as an image that was cropped at its lower right has the same one.
    """

    def __init__(self, store: PixelStore) -> None:
        self.store = store
        self.indices: dict[bytes, list[int]] = defaultdict(list)
        for index in range(len(store)):
            self.indices[corner(store.image(index))].append(index)

    def find(self, image_HWC: Tensor, slack: int = 0) -> int | None:
        """The first image of the store with these pixels.

        Args:
            image_HWC: uint8. slack: rows, and columns, that an image of the store may have more.
        """
        height, width = image_HWC.shape[:2]
        for index in self.indices.get(corner(image_HWC), ()):
            other = self.store.image(index)
            more = other.shape[0] - height, other.shape[1] - width
            if all(0 <= side <= slack for side in more) and equal(
                other[:height, :width], image_HWC
            ):
                return index
        return None

    def repeated(self) -> list[tuple[int, int]]:
        """Images that the store has before them already, each with the first of its kind."""
        found: list[tuple[int, int]] = []
        for indices in self.indices.values():
            for place, index in enumerate(indices):
                image = self.store.image(index)
                earlier = (one for one in indices[:place] if equal(self.store.image(one), image))
                found += [(index, one) for one in [next(earlier, None)] if one is not None]
        return sorted(found)


def equal(a_HWC: Tensor, b_HWC: Tensor) -> bool:
    """True for equal images. A few pixels are compared first: scans with one margin are many, and large."""
    return torch.equal(a_HWC[::SPARSE, ::SPARSE], b_HWC[::SPARSE, ::SPARSE]) and torch.equal(
        a_HWC, b_HWC
    )


def corner(image_HWC: Tensor) -> bytes:
    return image_HWC[:CORNER, :CORNER].contiguous().numpy().tobytes()
