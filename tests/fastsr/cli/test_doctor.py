"""`fastsr doctor`."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from fastsr.cli.doctor import examine, step_time
from fastsr.config.settings import TrainConfig
from fastsr.data.images import find_images
from fastsr.data.pack import pack_images
from fastsr.errors import UserError
from fastsr.system.compiler import check_compiler
from tests.fastsr.cli.command_line import TINY, Fastsr, assert_one_line
from tests.images import random_image, write_images


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Four images that can be used, of two formats, and two that cannot."""
    folder = write_images(tmp_path / "images", 3)
    Image.fromarray(random_image(50, 60)[..., 0]).save(folder / "grey.jpg")
    (folder / "broken.webp").write_bytes(b"nothing")
    Image.fromarray(random_image(8, 8)).save(folder / "tiny.png")
    return folder


def test_doctor_reports_machine_images_and_run(
    tmp_path: Path, mixed: Path, tiny_config: TrainConfig
) -> None:
    config = replace(tiny_config, images=replace(tiny_config.images, data=(mixed,)))
    with (tmp_path / "screen").open("w") as file:
        console = Console(record=True, width=200, file=file)
        assert not examine(config, console)
    text = console.export_text()
    for part in ("torch", "memory", "mixed precision", "--compile", "VGG19 weights", "4 of 6", "4 PNG RGB",
                 "1 JPEG L", "to 60x50", "2 (mend them", "broken.webp: is not an image", "tiny.png: is 8x8",
                 "2 peers (ml)", "peak of a step", "time of a step", "time of the run"):  # fmt: skip
        assert part in text, part


def test_the_exit_status_tells_whether_images_can_be_used(
    fastsr: Fastsr, mixed: Path, data: Path
) -> None:
    assert fastsr("doctor", "--data", data, *TINY).code == 0
    assert fastsr("doctor", "--data", mixed, *TINY).code == 1
    spared = fastsr("doctor", "--data", mixed, *TINY, "--skip-bad")
    assert spared.code == 0 and "2 (left out by --skip-bad)" in spared.out
    assert fastsr("doctor", "--data", data, *TINY, "--patch", "64", "--skip-bad").code == 1


def test_a_machine_without_gpu_hears_of_its_processor(
    fastsr: Fastsr, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    text = fastsr("doctor", "--data", data, *TINY, "--device", "auto", "--peers", "1").out
    assert "CUDA" not in text and "riton" not in text
    assert re.search(r"trains on +the processor, with \d+ threads?; torch finds no GPU", text)
    assert re.search(r"verdict +fits \(\d", text)
    assert re.search(r"time of the run +about .* for 3 steps", text)
    assert "1 peer (ml)" in text


def test_gigabytes_are_gigabytes(
    fastsr: Fastsr, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastsr.cli.doctor.available_memory", lambda: 32_000_000_000)
    assert re.search(r"memory +32\.0 GB free", fastsr("doctor", "--data", data, *TINY).out)


@pytest.mark.parametrize("content", ["pixel", "vgg54"])
def test_a_file_of_weights_that_does_not_exist(fastsr: Fastsr, data: Path, content: str) -> None:
    outcome = fastsr("doctor", "--data", data, *TINY, "--content", content, "--vgg", "no.pth")
    assert_one_line(outcome, "--vgg no.pth does not exist")
    assert outcome.out == ""


def test_a_folder_that_does_not_exist(fastsr: Fastsr) -> None:
    outcome = fastsr("doctor", "--data", "nowhere", *TINY)
    assert_one_line(outcome, "nowhere does not exist")
    assert outcome.out == ""


def test_a_compiler_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken-compiler"
    broken.write_text("#!/bin/sh\necho 'error: no space left' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(UserError, match=r"fails \(error: no space left\); install one"):
        check_compiler()


def test_a_broken_compiler_is_named(
    fastsr: Fastsr, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("COLUMNS", "200")
    text = fastsr("doctor", "--data", data, *TINY).out
    assert "cannot be used: CXX=no-such-compiler is not found; install one" in text


def test_times_of_a_step() -> None:
    assert [step_time(seconds) for seconds in (0.04, 7.44, 12, 156)] == [
        "40 ms",
        "7.4 s",
        "12 s",
        "3 min",
    ]


def test_a_pack_is_compared_with_its_checksums(
    fastsr: Fastsr, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    command = ("doctor", "--data", data, "--cache", tmp_path / "kept", *TINY)
    assert "none yet; made when training starts" in fastsr(*command).out
    pack_images(find_images((data,)), minimum_side=1, cache=tmp_path / "kept", tell=print)
    assert "every pixel as it was packed" in fastsr(*command).out
    (pixels,) = (tmp_path / "kept").glob("packs/*/pixels.bin")
    content = bytearray(pixels.read_bytes())
    content[7] ^= 1
    pixels.write_bytes(content)
    assert "have changed); the next training makes it again" in fastsr(*command).out
