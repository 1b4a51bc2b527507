"""Scores over the last checkpoints, the images that perceptual metrics are measured on, and the time they take."""

from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import pytest
import torch
from PIL import Image

from fastsr.config.recipes import paper
from fastsr.config.settings import OptimConfig, OutputConfig, TrainConfig
from fastsr.errors import UserError
from fastsr.evaluation.results import (
    Evaluation,
    ImageScores,
    ScoredModel,
    ScoredSet,
    evenly_spaced,
)
from fastsr.reproduction.averaging import averaged, averaged_steps, saved_by_steps
from fastsr.reproduction.estimate import Outlook, evaluation_seconds, summary
from fastsr.reproduction.evaluated import covers
from fastsr.reproduction.plan import Plan, folder_of
from fastsr.reproduction.reproduce import measuring_notes
from tests.images import random_image


def config() -> TrainConfig:
    optim = OptimConfig(pretrain_steps=100, steps=110)
    return TrainConfig(optim=optim, output=OutputConfig(save_every=20))


def test_the_last_checkpoints_of_adversarial_training() -> None:
    assert averaged_steps(config(), 1) == [210]
    assert averaged_steps(config(), 5) == [140, 160, 180, 200, 210]
    assert averaged_steps(config(), 6) == [120, 140, 160, 180, 200, 210]
    by_time = replace(config(), output=OutputConfig())
    assert averaged_steps(by_time, 1) == [210]
    with pytest.raises(UserError, match=r"--average-checkpoints 2 needs .* use --save-every 55"):
        averaged_steps(by_time, 2)
    with pytest.raises(UserError, match=r"--average-checkpoints 7 needs .* use --save-every 15"):
        averaged_steps(config(), 7)
    with pytest.raises(
        UserError, match=r"in 110 adversarial steps; use --average-checkpoints 110$"
    ):
        averaged_steps(config(), 111)


def test_runs_that_are_saved_by_time_are_averaged_over_the_same_steps() -> None:
    by_time = replace(config(), optim=OptimConfig(steps=2500), output=OutputConfig())
    assert averaged_steps(by_time, 1) == [2500]
    assert averaged_steps(by_time, 3) == [1000, 2000, 2500]
    assert saved_by_steps(by_time.output).save_every == 1000
    assert saved_by_steps(config().output) == config().output


def evaluation(psnr: float, niqe: tuple[float, ...] = (4.0, nan, 6.0, nan)) -> Evaluation:
    scored = ScoredSet("A", 4, "A", perceptual_images=2)
    empty = Evaluation(
        scale=4,
        protocol={},
        environment={},
        models=(ScoredModel("peer 0", weights="ema"),),
        metrics=("psnr", "niqe"),
    )
    rows = [
        ImageScores("A", str(k), "peer 0", {"psnr": psnr + k, "niqe": value})
        for k, value in enumerate(niqe)
    ]
    return empty.with_set(scored, rows)


def test_values_are_averaged_image_by_image() -> None:
    found = averaged([evaluation(20), evaluation(22, (5.0, nan, 6.0, nan)), evaluation(27)])
    assert [row.values["psnr"] for row in found.images] == pytest.approx([23, 24, 25, 26])
    assert found.means["A"]["peer 0"]["psnr"] == pytest.approx(24.5)
    assert found.means["A"]["peer 0"]["niqe"] == pytest.approx((13 / 3 + 6) / 2)


def test_a_mean_is_over_the_images_that_were_to_be_measured() -> None:
    assert evaluation(20).means["A"]["peer 0"]["niqe"] == pytest.approx(5)
    assert isnan(evaluation(20, (4.0, nan, nan, nan)).means["A"]["peer 0"]["niqe"])
    again = Evaluation.from_json(evaluation(20).to_json())
    assert again.sets[0].perceptual_images == 2 and again.sets[0].measured("niqe") == [0, 2]


def test_images_are_chosen_evenly() -> None:
    assert evenly_spaced(10, 4) == [0, 2, 5, 7]
    assert evenly_spaced(3, 5) == evenly_spaced(3, 0) == evenly_spaced(3, 3) == [0, 1, 2]


def test_an_evaluation_on_other_images_is_done_again() -> None:
    done, wanted = evaluation(20), ScoredSet("A", 4, "A", perceptual_images=2)
    assert covers(done, [wanted], ("psnr",))
    assert not covers(done, [replace(wanted, perceptual_images=0)], ("psnr",))
    assert not covers(done, [replace(wanted, name="B")], ("psnr",))
    assert not covers(done, [replace(wanted, images=5)], ("psnr",))
    assert not covers(done, [wanted], ("psnr", "ssim"))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two sets, of 4 and 1 images of 64x64 pixels."""
    for name, count in (("A", 4), ("B", 1)):
        (tmp_path / name).mkdir()
        for k in range(count):
            Image.fromarray(random_image(64, 64, k)).save(tmp_path / name / f"{k}.png")
    return Plan(
        config=paper(),
        scales=(4,),
        seeds=(0,),
        sets=("A", "B"),
        data_root=tmp_path,
        metrics=(),
        perceptual_sets=(),
        metric_weights=None,
        out=tmp_path / "out",
    )


def test_evaluation_is_estimated_with_its_metrics(plan: Plan) -> None:
    """PI takes 76 seconds a megapixel for each peer; what else there is does not change with the images chosen."""
    run, cpu = next(plan.runs()), torch.device("cpu")

    def seconds(plan: Plan, *metrics: str) -> float:
        return evaluation_seconds(plan, run, metrics, cpu)

    pixels, peers = 64 * 64, run.cohort.peers
    few = replace(plan, pi_images=1)
    # what the generator takes is timed anew each time, on a machine that others use, too
    assert seconds(plan, "pi") > 76e-6 * 5 * pixels * peers
    assert seconds(few, "pi") - seconds(few) == pytest.approx(76e-6 * 2 * pixels * peers, rel=1)
    assert "of evaluation on A, B, NIQE and PI on 1 image of each" in summary(few, 60, 60)
    assert "about 60 s of evaluation on A, B" in summary(plan, 0, 60)
    assert "everything is trained and evaluated on A, B" in summary(plan, 0, 0)
    assert measuring_notes(replace(few, average_checkpoints=5)) == [
        "every score is the mean over the last 5 checkpoints",
        "NIQE and PI are measured on 1 images of each set, evenly spaced",
    ]


def test_no_time_is_planned_for_what_is_evaluated_on_the_same_sets(plan: Plan) -> None:
    run, cpu = next(plan.runs()), torch.device("cpu")
    folder = folder_of(run) / "evaluation"
    folder.mkdir(parents=True)
    done = replace(evaluation(20), step=run.total_steps)
    done.write(folder)
    only = replace(plan, sets=("A",), pi_images=2)
    assert evaluation_seconds(only, run, ("psnr", "niqe"), cpu) == 0
    assert evaluation_seconds(only, run, ("psnr", "ssim"), cpu) > 0
    assert evaluation_seconds(plan, run, ("psnr",), cpu) > 0


def test_the_time_left_follows_what_runs_took() -> None:
    outlook = Outlook({"done": 0.0, "a": 100.0, "b": 50.0, "c": 50.0})
    assert outlook.after("done", 0.5) == "1 of 4 runs done; about 200 s left".replace(
        "200 s", "3 min"
    )
    assert outlook.after("a", 299.5) == "2 of 4 runs done; about 5 min left"
    assert outlook.after("b", 150) == "3 of 4 runs done; about 2 min left"
    assert outlook.after("c", 150) == "4 of 4 runs done"
    assert Outlook({"a": 0.0, "b": 0.0}).after("a", 0.1) == "1 of 2 runs done"
