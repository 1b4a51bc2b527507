"""Evaluation of models on test sets, from files to files."""

import csv
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from fastsr.config.mixing import variants
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.config.toml import to_toml
from fastsr.errors import UserError
from fastsr.evaluation.evaluate import evaluate_models
from fastsr.evaluation.from_python import evaluate
from fastsr.evaluation.pairs import load_pair
from fastsr.evaluation.psnr_ssim import psnr_y, ssim_y
from fastsr.files import sha256_of
from tests.fastsr.evaluation.small_models import CPU, run, save_model, write_images
from tests.images import random_image


def save_run(folder: Path, config: TrainConfig) -> Path:
    """A run as far as evaluation looks at it."""
    for k in range(config.cohort.peers):
        for kind in ("ema", "generator"):
            save_model(
                folder / f"checkpoints/step-00000012/peer-{k}-{kind}.safetensors",
                seed=2 * k + (kind == "ema"),
            )
    (folder / "config.toml").write_text(to_toml(config))
    return folder


def test_every_number_can_be_had_again_from_the_pictures(request_for: Any, tmp_path: Path) -> None:
    _, written = run(request_for())
    assert [row["image"] for row in written["pictures"]] == ["0", "1"]
    scores = {(row["image"], row["model"]): row for row in written["images"]}
    assert len(scores) == 4
    for row in written["pictures"]:
        images = {
            name: torch.from_numpy(np.array(Image.open(tmp_path / "evaluation" / file)))
            for name, file in row["files"].items()
        }
        assert list(images) == ["bicubic", "model", "HR"]
        for model in ("bicubic", "model"):
            assert scores[row["image"], model]["psnr"] == pytest.approx(
                psnr_y(images[model], images["HR"], 2)
            )
            assert scores[row["image"], model]["ssim"] == pytest.approx(
                ssim_y(images[model], images["HR"], 2)
            )


def test_means_are_over_images_and_equal_in_all_files(request_for: Any, tmp_path: Path) -> None:
    evaluation, written = run(request_for())
    with (tmp_path / "evaluation/images.csv").open() as file:
        rows = list(csv.DictReader(file))
    for model in ("bicubic", "model"):
        values = [float(row["psnr"]) for row in rows if row["model"] == model]
        assert written["means"]["mine"][model]["psnr"] == pytest.approx(sum(values) / 2)
        assert evaluation.mean("mine", model, "psnr") == pytest.approx(sum(values) / 2)
    with (tmp_path / "evaluation/means.csv").open() as file:
        assert [float(row["psnr"]) for row in csv.DictReader(file)] == [
            values["psnr"] for values in written["means"]["mine"].values()
        ]


def test_the_protocol_is_written_down(request_for: Any) -> None:
    _, written = run(request_for(border="mirror"))
    assert written["protocol"] == {
        "psnr": "PSNR (dB) on BT.601 studio-range luma of 8-bit images (grey originals: on grey), "
        "2 pixels cut from each side",
        "ssim": "SSIM on the same luma and crop, Gaussian window 11x11",
        "low_resolution": "MATLAB's bicubic, border mirror",
        "precision": "fp32",
    }  # fmt: skip
    assert written["environment"]["torch"] == torch.__version__


def test_a_run_is_scored_by_peer_raw_and_averaged(request_for: Any, tmp_path: Path) -> None:
    config = TrainConfig(cohort=CohortConfig(peers=2, variant="ml-star"))
    folder = save_run(tmp_path / "run", config)
    _, written = run(request_for(models=(folder,)))
    assert list(written["models"]) == ["bicubic", "peer 0", "peer 1", "peer 0 raw", "peer 1 raw"]
    assert written["models"]["peer 1 raw"] == {
        "file": str(folder / "checkpoints/step-00000012/peer-1-generator.safetensors"),
        "weights": "raw", "variant": "ML*",
        "sha256": sha256_of(folder / "checkpoints/step-00000012/peer-1-generator.safetensors"),
    }  # fmt: skip
    assert written["step"] == 12
    assert written["means"]["mine"]["peer 0"] != written["means"]["mine"]["peer 0 raw"]
    _, averaged = run(request_for(models=(folder,), weights=("ema",), overwrite=True))
    assert list(averaged["models"]) == ["bicubic", "peer 0", "peer 1"]


def test_variants_of_block_diagonal_cohorts() -> None:
    matrix = (
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 1.0),
        (0.0, 0.0, 1.0, 0.0),
    )
    cohort = CohortConfig(peers=4, mixing_matrix=matrix, temperature=(1, 1, 1, 4))
    assert variants(cohort) == ["Independent", "Independent", "ML", "ML*"]


def test_models_of_one_name_are_told_apart(request_for: Any, tmp_path: Path) -> None:
    models = (
        save_model(tmp_path / "a/g.safetensors"),
        save_model(tmp_path / "b/g.safetensors", seed=1),
    )
    _, written = run(request_for(models=models))
    assert list(written["models"]) == ["bicubic", *map(str, models)]


def test_given_low_resolution_is_used(request_for: Any, tmp_path: Path) -> None:
    hr, lr = random_image(40, 40), random_image(20, 20, 9)
    for name, image in (("pairs/HR/a.png", hr), ("pairs/LR_bicubic/X2/ax2.png", lr)):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / name)
    _, given = run(request_for(sets=("pairs",), lr="given"))
    _, ours = run(request_for(sets=("pairs",), overwrite=True))
    assert given["protocol"]["low_resolution"] == "as given with the test sets"
    assert (
        given["means"]["pairs"]["bicubic"]["psnr"] < ours["means"]["pairs"]["bicubic"]["psnr"] - 5
    )


@pytest.mark.parametrize(
    ("height", "width", "fits"), [(40, 40, True), (41, 40, True), (42, 40, False), (38, 40, False)]
)
def test_sizes_of_given_pairs_must_belong_together(
    tmp_path: Path, height: int, width: int, fits: bool
) -> None:
    write_images(tmp_path / "hr", [(height, width)])
    write_images(tmp_path / "lr", [(20, 20)])
    paths = tmp_path / "hr/0.png", tmp_path / "lr/0.png"
    if fits:
        pair = load_pair(paths[0], 2, lr_path=paths[1])
        assert (tuple(pair.hr.shape), pair.cropped) == ((40, 40, 3), height != 40)
        return
    with pytest.raises(
        UserError, match=rf"is 40x{height}, and its low resolution is 20x20, which at x2 is 40x40"
    ):
        load_pair(paths[0], 2, lr_path=paths[1])


def test_cropping_is_said_once(
    request_for: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "odd", [(41, 52), (44, 49), (44, 48)])
    evaluation = evaluate_models(request_for(sets=("odd",)), CPU, Console(width=200))
    note = "2 of 3 images are cropped to a multiple of 2 pixels"
    assert evaluation.sets[0].notes == (note,)
    assert capsys.readouterr().out.count(note) == 1


def test_an_earlier_evaluation_is_replaced_and_nothing_else(
    request_for: Any, tmp_path: Path
) -> None:
    run(request_for(pictures=2))
    run(request_for(pictures=0))
    assert not (tmp_path / "evaluation/pictures").exists()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("keep me")
    with pytest.raises(
        UserError, match=r"letters exists and is no evaluation; give another folder"
    ):
        run(request_for(out=tmp_path / "letters"))
    assert (tmp_path / "letters/dear.txt").read_text() == "keep me"
    assert not list(tmp_path.glob(".evaluating-*"))


def test_nothing_is_left_of_an_evaluation_that_fails(request_for: Any, tmp_path: Path) -> None:
    run(request_for())
    before = (tmp_path / "evaluation/evaluation.json").read_text()
    (tmp_path / "mine/broken.png").write_bytes(b"no image")
    with pytest.raises(
        UserError, match=r"(?s)1 test image cannot be used.*broken\.png: is not an image"
    ):
        run(request_for())
    assert (tmp_path / "evaluation/evaluation.json").read_text() == before
    assert not list(tmp_path.glob(".evaluating-*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ("pnsr",)}, "--metrics pnsr cannot be used; use psnr or psnr_rgb or ssim"),
        ({"weights": ("average",)}, "--weights average cannot be used; use ema or raw"),
        ({"lr": "Given"}, "--lr Given cannot be used; use bicubic or given"),
        ({"border": "reflect"}, "--border reflect cannot be used; use replicate or mirror"),
        ({"bits": 12}, "--bits 12 cannot be used; use 8 or 16"),
        ({"pictures": -1}, "--pictures -1 cannot be used; use 0 or more"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    request_for: Any, changes: dict[str, Any], message: str
) -> None:
    """From Python no parser stands before them: an unknown metric was an evaluation by none."""
    with pytest.raises(UserError) as refusal:
        run(request_for(**changes))
    assert str(refusal.value).startswith(message)


def test_a_single_metric_may_be_given_as_a_word(request_for: Any, tmp_path: Path) -> None:
    wanted = request_for()
    found = evaluate(
        wanted.models[0], tmp_path / "mine", tmp_path / "one", metrics="psnr", device="cpu"
    )
    assert found.metrics == ("psnr",)


def test_an_image_equal_to_its_original_has_no_psnr(request_for: Any, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "plain/grey.png")
    evaluation, written = run(request_for(sets=("plain",)))
    assert written["images"][0]["psnr"] is None  # JSON has no infinity
    assert isnan(evaluation.mean("plain", "bicubic", "psnr"))
    assert written["means"]["plain"]["bicubic"]["ssim"] == pytest.approx(1)
