"""Dead losses are found before training, and the check leaves no trace."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import FeatureContent, PixelContent
from fastsr.cohort.liveness import check_liveness, enabled_terms
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.errors import UserError
from fastsr.models import VGG19Features
from fastsr.system.precision import Precision

LR, HR = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 16, 16)


def cohort_of(config: TrainConfig) -> Cohort:
    return Cohort(config, PixelContent(), torch.device("cpu"), Precision())


def state_of(cohort: Cohort) -> list[Tensor]:
    return [
        v.clone()
        for peer in cohort.peers
        for n in peer.networks.values()
        for v in n.state_dict().values()
    ]


@pytest.mark.parametrize("variant", ["independent", "ml", "ml-star"])
def test_healthy_cohorts_pass_and_stay_as_they_were(tiny_config: TrainConfig, variant: str) -> None:
    cohort = cohort_of(replace(tiny_config, cohort=CohortConfig(variant=variant)))  # type: ignore[arg-type]
    before = state_of(cohort)
    check_liveness(cohort, LR, HR)
    assert all(torch.equal(a, b) for a, b in zip(before, state_of(cohort), strict=True))
    assert all(
        p.grad is None
        for peer in cohort.peers
        for n in peer.networks.values()
        for p in n.parameters()
    )


@pytest.mark.parametrize(
    "precision",
    [Precision(dtype=torch.bfloat16), Precision(dtype=torch.float16, scaled=True)],
    ids=["bf16", "fp16"],
)
def test_mixed_precision_and_features_pass(tiny_config: TrainConfig, precision: Precision) -> None:
    content = FeatureContent(VGG19Features("conv2_2").randomise())
    cohort = Cohort(tiny_config, content, torch.device("cpu"), precision)
    check_liveness(cohort, LR, HR)
    assert cohort.precision is precision


def test_terms_follow_the_configuration(tiny_config: TrainConfig) -> None:
    assert enabled_terms(cohort_of(tiny_config)) == [
        "bce_real",
        "bce_fake",
        "content",
        "adversarial",
        "kl_real",
        "kl_fake",
    ]
    off = replace(
        tiny_config,
        cohort=CohortConfig(kl_weight=0.0),
        loss=replace(tiny_config.loss, adversarial_weight=0.0),
    )
    assert enabled_terms(cohort_of(off)) == ["bce_real", "bce_fake", "content"]


def test_one_way_teacher_is_not_asked_for_a_kl_gradient(tiny_config: TrainConfig) -> None:
    matrix = ((0.0, 1.0), (0.0, 0.0))
    check_liveness(
        cohort_of(replace(tiny_config, cohort=CohortConfig(mixing_matrix=matrix))), LR, HR
    )


class Cut(nn.Module):
    """Detaches what passes: the bug of rebuilding a tensor from values."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def cut_generator(cohort: Cohort) -> None:
    cohort.peers[1].generator.blocks[0] = nn.Sequential(cohort.peers[1].generator.blocks[0], Cut())


def freeze_discriminator_layer(cohort: Cohort) -> None:
    cohort.peers[0].discriminator.dense.weight.requires_grad_(False)


def zero_gradient(cohort: Cohort) -> None:
    cohort.peers[1].discriminator.logit.register_full_backward_hook(
        lambda _m, grads, _o: tuple(0 * g for g in grads)
    )


def explode(cohort: Cohort) -> None:
    with torch.no_grad():
        cohort.peers[0].discriminator.dense.weight[0, 0] = float("nan")


def test_a_cut_generator_is_found_without_pre_training_too(tiny_config: TrainConfig) -> None:
    cohort = cohort_of(replace(tiny_config, optim=replace(tiny_config.optim, pretrain_steps=0)))
    cut_generator(cohort)
    with pytest.raises(UserError, match=r"'content' gives parameter \S+ of peer 1 no gradient"):
        check_liveness(cohort, LR, HR)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_generator, r"'pixel' gives parameter \S+ of peer 1 no gradient"),
        (zero_gradient, r"'bce_real' gives parameter \S+ of peer 1 a gradient of zero"),
        (explode, r"'bce_real' gives parameter \S+ of peer 0 a gradient that is not finite"),
    ],
    ids=["detached", "zeroed", "nan"],
)
def test_dead_losses_are_named(tiny_config: TrainConfig, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    cohort = cohort_of(tiny_config)
    damage(cohort)
    with pytest.raises(UserError, match=message):
        check_liveness(cohort, LR, HR)
