"""One step of a cohort: its gradients, what it changes and what it leaves alone."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, logsigmoid, mse_loss

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import FeatureContent
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step
from fastsr.cohort.terms import TRAINING_TERMS
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.models import VGG19Features
from tests.fastsr.cohort.cohorts import CPU, cohort_of, patches_of


def divergence(teacher: Tensor, student: Tensor, outcomes: list[int]) -> Tensor:
    """KL over the outcomes real (0) and not real (1), or the share of one of them."""
    p, q = (torch.stack([logsigmoid(z), logsigmoid(-z)]) for z in (teacher, student))
    return kl_div(q, p, log_target=True, reduction="none")[outcomes].sum(0).mean()


def plain_gradients(cohort: Cohort, lr: Tensor, hr: Tensor) -> list[dict[str, Tensor]]:
    """Gradients of each peer's parameters: separate passes of float64 copies, losses from torch's own functions."""
    g, d = (
        [copy.deepcopy(getattr(p, name)).double() for p in cohort.peers]
        for name in ("generator", "discriminator")
    )
    lr, hr = lr.double(), hr.double()
    z_real, z_fake = (
        [n(hr).double() for n in d],
        [n(m(lr).detach()).double() for n, m in zip(d, g, strict=True)],
    )
    result = []
    for k in range(len(g)):
        t = float(cohort.temperature_P[k])
        loss_d = binary_cross_entropy_with_logits(z_real[k], torch.ones_like(z_real[k]))
        loss_d = loss_d + binary_cross_entropy_with_logits(z_fake[k], torch.zeros_like(z_fake[k]))
        for j in range(len(g)):
            for z, true in ((z_real, 0), (z_fake, 1)):
                outcomes = [true] if cohort.config.cohort.kl == "one-outcome" else [0, 1]
                scale = t**2 if cohort.config.cohort.distillation_scale == "t2" else 1
                kl = scale * divergence(z[j].detach() / t, z[k] / t, outcomes)
                loss_d = (
                    loss_d + cohort.config.cohort.kl_weight * cohort.mixing_PP[k, j].double() * kl
                )
        d_grads = torch.autograd.grad(loss_d, list(d[k].parameters()))
        sr = g[k](lr)
        z = d[k](sr)
        loss_g = cohort.content_weight.double() * mse_loss(sr, hr)
        loss_g = loss_g + cohort.adversarial_weight.double() * binary_cross_entropy_with_logits(
            z, torch.ones_like(z)
        )
        g_grads = torch.autograd.grad(loss_g, list(g[k].parameters()))
        names = [f"generator.{n}" for n, _ in g[k].named_parameters()] + [
            f"discriminator.{n}" for n, _ in d[k].named_parameters()
        ]
        result.append(dict(zip(names, (*g_grads, *d_grads), strict=True)))
    return result


COHORTS = [
    CohortConfig(peers=peers, variant=variant, kl_weight=2.0)
    for peers in (1, 2, 3)
    for variant in ("independent", "ml", "ml-star")
] + [
    CohortConfig(peers=2, variant="ml-star", kl=kl, distillation_scale=scale)
    for kl in ("bernoulli", "one-outcome")
    for scale in ("t2", "1")
]


@pytest.mark.parametrize(
    "chosen", COHORTS, ids=lambda c: f"P{c.peers} {c.variant} {c.kl} scale {c.distillation_scale}"
)
def test_one_forward_pass_gives_every_gradient(
    tiny_config: TrainConfig, store: PixelStore, chosen: CohortConfig
) -> None:
    config = replace(tiny_config, cohort=chosen)
    config = replace(
        config,
        loss=replace(config.loss, adversarial_weight=0.1),
        images=replace(config.images, batch=4),
    )
    cohort = cohort_of(config)
    lr, hr = patches_of(config, store).draw(torch.tensor(0))
    want = plain_gradients(cohort, lr, hr)
    forward = cohort.forward(lr, hr)
    cohort.backward(forward, cohort.output_gradients(forward, cohort.losses(forward)))
    for k, peer in enumerate(cohort.peers):
        got = {f"{network}.{n}": p.grad for network in ("generator", "discriminator")
               for n, p in getattr(peer, network).named_parameters()}  # fmt: skip
        assert got.keys() == want[k].keys()
        largest = {
            network: max(float(v.abs().max()) for n, v in want[k].items() if n.startswith(network))
            for network in ("g", "d")
        }
        for name, gradient in got.items():
            assert gradient is not None, name
            error = float((gradient.double() - want[k][name]).abs().max()) / largest[name[0]]
            assert error < 1e-4, f"peer {k} {name}: {error:.1e}"


def test_adversarial_loss_leaves_discriminators_alone_and_the_other_way_round(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort = cohort_of(tiny_config)
    lr, hr = patches_of(tiny_config, store).draw(torch.tensor(0))
    forward = cohort.forward(lr, hr)
    gradients = cohort.output_gradients(forward, cohort.losses(forward))
    nothing = torch.zeros_like(gradients.real_PE)
    cohort.backward(forward, replace(gradients, real_PE=nothing, fake_PE=nothing))
    assert not any(
        bool(p.grad.any())
        for peer in cohort.peers
        for p in peer.discriminator.parameters()
        if p.grad is not None
    )
    assert all(
        p.grad is not None and bool(p.grad.any())
        for peer in cohort.peers
        for p in peer.generator.parameters()
    )


def test_feature_content_computes_hr_features_once(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    calls: list[int] = []
    content = FeatureContent(VGG19Features("conv2_2").randomise())
    content.vgg.register_forward_hook(lambda *_: calls.append(1))
    cohort = cohort_of(replace(tiny_config, cohort=CohortConfig(peers=3)), content)
    cohort.forward(*patches_of(tiny_config, store).draw(torch.tensor(0)))
    assert len(calls) == 1 + 3


def test_step_writes_one_row_and_counts(tiny_config: TrainConfig, store: PixelStore) -> None:
    cohort, ring = cohort_of(tiny_config), MetricsRing(4, 2, CPU)
    step = Step(cohort, patches_of(tiny_config, store), ring)
    lr, hr = patches_of(tiny_config, store).draw(torch.tensor(0))
    forward = cohort_of(tiny_config).forward(lr, hr)
    step()
    assert int(cohort.schedule.step_count) == 1
    row_PT = ring.read(0, 1)[0]
    assert row_PT.shape == (2, len(TRAINING_TERMS))
    for k in range(2):
        row = dict(zip((term.name for term in TRAINING_TERMS), row_PT[k].tolist(), strict=True))
        assert row["content"] == pytest.approx(
            float(mse_loss(forward.sr[k].detach(), hr)), rel=1e-5
        )
        assert row["bce_real"] == pytest.approx(
            -float(logsigmoid(forward.z_real[k].detach()).mean()), rel=1e-5
        )
        assert row["bce_fake"] == pytest.approx(
            -float(logsigmoid(-forward.z_fake[k].detach()).mean()), rel=1e-5
        )
        assert row["adversarial"] == pytest.approx(
            -float(logsigmoid(forward.z_fake[k].detach()).mean()), rel=1e-5
        )
        assert row["d_prob_real"] == pytest.approx(
            float(forward.z_real[k].sigmoid().mean()), rel=1e-5
        )
        assert row["d_prob_fake"] == pytest.approx(
            float(forward.z_fake[k].sigmoid().mean()), rel=1e-5
        )
        kl_real = divergence(forward.z_real[1 - k], forward.z_real[k], [0, 1])
        assert row["kl_real"] == pytest.approx(float(kl_real), rel=1e-3)


def test_pretraining_moves_generators_alone(tiny_config: TrainConfig, store: PixelStore) -> None:
    cohort, ring = cohort_of(tiny_config), MetricsRing(2, 2, CPU)
    before = {k: [copy.deepcopy(peer.generator.state_dict()), copy.deepcopy(peer.discriminator.state_dict())]
              for k, peer in enumerate(cohort.peers)}  # fmt: skip
    PretrainStep(cohort, patches_of(tiny_config, store), ring)()
    for k, peer in enumerate(cohort.peers):
        assert not torch.equal(
            before[k][0]["input_conv.weight"], peer.generator.state_dict()["input_conv.weight"]
        )
        assert all(
            torch.equal(v, peer.discriminator.state_dict()[n]) for n, v in before[k][1].items()
        )
    assert bool((ring.read(0, 1)[0, :, 0] > 0).all())
    assert not ring.read(0, 1)[0, :, 1:].any()


def test_peers_start_different_and_depend_on_the_seed(tiny_config: TrainConfig) -> None:
    def first_weights(seed: int) -> list[Tensor]:
        machine = replace(tiny_config.machine, seed=seed)
        return [
            p.generator.input_conv.weight
            for p in cohort_of(replace(tiny_config, machine=machine)).peers
        ]

    a, b, c = first_weights(1), first_weights(1), first_weights(2)
    assert not torch.equal(a[0], a[1])
    assert torch.equal(a[0], b[0])
    assert not torch.equal(a[0], c[0])


def test_building_a_cohort_leaves_torchs_global_seed_alone(tiny_config: TrainConfig) -> None:
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    cohort_of(tiny_config)
    assert torch.equal(torch.rand(3), want)
