"""evaluation.json: what was written is read, by this version or with a reason why not, and without torch."""

import json
import subprocess
import sys
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest

from fastsr.errors import UserError
from fastsr.evaluation.results import Evaluation, ImageScores, Picture, ScoredModel, ScoredSet
from fastsr.files import OtherFormatError

ROOT = Path(__file__).resolve().parents[3]


def evaluation() -> Evaluation:
    models = (ScoredModel("bicubic"), ScoredModel("peer 0", "peer-0.safetensors", "ema", "ML"))
    empty = Evaluation(
        scale=4, protocol={"psnr": "dB"}, environment={"threads": 1}, models=models, metrics=("psnr",), step=12,
        missing={"pi": "no weights"},
    )  # fmt: skip
    values = {"a": {"bicubic": nan, "peer 0": 29.0}, "b": {"bicubic": 27.0, "peer 0": 30.0}}
    images = [
        ImageScores("S", image, m, {"psnr": v})
        for image, row in values.items()
        for m, v in row.items()
    ]
    picture = Picture("S", "a", {"peer 0": "pictures/0.png", "HR": "pictures/1.png"})
    return empty.with_set(ScoredSet("S", 2, "sets/S", ("one is grey",)), images, [picture])


def test_an_evaluation_is_read_as_it_was_written(tmp_path: Path) -> None:
    evaluation().write(tmp_path)
    read = Evaluation.read(tmp_path / "evaluation.json")
    assert repr(read) == repr(evaluation())  # in which NaN equals itself
    assert read.mean("S", "peer 0", "psnr") == 29.5 and isnan(read.mean("S", "bicubic", "psnr"))
    assert read.score("S", "b", "bicubic", "psnr") == 27.0 and isnan(
        read.score("S", "a", "bicubic", "psnr")
    )
    assert isnan(read.mean("S", "peer 0", "pi")) and isnan(read.score("T", "b", "bicubic", "psnr"))
    text = (tmp_path / "evaluation.json").read_text()
    assert "NaN" not in text and json.loads(text)["models"]["bicubic"] == {}


def test_recorded_evaluations_are_read_and_would_be_written_alike() -> None:
    files = list((ROOT / "bench" / "results" / "reproduce").glob("*/*/evaluation/evaluation.json"))
    assert files
    for file in files:
        assert Evaluation.read(file).to_json() == json.loads(file.read_text())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"format": 2},
            "has format 2, not 1; delete its folder, or run fastsr eval again with this fastsr",
        ),
        ({"means": None}, "is damaged"),
        ({"scale": "four"}, "is damaged"),
        (
            {"pictures": [{"set": "S", "image": "a", "files": {}}]},
            "is damaged (the pictures of S a lack HR)",
        ),
        (
            {"images": [{"set": "S", "image": "a", "model": "bicubic", "psnr": "good"}]},
            "is damaged",
        ),
        ({"images": [{"set": "S"}]}, "it lacks 'image'"),
    ],
)
def test_what_cannot_be_read_names_the_file_and_the_remedy(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps(evaluation().to_json() | change))
    with pytest.raises(UserError) as caught:
        Evaluation.read(file)
    said = str(caught.value)
    assert (
        said.startswith(f"{file} ")
        and words in said
        and "run fastsr eval again" in said
        and "\n" not in said
    )
    assert isinstance(caught.value, OtherFormatError) == ("format" in change)


@pytest.mark.parametrize("name", ["evaluation.results", "evaluation.protocol"])
def test_results_need_no_torch(name: str) -> None:
    code = f"import sys, fastsr.{name}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
