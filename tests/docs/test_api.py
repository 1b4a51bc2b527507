"""The examples of docs/api.md, run one after the other as they stand."""

import re
from pathlib import Path

import pytest
from PIL import Image

import fastsr
from fastsr.models.model_file import save_generator
from tests.fastsr.inference.conftest import small_generator
from tests.images import random_image, write_images

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)


def test_the_examples_run(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> None:
    save_generator(small_generator(4), Path("generator.safetensors"))
    Image.fromarray(random_image(40, 56)).save("photo.png")
    write_images(Path("test-images"), 2, 44)
    names: dict[str, object] = {}
    for example in examples():
        exec(compile(example, str(PAGE), "exec"), names)
    assert len(examples()) >= 5
    assert Image.open("large.png").size == (224, 160)
    assert Path("runs/mine/checkpoints").is_dir() and Path("scores/evaluation.json").is_file()
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert len(last) == 2 and all(5 < float(psnr) < 60 for psnr in last)


def test_every_public_name_is_there_and_in_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in fastsr.__all__:
        assert getattr(fastsr, name) is not None
        assert name in ("Upscaler",) or f"fastsr.{name}" in page, name
    assert set(fastsr.__all__) <= set(dir(fastsr))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        fastsr.nothing  # noqa: B018


def test_the_table_of_kinds_is_true(tmp_path: Path) -> None:
    save_generator(small_generator(2), tmp_path / "a.safetensors")
    upscaler = fastsr.load(tmp_path / "a.safetensors", device="cpu")
    (row,) = re.findall(r"^\| `PIL.Image` in mode (.*?) \|", PAGE.read_text(), re.M)
    for mode in re.findall(r"[A-Z][A-Z0-9;]*", row):
        assert upscaler(Image.new(mode, (4, 3))).mode == mode
