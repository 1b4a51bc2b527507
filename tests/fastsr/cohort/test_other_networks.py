"""Cohorts of the other networks, losses and tables of peers: every loss is alive, and the step can be captured."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import content_loss
from fastsr.cohort.liveness import check_liveness
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step, WarmStep
from fastsr.config.check import check
from fastsr.config.networks import PeerConfig
from fastsr.config.settings import LossConfig, TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.errors import UserError
from fastsr.system.precision import Precision
from tests.fastsr.cohort.test_step_lint import lint

CPU = torch.device("cpu")
TEACHES_NOBODY = ((0.0, 0.0), (0.0, 0.0))
LAYERS = LossConfig(
    content="random-layers", vgg_layers=("conv1_2", "conv2_2"), vgg_layer_weights=(0.1, 1.0),
    content_weight=1.0, pixel_weight=0.5, pixel_loss="l1",
)  # fmt: skip
PIXEL = LossConfig(content="pixel")


def tables(*peers: PeerConfig, **cohort: Any) -> dict[str, Any]:
    return {"cohort": {"peer": peers, **cohort}}


CASES: dict[str, dict[str, Any]] = {
    "msrresnet, unet": {"model": {"generator": "msrresnet", "discriminator": "unet"}},
    "rrdb, patch, relativistic": {
        "model": {"generator": "rrdb", "growth": 2, "discriminator": "patch"},
        "loss": replace(PIXEL, adversarial="relativistic"),
    },
    "compact, lsgan, layers": {
        "model": {"generator": "compact"}, "loss": replace(LAYERS, adversarial="lsgan"),
    },
    "span, unet, layers": {"model": {"generator": "span", "discriminator": "unet"}, "loss": LAYERS},
    "mixed, by means": tables(
        PeerConfig(generator="rrdb", growth=2, discriminator="unet", lr=3e-5, content_weight=0.25),
        PeerConfig(generator="span", discriminator="patch", adversarial_weight=0.1),
        exchange="mean",
    ),
    "mixed, apart": tables(
        PeerConfig(generator="compact", discriminator="unet"), PeerConfig(), mixing_matrix=TEACHES_NOBODY
    ),
}  # fmt: skip


def config_of(tiny: TrainConfig, case: str) -> TrainConfig:
    changes = CASES[case]
    config = replace(
        tiny,
        images=replace(tiny.images, patch=32),
        model=replace(tiny.model, **changes.get("model", {})),
        cohort=replace(tiny.cohort, **changes.get("cohort", {})),
        loss=changes.get("loss", PIXEL),
    )
    return check(config)


def built(config: TrainConfig, store: PixelStore, **precision: Any) -> tuple[Cohort, PatchSampler]:
    cohort = Cohort(config, content_loss(config.loss), CPU, Precision(**precision))
    return cohort, PatchSampler.from_config(store, config)


@pytest.mark.parametrize("body", [Step, WarmStep])
@pytest.mark.parametrize("case", CASES)
def test_every_loss_is_alive_and_the_step_can_be_captured(
    tiny_config: TrainConfig, store: PixelStore, case: str, body: type[Step]
) -> None:
    cohort, sampler = built(config_of(tiny_config, case), store)
    if body is Step:
        check_liveness(cohort, *sampler.draw_aside(0))
    step = body(cohort, sampler, MetricsRing(2, 2, CPU))
    assert lint(step, step.state()) == []
    assert all(bool(value.isfinite().all()) for value in cohort.state())


def test_mixed_precision_and_recomputed_blocks_can_be_captured(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    config = config_of(tiny_config, "mixed, by means")
    config = replace(config, machine=replace(config.machine, checkpoint_activations=True))
    cohort, sampler = built(config, store, dtype=torch.bfloat16)
    step = Step(cohort, sampler, MetricsRing(2, 2, CPU))
    assert lint(step, step.state()) == []


def changed_entries(before: list[dict[str, Tensor]], after: list[dict[str, Tensor]]) -> set[str]:
    return {
        name
        for a, b in zip(before, after, strict=True)
        for name in a
        if not torch.equal(a[name], b[name])
    }


def states(cohort: Cohort, name: str) -> list[dict[str, Tensor]]:
    return [
        {key: value.clone() for key, value in peer.networks[name].state_dict().items()}
        for peer in cohort.peers
    ]


@pytest.mark.parametrize("generator", ["srresnet", "span"])
def test_discriminators_learn_alone_and_generators_stay(
    tiny_config: TrainConfig, store: PixelStore, generator: str
) -> None:
    """The loss of D falls; not a bit of a generator or its average changes, BN statistics included."""
    config = config_of(tiny_config, "msrresnet, unet")
    config = replace(
        config, model=replace(config.model, generator=generator), optim=replace(config.optim, lr=3e-3)
    )  # fmt: skip
    cohort, sampler = built(config, store)
    ring = MetricsRing(30, 2, CPU)
    step, kept = WarmStep(cohort, sampler, ring), ("generator", "ema")
    before = {name: states(cohort, name) for name in (*kept, "discriminator")}
    for _ in range(30):
        step()
    assert {name: changed_entries(before[name], states(cohort, name)) for name in kept} == {
        "generator": set(), "ema": set(),
    }  # fmt: skip
    vectors = {f"conv{k}.weight_{kind}" for k in range(1, 9) for kind in ("orig", "u", "v")}
    assert vectors <= changed_entries(before["discriminator"], states(cohort, "discriminator"))
    loss_R = ring.read(0, 30)[..., :2].sum((1, 2))
    assert loss_R[-5:].mean() < 0.9 * loss_R[:5].mean()


def test_peers_have_their_own_rates_and_weights(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    config = config_of(tiny_config, "mixed, by means")
    config = replace(config, optim=replace(config.optim, lr_milestones=(1,), lr_gamma=0.5))
    cohort, sampler = built(config, store)
    step = Step(cohort, sampler, MetricsRing(2, 2, CPU))
    step()
    rates = [float(peer.g_optimizer.param_groups[0]["lr"]) for peer in cohort.peers]
    assert rates == pytest.approx([1.5e-5, config.optim.lr / 2])
    forward = cohort.forward(*cohort.arrange(sampler.draw_aside(0)))
    gradients = cohort.output_gradients(forward, cohort.losses(forward))
    torch.testing.assert_close(gradients.content[0], 0.25 * forward.content_gradient[0])
    torch.testing.assert_close(gradients.content[1], forward.content_gradient[1])
    loss = cohort.losses(forward).grad_adversarial_PE
    torch.testing.assert_close(
        gradients.adversarial_PE[0], config.loss.adversarial_weight * loss[0]
    )
    torch.testing.assert_close(gradients.adversarial_PE[1], 0.1 * loss[1])


def test_one_peer_of_a_mixed_cohort_trains_as_alone(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    """Where nobody teaches, a peer of a table is bit for bit what a cohort of its own makes of it."""
    mixed, sampler = built(config_of(tiny_config, "mixed, apart"), store)
    alone_config = config_of(tiny_config, "mixed, apart")
    model = replace(alone_config.model, generator="compact", discriminator="unet")
    one = replace(alone_config.cohort, peers=1, peer=(), mixing_matrix=(), variant="independent")
    alone, _ = built(replace(alone_config, model=model, cohort=one), store)
    for cohort in (mixed, alone):
        step = Step(cohort, sampler, MetricsRing(2, len(cohort.peers), CPU))
        for _ in range(2):
            step()
    for a, b in zip(mixed.peers[0].state(), alone.peers[0].state(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


REFUSED = [
    ({"peer": (PeerConfig(discriminator="unet"), PeerConfig())},
     "peer 1 has 1 logits an image and cannot teach peer 0, which has 1024; use --exchange mean"),
    ({"peer": (PeerConfig(),)}, r"there are 1 \[\[cohort.peer\]\] tables for --peers 2"),
    ({"peer": (PeerConfig(lr=0.0), PeerConfig())}, "--lr 0.0 cannot be used"),
    ({"peer": (PeerConfig(blocks=0), PeerConfig())}, "--blocks 0 cannot be used"),
    ({"peer": (PeerConfig(content_weight=-1.0), PeerConfig())}, "--content-weight -1.0 cannot be"),
]  # fmt: skip


@pytest.mark.parametrize(("cohort", "message"), REFUSED)
def test_tables_that_do_not_fit_are_refused(
    tiny_config: TrainConfig, cohort: dict[str, Any], message: str
) -> None:
    config = replace(tiny_config, images=replace(tiny_config.images, patch=32))
    with pytest.raises(UserError, match=message):
        check(replace(config, cohort=replace(config.cohort, **cohort)))


@pytest.mark.parametrize(
    ("model", "patch", "message"),
    [
        ({"generator": "msrresnet", "scale": 8}, 32, "--scale 8 of msrresnet cannot be used"),
        ({"generator": "rrdb", "scale": 3}, 48, "--scale 3 of rrdb cannot be used"),
        ({"discriminator": "unet"}, 20, "--patch 20 cannot be used; with --discriminator unet"),
        ({"discriminator": "patch"}, 24, "--patch 24 cannot be used; with --discriminator patch"),
        ({"generator": "rrdb"}, 34, "--patch 34 cannot be used; with rrdb at scale 2"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    tiny_config: TrainConfig, model: dict[str, Any], patch: int, message: str
) -> None:
    images = replace(tiny_config.images, patch=patch)
    with pytest.raises(UserError, match=message):
        check(replace(tiny_config, images=images, model=replace(tiny_config.model, **model)))
