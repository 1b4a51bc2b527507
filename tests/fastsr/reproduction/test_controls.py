"""Control pairs: who teaches them, what their generators minimise, and that they decide nothing."""

from dataclasses import replace

import pytest
import torch

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.config.check import check
from fastsr.config.mixing import start_indices, temperatures, variants
from fastsr.config.recipes import demo
from fastsr.config.settings import CohortConfig
from fastsr.data.sampler import PatchSampler
from fastsr.errors import UserError
from fastsr.evaluation.results import Evaluation, ImageScores, ScoredModel, ScoredSet
from fastsr.reproduction.comparison import table
from fastsr.reproduction.controls import LABELS, WEAKER, with_controls
from fastsr.reproduction.markdown import markdown
from fastsr.reproduction.paper import three_pairs
from fastsr.reproduction.results import Tables
from fastsr.reproduction.seeds import decided, with_contrasts
from fastsr.system.precision import Precision
from tests.images import random_image

ALL = with_controls(three_pairs(), ("one-way", "weaker", "unscaled"))


def teachers(cohort: CohortConfig, peer: int) -> dict[int, float]:
    return {j: weight for j, weight in enumerate(cohort.mixing_matrix[peer]) if weight}


def test_without_controls_it_is_the_papers_cohort() -> None:
    assert with_controls(three_pairs(), ()) == three_pairs()


def test_pairs_are_taught_as_they_are_called() -> None:
    assert [teachers(ALL, k) for k in range(6)] == [{}, {}, {3: 1}, {2: 1}, {5: 1}, {4: 1}]
    assert [teachers(ALL, k) for k in (6, 7)] == [{1: 1}, {0: 1}]  # by an Independent one
    assert [teachers(ALL, k) for k in (8, 9)] == [{}, {}]
    assert [teachers(ALL, k) for k in (10, 11)] == [{11: 1 / 16}, {10: 1 / 16}]
    assert temperatures(ALL) == [1, 1, 1, 1, 4, 4, 1, 1, 1, 1, 4, 4]
    assert start_indices(ALL) == [0, 1] * 6
    names = ["Independent", "ML", "ML*", *LABELS.values()]
    assert variants(ALL) == [name for name in names for _ in range(2)]
    assert ALL.adversarial_factors == (1,) * 8 + (WEAKER,) * 2 + (1,) * 2


def test_a_control_alone_and_a_control_twice() -> None:
    one = with_controls(three_pairs(2.0), ("unscaled", "unscaled"))
    assert one.peers == len(one.mixing_matrix) == len(one.mixing_matrix[0]) == 8
    assert teachers(one, 6) == {7: 1 / 4}


def test_what_is_no_control_is_refused() -> None:
    with pytest.raises(UserError, match="--controls unscaled is what --distillation-scale 1"):
        with_controls(replace(three_pairs(), distillation_scale="1"), ("unscaled",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("a",)}, "labels has 1 values; give one for each of 2 peers, or none"),
        ({"adversarial_factors": (1.0, -1.0)}, "adversarial_factors has -1.0; factors are 0"),
    ],
    ids=["labels", "factors"],
)
def test_labels_and_factors_are_checked(
    change: dict[str, tuple[object, ...]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check(replace(demo(), cohort=replace(CohortConfig(), **change)))  # pyright: ignore[reportArgumentType]


def test_a_weaker_adversarial_loss_is_that_part_of_the_gradient() -> None:
    base = demo()
    config = check(
        replace(
            base,
            images=replace(base.images, patch=16, batch=2),
            model=replace(base.model, blocks=1, filters=4, discriminator_filters=2),
            cohort=CohortConfig(starts=(0, 0), variant="independent", adversarial_factors=(1, 0.5)),
        )
    )
    cpu = torch.device("cpu")
    cohort = Cohort(config, PixelContent(), cpu, Precision())
    from fastsr.data.pixels import PixelStore

    store = PixelStore.from_images([random_image(32, 32)])
    patches = PatchSampler.from_config(store, config).draw_aside(0)
    forward = cohort.forward(*cohort.arrange(patches))
    whole, half = cohort.output_gradients(forward, cohort.losses(forward)).adversarial_PE
    assert torch.equal(half, whole / 2) and bool(whole.abs().sum() > 0)


def evaluation(lift: float) -> Evaluation:
    """Of Independent, ML and a control on two images."""
    names = {"peer 0": ("Independent", 0.0), "peer 2": ("ML", lift), "peer 6": ("One-way", 0.3)}
    models = [ScoredModel(name, weights="ema", variant=v) for name, (v, _) in names.items()]
    images = [
        ImageScores("A", str(i), name, {"psnr_rgb": 25 + i + more + 0.01 * lift * i})
        for name, (_, more) in names.items()
        for i in (0, 1)
    ]
    empty = Evaluation(
        scale=4, protocol={}, environment={}, models=tuple(models), metrics=("psnr_rgb",)
    )
    return empty.with_set(ScoredSet("A", 2, "A"), images)


def test_controls_are_told_beside_what_decides() -> None:
    runs = {f"seed{k}": evaluation(lift) for k, lift in enumerate((0.1, 0.2, 0.15))}
    found = with_contrasts(table([*runs.values()], "psnr_rgb"), runs)
    (settled,) = decided([found])
    by_name = {one.variant: one for one in settled.contrasts}
    assert by_name["ML"].tests == 1 and by_name["ML"].outcome
    assert by_name["One-way"].mean == pytest.approx(0.3) and not by_name["One-way"].outcome
    text = "\n".join(markdown(Tables(tables=(settled,))))
    assert "| Independent | ML | ML* | One-way | ML - Independent |" in text
    assert "One-way minus Independent is +0.30 dB" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| A")}) == 1
