"""Tables of what earlier calls have left: on other sets, by other metrics, without the rows of their training."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, isnan
from pathlib import Path

import pytest
from PIL import Image

from fastsr.config.networks import PeerConfig
from fastsr.config.recipes import paper
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.errors import UserError
from fastsr.evaluation.results import Evaluation, ImageScores, ScoredModel, ScoredSet
from fastsr.reproduction.comparison import table
from fastsr.reproduction.deviations import deviations
from fastsr.reproduction.paper import three_pairs
from fastsr.reproduction.plan import Plan, folder_of, plan_reproduction
from fastsr.reproduction.reproduce import collect_tables
from tests.images import random_image

NAMES = ("Independent", "Independent", "ML", "ML", "ML*", "ML*")


def evaluation(
    sizes: dict[str, int], step: int, lift: float, metrics: Sequence[str] = ("psnr_rgb",)
) -> Evaluation:
    """Six peers, of which those that are taught have `lift` more of every metric."""
    peers = [ScoredModel(f"peer {k}", weights="ema", variant=name) for k, name in enumerate(NAMES)]
    found = Evaluation(
        scale=4, protocol={}, environment={}, models=tuple(peers), metrics=tuple(metrics), step=step
    )
    for name, count in sizes.items():
        rows = [
            ImageScores(name, str(k), one.name, dict.fromkeys(metrics, value + k))
            for k in range(count)
            for one in peers
            for value in [20 + lift * (one.variant != "Independent")]
        ]
        found = found.with_set(ScoredSet(name, count, name), rows)
    return found


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two seeds; sets of two images and of one."""
    for name, count in (("A", 2), ("B", 1)):
        (tmp_path / name).mkdir()
        for k in range(count):
            Image.fromarray(random_image(32, 32, k)).save(tmp_path / name / f"{k}.png")
    return Plan(
        config=replace(paper(), cohort=three_pairs()), scales=(4,), seeds=(0, 1), sets=("A", "B"), data_root=tmp_path,
        metrics=(), perceptual_sets=(), metric_weights=None, out=tmp_path / "out",
    )  # fmt: skip


def write(plan: Plan, *evaluations: Evaluation) -> None:
    for config, one in zip(plan.runs(), evaluations, strict=True):
        folder = folder_of(config) / "evaluation"
        folder.mkdir(parents=True, exist_ok=True)
        one.write(folder)


def test_runs_that_were_evaluated_on_other_sets_wait_for_their_evaluation(plan: Plan) -> None:
    steps, whole = plan.config.total_steps, {"A": 2, "B": 1}
    for other in ({"A": 2}, {"A": 2, "B": 1, "C": 1}, {"A": 3, "B": 1}):
        write(plan, evaluation(whole, steps, 0.3), evaluation(other, steps, 0.5))
        found = collect_tables(plan)
        assert found.runs == ("x4-seed0",) and found.tables[0].seeds == 1
    write(plan, evaluation(whole, steps, 0.3), evaluation(whole, steps, 0.5))
    found = collect_tables(plan)
    assert found.runs == ("x4-seed0", "x4-seed1")
    assert found.tables[0].rows[0].differences["ML"].mean == pytest.approx(0.4)


def test_seeds_whose_metrics_are_gone_have_no_opinions_and_still_have_scores(plan: Plan) -> None:
    """As records are kept: configuration and evaluation, and metrics of one seed alone."""
    write(
        plan, *[evaluation({"A": 2, "B": 1}, plan.config.total_steps, lift) for lift in (0.3, 0.5)]
    )
    row = '{"kind": "train", "stage": "training", "step": 9, "peers": [%s]}'
    peers = ", ".join(['{"bce_real": 0.5}'] * len(NAMES))
    (plan.out / "x4-seed0/metrics.jsonl").write_text(row % peers + "\n")
    found = collect_tables(plan)
    bce = found.mechanisms[0].opinions[0].values["ML"]
    assert isnan(bce.mean) and isnan(bce.low)
    assert isfinite(found.tables[0].contrasts[0].p)


def test_checkpoints_that_were_measured_by_more_metrics_than_others_are_averaged(
    plan: Plan,
) -> None:
    total = plan.config.total_steps
    averaging = replace(plan, seeds=(0,), average_checkpoints=2)
    run, sizes = next(averaging.runs()), {"A": 2, "B": 1}
    earlier = folder_of(run) / f"evaluations/step-{total - 1000:08d}"
    earlier.mkdir(parents=True)
    more = ("psnr_rgb", "ssim", "lpips")
    evaluation(sizes, total - 1000, 0.3, more).write(earlier)
    write(averaging, evaluation(sizes, total, 0.5, ("psnr_rgb", "lpips")))
    found = collect_tables(averaging)
    assert [one.metric for one in found.tables] == ["psnr_rgb", "lpips"]
    assert found.tables[0].rows[0].differences["ML*"].mean == pytest.approx(0.4)


def test_noise_is_between_peers_of_one_seed() -> None:
    """Seeds that are far apart, whose own peers are equal, make none."""
    alike = [evaluation({"A": 2}, 1, lift) for lift in (0.0, 5.0)]
    assert table(alike, "psnr_rgb").noise == 0


def planned(config: TrainConfig, folder: Path) -> Plan:
    return plan_reproduction(
        replace(config, images=replace(config.images, data=(folder,))), scales=(4,), seeds=(0,), sets=("A",),
        data_root=folder, metrics=(), perceptual_sets=(), metric_weights=None,
    )  # fmt: skip


def test_settings_of_a_cohort_reach_the_runs_or_are_refused(tmp_path: Path) -> None:
    config = replace(paper(), cohort=CohortConfig(exchange="mean", kl_weight=2.0))
    config = replace(config, images=replace(config.images, border="mirror"))
    plan = planned(config, tmp_path)
    (run,) = plan.runs()
    assert (run.cohort.exchange, run.cohort.kl_weight, run.cohort.peers) == ("mean", 2.0, 6)
    assert plan.request(run).border == "mirror"
    assert "exchange: mean, not map" in deviations(run)


def test_training_on_degraded_images_is_told() -> None:
    config = replace(paper(), degrade=replace(paper().degrade, degrade="light"))
    told = "low resolution in training: by blind degradations (light), not by bicubic"
    assert told in deviations(config)
    assert told not in deviations(paper())


def test_peers_of_their_own_kinds_are_refused(tmp_path: Path) -> None:
    config = replace(paper(), cohort=CohortConfig(peer=(PeerConfig(blocks=4), PeerConfig())))
    with pytest.raises(UserError, match=r"\[\[cohort\.peer\]\] .* leave its tables out"):
        planned(config, tmp_path)
