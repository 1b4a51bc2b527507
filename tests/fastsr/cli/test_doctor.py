"""`fastsr doctor`."""

from dataclasses import replace
from pathlib import Path

from PIL import Image
from rich.console import Console

from fastsr.cli.doctor import examine
from fastsr.config.settings import TrainConfig
from tests.images import random_image, write_images


def test_doctor_reports_machine_images_and_run(tmp_path: Path, tiny_config: TrainConfig) -> None:
    folder = write_images(tmp_path / "images", 3)
    Image.fromarray(random_image(50, 60)[..., 0]).save(folder / "grey.jpg")
    (folder / "broken.webp").write_bytes(b"nothing")
    Image.fromarray(random_image(8, 8)).save(folder / "tiny.png")
    config = replace(tiny_config, images=replace(tiny_config.images, data=(folder,)))
    with (tmp_path / "screen").open("w") as file:
        console = Console(record=True, width=200, file=file)
        examine(config, console)
    text = console.export_text()
    for part in ("torch", "memory", "mixed precision", "triton", "compiler", "VGG19 weights", "6 images", "4 PNG RGB",
                 "1 JPEG L", "from 8x8 to 60x50", "2 (mend them", "broken.webp: is not an image", "tiny.png: is 8x8",
                 "2 peers (ml)", "peak of a step"):  # fmt: skip
        assert part in text, part
