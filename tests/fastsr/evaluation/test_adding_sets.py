"""An evaluation grows by sets, keeps what it has not made, and is whole whenever it is looked at."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fastsr.errors import UserError
from fastsr.evaluation.output import find_earlier, publish, temporary_folder
from fastsr.evaluation.request import Request
from fastsr.evaluation.results import Evaluation
from tests.fastsr.evaluation.small_models import run, save_model, write_images
from tests.images import random_image


def test_sets_are_added_and_those_that_are_there_replaced(request_for: Any, tmp_path: Path) -> None:
    write_images(tmp_path / "more", [(40, 40)])
    _, first = run(request_for())
    _, both = run(request_for(sets=("more",)))
    assert list(both["sets"]) == list(both["means"]) == ["mine", "more"]
    assert both["means"]["mine"] == first["means"]["mine"]
    assert [row["set"] for row in both["pictures"]] == ["mine", "mine", "more"]
    rows = (tmp_path / "evaluation/images.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["mine"] * 4 + ["more"] * 2
    Image.fromarray(random_image(40, 52, 7)).save(tmp_path / "mine/0.png")
    evaluation, again = run(request_for())
    assert list(again["sets"]) == ["more", "mine"] == [scored.name for scored in evaluation.sets]
    assert again["means"]["mine"] != first["means"]["mine"]
    assert again["means"]["more"] == both["means"]["more"]
    assert len(again["images"]) == 6
    assert_pictures_are_there_and_no_others(tmp_path / "evaluation")


def assert_pictures_are_there_and_no_others(folder: Path) -> None:
    evaluation = Evaluation.read(folder / "evaluation.json")
    named = {folder / file for picture in evaluation.pictures for file in picture.files.values()}
    assert named == {path for path in (folder / "pictures").rglob("*") if path.is_file()}


def other_model(request: Request) -> Request:
    save_model(request.models[0], seed=1)
    return request


def other_scale(request: Request) -> Request:
    save_model(request.models[0], scale=4)
    return request


CHANGES = {
    "model": (other_model, r"of other models or weights \(model\)"),
    "scale": (other_scale, r"at scale 2, not 4"),
    "metrics": (
        lambda r: replace(r, metrics=("psnr",)),
        r"by other metrics \(psnr ssim, not psnr\)",
    ),
    "border": (
        lambda r: replace(r, border="mirror"),
        r"by another protocol \(low_resolution: MATLAB's",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_models_and_protocols_are_refused_or_replace(
    request_for: Any, tmp_path: Path, change: str
) -> None:
    write_images(tmp_path / "more", [(40, 40)])
    run(request_for())
    before = (tmp_path / "evaluation/evaluation.json").read_text()
    changed, words = CHANGES[change]
    request = changed(request_for(sets=("more",)))
    with pytest.raises(UserError, match=rf"holds an evaluation {words}.*--overwrite$") as caught:
        run(request)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "evaluation/evaluation.json").read_text() == before
    _, written = run(replace(request, overwrite=True))
    assert list(written["sets"]) == ["more"]
    assert_pictures_are_there_and_no_others(tmp_path / "evaluation")


def test_a_damaged_evaluation_is_replaced_only_when_told(request_for: Any, tmp_path: Path) -> None:
    run(request_for())
    (tmp_path / "evaluation/evaluation.json").write_text("{")
    with pytest.raises(UserError, match=r"evaluation\.json is damaged.*adding --overwrite$"):
        run(request_for())
    _, written = run(request_for(overwrite=True))
    assert list(written["sets"]) == ["mine"]


def test_files_of_others_survive(request_for: Any, tmp_path: Path) -> None:
    run(request_for())
    folder = tmp_path / "evaluation"
    others = ["notes.txt", "pictures/mine/000-0/crop.png", "pictures/album/a.png", "plots/b.svg"]
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    outside = tmp_path / "outside.png"
    outside.write_text("not below pictures")
    content = json.loads((folder / "evaluation.json").read_text())
    content["pictures"][0]["files"]["bicubic"] = "pictures/../../outside.png"
    (folder / "evaluation.json").write_text(json.dumps(content))
    run(request_for(pictures=0))
    run(request_for(pictures=1, metrics=("psnr",), overwrite=True))
    assert [(folder / name).read_text() for name in others] == others
    assert outside.read_text() == "not below pictures"
    assert not (folder / "pictures/mine/001-1").exists()


def publish_slowly(folder: Path) -> None:
    """Replaces the evaluation in a folder by itself without pictures, again and again, until it is killed."""
    while True:
        evaluation = Evaluation.read(folder / "evaluation.json")
        with temporary_folder(folder) as temporary:
            (temporary / "pictures/other/000-0").mkdir(parents=True)
            earlier = find_earlier(folder, evaluation, overwrite=True)
            publish(evaluation, temporary, folder, earlier)
        (folder / "pictures/other/000-0").rmdir()
        (folder / "pictures/other").rmdir()


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_leaves_a_whole_evaluation(request_for: Any, tmp_path: Path, seed: int) -> None:
    _, first = run(request_for())
    process = multiprocessing.get_context("spawn").Process(
        target=publish_slowly, args=(tmp_path / "evaluation",)
    )
    process.start()
    stamp = (tmp_path / "evaluation/evaluation.json").stat().st_ino
    while (tmp_path / "evaluation/evaluation.json").stat().st_ino == stamp:
        time.sleep(0.01)  # until it replaces files
    time.sleep(0.003 * seed)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    read = Evaluation.read(tmp_path / "evaluation/evaluation.json")
    assert read.to_json() == first
    for picture in read.pictures:
        assert all((tmp_path / "evaluation" / file).is_file() for file in picture.files.values())
    run(request_for())  # what the killed one left is in nobody's way
