"""The sample photos: files of the package, each with its source and licence beside it, and used by no other way."""

import re
from pathlib import Path

import pytest

import fastsr
from fastsr.data.images import read_rgb8
from fastsr.data.photos import TRAIN, VAL, sample_photos

ROOT = Path(__file__).resolve().parents[3]
SHAPES = {
    "astronaut.png": (512, 512), "brick.png": (512, 512), "camera.png": (512, 512), "coffee.png": (400, 600),
    "hubble_deep_field.jpg": (872, 1000), "retina.jpg": (1411, 1411), "chelsea.png": (300, 451),
    "rocket.jpg": (427, 640),
}  # fmt: skip


@pytest.mark.parametrize("name", [*TRAIN, *VAL])
def test_photos_decode(name: str) -> None:
    (path,) = sample_photos((name,))
    assert path.is_relative_to(Path(fastsr.__file__).parent)
    pixels = read_rgb8(path)
    assert pixels.shape == (*SHAPES[name], 3)
    assert pixels.std() > 10, "a photo, and no empty picture"


def test_every_photo_has_a_licence_beside_it() -> None:
    (folder,) = {path.parent for path in sample_photos(TRAIN + VAL)}
    assert {path.name for path in folder.iterdir()} == {*TRAIN, *VAL, "README.md"}
    rows = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    for name in TRAIN + VAL:
        (row,) = [row for row in rows if row.startswith(f"| `{name}` |")]
        assert re.search(r"\| [^|]*(CC0|public domain)[^|]* \|$", row), row


def test_nothing_imports_scikit_image() -> None:
    sources = [
        path
        for part in ("fastsr", "kernels", "bench", "tests")
        for path in (ROOT / part).rglob("*.py")
    ]
    found = [
        str(path)
        for path in sources
        if re.search(r"^\s*(from|import) skimage", path.read_text("utf-8"), re.M)
    ]
    assert len(sources) > 50 and found == []
