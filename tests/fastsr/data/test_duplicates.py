"""Images found again by their pixels."""

import numpy as np
import torch

from fastsr.data.duplicates import Known
from fastsr.data.pixels import PixelStore
from tests.images import random_image


def known(*images: np.ndarray) -> Known:
    return Known(PixelStore.from_images(list(images)))


A, B = random_image(40, 30, 1), random_image(40, 30, 2)


def test_the_same_pixels_are_found_again() -> None:
    assert known(B, A).find(torch.from_numpy(A.copy())) == 1
    assert known(B).find(torch.from_numpy(A)) is None


def test_one_other_pixel_makes_another_image() -> None:
    other = A.copy()
    other[-1, -1, 2] ^= 1
    assert known(A).find(torch.from_numpy(other)) is None


def test_an_image_that_was_cropped_a_little_is_found() -> None:
    image = torch.from_numpy(A)
    assert known(A).find(image[:38, :29], slack=3) == 0
    assert known(A).find(image[:36], slack=3) is None
    assert known(A).find(image[:38, :29]) is None
    assert known(A[:38]).find(image, slack=3) is None  # it is the store that may have more


def test_repeated_images_name_the_first_of_their_kind() -> None:
    assert known(A, B, A, A, B).repeated() == [(2, 0), (3, 0), (4, 1)]
    assert known(A, B).repeated() == []


def test_images_with_one_corner_are_told_apart() -> None:
    """White margins, such as scans have."""
    scans = [np.full((60, 50, 3), 255, np.uint8) for _ in range(3)]
    scans[0][40, 30] = scans[2][40, 30] = 0
    assert known(*scans).repeated() == [(2, 0)]
