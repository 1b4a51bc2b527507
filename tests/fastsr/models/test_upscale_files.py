"""Upscaled files: whole or not there, continued, and never by a model that is damaged."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from fastsr.errors import UserError
from fastsr.models import SRResNet
from fastsr.models.inference import upscale_files
from fastsr.models.weights import load_generator, save_generator
from tests.images import write_images

CPU = torch.device("cpu")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_generator(SRResNet(2, blocks=1, filters=4).eval(), tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "small", 3, 12)


def upscale(model: Path, images: Path, out: Path, said: list[str] | None = None) -> list[str]:
    tell = (lambda text: None) if said is None else said.append
    return [path.name for path in upscale_files(model, (images,), out, CPU, tell=tell)]


NAMES = ["0-x2.png", "1-x2.png", "2-x2.png"]


def test_a_call_that_was_stopped_is_continued(model: Path, images: Path, tmp_path: Path) -> None:
    first = next(upscale_files(model, (images,), tmp_path / "out", CPU))
    before, said = first.stat().st_mtime_ns, list[str]()
    assert upscale(model, images, tmp_path / "out", said) == NAMES
    assert said == ["1 of 3 images were enlarged by an earlier call"]
    assert first.stat().st_mtime_ns == before


@pytest.mark.parametrize("other", ["model", "image"])
def test_what_another_model_or_image_made_is_not_taken_for_ours(
    model: Path, images: Path, tmp_path: Path, other: str
) -> None:
    upscale(model, images, tmp_path / "out")
    if other == "model":
        save_generator(SRResNet(2, blocks=1, filters=4).eval(), model)
    else:
        Image.new("RGB", (12, 12)).save(images / "0.png")
    with pytest.raises(UserError, match=r"0-x2.png exists already"):
        upscale(model, images, tmp_path / "out")


def test_a_full_disk_leaves_no_half_image(model: Path, images: Path, tmp_path: Path) -> None:
    """A write that fails for real, by a limit on the size of files."""
    (tmp_path / "out").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(UserError, match=r"out cannot be written \(.*\); free space") as caught:
            upscale(model, images, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []
    assert upscale(model, images, tmp_path / "out") == NAMES


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from PIL import ImageFile
from fastsr.models.inference import upscale_files

def killing(image, file, *rest):
    file.write(b"some pixels")
    file.fp.flush()
    os.kill(os.getpid(), signal.SIGKILL)

ImageFile._save = killing
list(upscale_files(Path(sys.argv[1]), (Path(sys.argv[2]),), Path(sys.argv[3]), torch.device("cpu")))
"""


def test_a_killed_call_leaves_no_half_image_in_the_way(
    model: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, *map(str, (model, images, out))]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert [path.suffix for path in out.iterdir() if path.name != ".fastsr"] == [".part"]
    assert upscale(model, images, out) == NAMES


def test_only_a_folder_that_upscaling_made_is_marked(
    model: Path, images: Path, tmp_path: Path
) -> None:
    upscale(model, images, tmp_path / "out")
    assert (tmp_path / "out/.fastsr").is_file()
    upscale(model, images, images)
    assert not (images / ".fastsr").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    generator = SRResNet(2, blocks=1, filters=4).eval()
    with torch.no_grad():
        generator.trunk_conv.weight[0, 0, 0, 0] = value
    file = tmp_path / "mine.safetensors"
    save_generator(generator, file)
    with pytest.raises(UserError, match=rf"{file} cannot be used: trunk_conv.weight is not finite"):
        load_generator(file)


def test_a_peer_belongs_to_a_run_and_not_to_a_file(
    model: Path, images: Path, tmp_path: Path
) -> None:
    """Of a single file, --peer says nothing."""
    (first, *_) = upscale_files(model, (images,), tmp_path / "out", CPU, peer=5)
    assert first.is_file()
