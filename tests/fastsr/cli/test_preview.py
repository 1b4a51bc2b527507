"""`fastsr data preview`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fastsr.cli.command_line import Fastsr
from tests.images import write_images


def test_a_page_of_patches(fastsr: Fastsr, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", side=100)
    page = tmp_path / "page.png"
    outcome = fastsr(
        "data",
        "preview",
        "--data",
        str(images),
        "--patch",
        "64",
        "--count",
        "3",
        "--out",
        str(page),
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert str(page) in outcome.out.replace("\n", "")
    picture = np.asarray(Image.open(page))
    # Three rows of whole multiples of a patch, under a line of names.
    assert picture.shape[0] > 3 * 64
    assert (picture[:12] == 255).all() and (picture[:, :12] == 255).all()
    assert (picture[12:27] < 255).any()
    assert picture.std() > 20


def test_samples_of_16_bits_are_packed_as_in_training(fastsr: Fastsr, tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 128 * 128).reshape(128, 128).astype(np.uint16)
    (tmp_path / "deep").mkdir()
    Image.fromarray(deep).save(tmp_path / "deep" / "a.png")
    options = ("--data", "deep", "--channels", "1", "--bits", "16", "--patch", "32", "--cache", "c")
    outcome = fastsr("data", "preview", *options, "--count", "1", "--scale", "2")
    assert (outcome.code, outcome.out) == (0, "preview.png\n")
    (index,) = (tmp_path / "c" / "packs").glob("*/index.json")
    assert json.loads(index.read_text())["bits"] == 16


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--degrade", "bicubic"), "draws nothing"),
        (("--degrade", "none"), "is not known"),
        (("--patch", "63"), "multiple of --scale"),
        (("--count", "0"), "--count 0"),
        (("--out", "no/such/folder.png"), "--out no/such/folder.png cannot be written"),
    ],
)
def test_what_cannot_be_shown(fastsr: Fastsr, options: tuple[str, str], words: str) -> None:
    outcome = fastsr("data", "preview", "--count", "1", *options)
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
