"""Enlarged files: whole or not there, continued, trees kept, and one bad image stops no other."""

import errno
import io
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.errors import UserError
from fastsr.inference.files import Outcome, enlarge_files, plan
from fastsr.inference.sources import Source, find_sources
from fastsr.inference.upscaler import Upscaler, load
from fastsr.models import Compact, SRResNet
from fastsr.models.inference import super_resolve
from fastsr.models.model_file import load_generator, save_generator
from tests.images import random_image, write_images

NAMES = ["0-x2.png", "1-x2.png", "2-x2.png"]


@pytest.fixture
def upscaler(model: Path) -> Upscaler:
    return load(model, device="cpu")


def enlarge(upscaler: Upscaler, images: Path, out: Path, **options: object) -> Outcome:
    jobs = plan(find_sources([str(images)]), out, upscaler.scale, None)
    return enlarge_files(upscaler, jobs, out, **options)  # type: ignore[arg-type]


def names(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*.*") if path.name != ".fastsr")


def test_files_are_what_the_generator_gives(
    upscaler: Upscaler, model: Path, images: Path, tmp_path: Path
) -> None:
    outcome = enlarge(upscaler, images, tmp_path / "out")
    assert (outcome.images, outcome.pixels, outcome.kept, outcome.bad) == (3, 3 * 24 * 34, 0, {})
    assert names(tmp_path / "out") == NAMES
    for k in range(3):
        got = np.asarray(Image.open(tmp_path / "out" / NAMES[k]))
        want = super_resolve(load_generator(model), torch.from_numpy(random_image(12, 17, k)))
        assert np.abs(got.astype(int) - want.numpy().astype(int)).max() <= 1


def test_a_call_that_was_stopped_goes_on(upscaler: Upscaler, images: Path, tmp_path: Path) -> None:
    enlarge(upscaler, images, tmp_path / "out")
    (tmp_path / "out/1-x2.png").unlink()
    before = (tmp_path / "out/0-x2.png").stat().st_mtime_ns
    outcome = enlarge(upscaler, images, tmp_path / "out")
    assert (outcome.images, outcome.kept) == (1, 2) and names(tmp_path / "out") == NAMES
    assert (tmp_path / "out/0-x2.png").stat().st_mtime_ns == before
    assert enlarge(upscaler, images, tmp_path / "out", overwrite=True).images == 3
    assert (tmp_path / "out/0-x2.png").stat().st_mtime_ns > before


def test_one_bad_image_stops_no_other(upscaler: Upscaler, images: Path, tmp_path: Path) -> None:
    (images / "1.png").write_text("no image")
    Image.new("F", (3, 3)).save(images / "3.tif")
    outcome = enlarge(upscaler, images, tmp_path / "out")
    assert names(tmp_path / "out") == ["0-x2.png", "2-x2.png"]
    assert outcome.bad[images / "1.png"] == "is not an image, or is damaged"
    assert "float or 32 bit" in outcome.bad[images / "3.tif"] and len(outcome.bad) == 2


class Fragile(Compact):
    """Gives numbers that are not finite for dark images, as fp16 does for some."""

    def forward(self, lr_NChw: torch.Tensor) -> torch.Tensor:
        return super().forward(lr_NChw) / (lr_NChw.amax((1, 2, 3), keepdim=True) > 0.5).float()


def test_an_image_that_fails_costs_no_other_of_its_batch(
    upscaler: Upscaler, tmp_path: Path
) -> None:
    (tmp_path / "same").mkdir()
    for k, level in enumerate((200, 10, 220)):
        Image.new("RGB", (9, 8), (level,) * 3).save(tmp_path / f"same/{k}.png")
    fragile = Upscaler((Fragile(2, 1, 4).eval().requires_grad_(False),), upscaler.info)
    outcome = enlarge(fragile, tmp_path / "same", tmp_path / "out")
    assert names(tmp_path / "out") == ["0-x2.png", "2-x2.png"] and outcome.images == 2
    assert list(outcome.bad) == [tmp_path / "same/1.png"]
    assert "not finite" in outcome.bad[tmp_path / "same/1.png"]


@pytest.mark.parametrize("memory", [0.0, -1.0, float("nan"), float("inf")])
def test_memory_that_cannot_be_meant_is_refused(model: Path, memory: float) -> None:
    with pytest.raises(UserError, match=r"--memory .* cannot be used; use GB above 0"):
        load(model, memory=memory)


def test_trees_are_kept(upscaler: Upscaler, images: Path, tmp_path: Path) -> None:
    write_images(images / "deeper", 1, 9)
    enlarge(upscaler, images, tmp_path / "out")
    assert names(tmp_path / "out") == [*NAMES, "deeper/0-x2.png"]


def test_formats_and_what_they_cannot_hold(upscaler: Upscaler, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGBA", (8, 8), (9, 99, 199, 128)).save(tmp_path / "in/clear.png")
    Image.new("RGBA", (8, 8), (9, 99, 199, 255)).save(tmp_path / "in/full.png")
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "in/deep.png")
    jobs = plan(find_sources([str(tmp_path / "in")]), tmp_path / "out", 2, "jpg")
    outcome = enlarge_files(upscaler, jobs, tmp_path / "out", quality=90)
    assert names(tmp_path / "out") == ["deep-x2.jpg", "full-x2.jpg"]
    assert list(outcome.bad) == [tmp_path / "in/clear.png"]
    modes = {Image.open(tmp_path / "out" / name).mode for name in names(tmp_path / "out")}
    assert modes == {"L", "RGB"}


def test_a_panorama_of_30_000_pixels(upscaler: Upscaler, tmp_path: Path) -> None:
    """A right picture where the format can hold it, else a line."""
    (tmp_path / "in").mkdir()
    photo = np.tile(random_image(8, 300), (1, 100, 1))
    Image.fromarray(photo).save(tmp_path / "in/wide.png")
    Image.fromarray(photo[:4, :100]).save(tmp_path / "in/small.png")
    for kind, sizes in (("png", {(60_000, 16), (200, 8)}), ("webp", {(200, 8)})):
        out = tmp_path / kind
        outcome = enlarge_files(
            upscaler, plan(find_sources([str(tmp_path / "in")]), out, 2, kind), out
        )
        assert {Image.open(out / name).size for name in names(out)} == sizes
    (reason,) = outcome.bad.values()
    assert reason == "would be 60000x16, and webp holds 16,383 pixels a side; add --format png"


def test_two_images_to_one_file_are_refused(tmp_path: Path) -> None:
    sources = [Source(Path(f"{k}/a.png"), Path("a.png")) for k in range(2)]
    with pytest.raises(UserError, match=r"1/a.png and 0/a.png would both be written to out/a-x2"):
        plan(sources, Path("out"), 2, None)


def test_sources_are_files_folders_globs_and_lists(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "notes.txt").write_text("text")
    want = [Source(images / f"{k}.png", Path(f"{k}.png")) for k in range(3)]
    assert find_sources([str(images)]) == want
    assert find_sources([str(images / "*"), str(images / "0.png")]) == want
    assert find_sources([str(tmp_path / "**" / "*.png")]) == want
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{images}/2.png\n\n{images}/0.png\n"))
    assert find_sources(["-"]) == [want[2], want[0]]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    refused = {"*.nothing": "matches no image", "gone": "does not exist", "-": "no image is given"}
    for word, message in refused.items():
        with pytest.raises(UserError, match=message):
            find_sources([word])
    (images / "[1].png").write_bytes((images / "1.png").read_bytes())
    assert find_sources([str(images / "[1].png")])[0].path.name == "[1].png"


def test_images_of_one_size_are_computed_together(upscaler: Upscaler, tmp_path: Path) -> None:
    """Also where sizes alternate."""
    folder, seen = tmp_path / "in", list[int]()
    folder.mkdir()
    for k in range(8):
        Image.fromarray(random_image(12, 9 + k % 2, k)).save(folder / f"{k}.png")
    upscaler.generators[0].register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    upscaler.engine.most_images(9, 9)  # which runs the network once
    seen.clear()
    assert enlarge(upscaler, folder, tmp_path / "out").images == 8
    assert seen == [4, 4]


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Within, no file grows longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)


def test_a_full_disk_leaves_no_half_image(upscaler: Upscaler, images: Path, tmp_path: Path) -> None:
    """A write that fails for real, by a limit on the size of files."""
    with limited_files(300):
        outcome = enlarge(upscaler, images, tmp_path / "out")
    assert len(outcome.bad) == 3 and all(
        "cannot be written (" in one for one in outcome.bad.values()
    )
    assert names(tmp_path / "out") == []
    assert enlarge(upscaler, images, tmp_path / "out").images == 3


def test_what_no_file_could_be_written_to_stops_at_once(
    upscaler: Upscaler, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full disk; here it is a limit on the size of files."""
    monkeypatch.setattr("fastsr.inference.files.FATAL", (errno.EFBIG,))
    with (
        limited_files(300),
        pytest.raises(UserError, match=r"--out .*out cannot be written \(") as caught,
    ):
        enlarge(upscaler, images, tmp_path / "out")
    assert "\n" not in str(caught.value) and names(tmp_path / "out") == []
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match=r"--out .* cannot be written \(Not a directory\)"):
        enlarge(upscaler, images, tmp_path / "file/out")


KILLED = """
import os, signal, sys
from pathlib import Path
from PIL import ImageFile
from fastsr.inference.files import enlarge_files, plan
from fastsr.inference.sources import find_sources
from fastsr.inference.upscaler import load

def killing(image, file, *rest):
    file.write(b"some pixels")
    file.fp.flush()
    os.kill(os.getpid(), signal.SIGKILL)

ImageFile._save = killing
enlarge_files(load(sys.argv[1]), plan(find_sources(sys.argv[2:3]), Path(sys.argv[3]), 2, None), Path(sys.argv[3]))
"""


def test_a_killed_call_leaves_no_half_image_in_the_way(
    upscaler: Upscaler, model: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, *map(str, (model, images, out))]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert {path.suffix for path in out.iterdir() if path.name != ".fastsr"} == {".part"}
    assert enlarge(upscaler, images, out).images == 3


def test_only_a_folder_that_upscaling_made_is_marked(
    upscaler: Upscaler, images: Path, tmp_path: Path
) -> None:
    enlarge(upscaler, images, tmp_path / "out")
    assert (tmp_path / "out/.fastsr").is_file()
    shutil.rmtree(tmp_path / "out")
    enlarge(upscaler, images, images)
    assert not (images / ".fastsr").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    generator = SRResNet(2, blocks=1, filters=4).eval()
    with torch.no_grad():
        generator.trunk_conv.weight[0, 0, 0, 0] = value
    file = tmp_path / "mine.safetensors"
    save_generator(generator, file)
    with pytest.raises(UserError, match=rf"{file} cannot be used: trunk_conv.weight is not finite"):
        load(file)


def test_a_peer_belongs_to_a_run_and_not_to_a_file(model: Path) -> None:
    """Of a single file, --peer says nothing."""
    assert load(model, peer=5).scale == 2
