"""Learning rate, averages, precision and layout over steps."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.system.precision import Precision
from tests.fastsr.cohort.cohorts import CPU, cohort_of, patches_of


def snapshot(cohort: Cohort) -> list[Tensor]:
    return [
        v.clone()
        for peer in cohort.peers
        for n in peer.networks.values()
        for v in n.state_dict().values()
    ]


def test_ema_averages_weights_and_leaves_statistics_alone(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort = cohort_of(tiny_config)
    peer, step = (
        cohort.peers[0],
        Step(cohort, patches_of(tiny_config, store), MetricsRing(9, 2, CPU)),
    )
    want = {n: v.clone().double() for n, v in peer.ema.named_parameters()}
    statistics = [buffer.clone() for buffer in peer.ema.buffers()]
    for t in range(6):
        step()
        decay = min(0.9, (1 + t) / (10 + t))
        for name, value in peer.generator.named_parameters():
            want[name] = decay * want[name] + (1 - decay) * value.detach().double()
    for name, value in peer.ema.named_parameters():
        torch.testing.assert_close(value.double(), want[name], rtol=1e-5, atol=1e-7, msg=name)
    for (name, after), before in zip(peer.ema.named_buffers(), statistics, strict=True):
        assert torch.equal(after, before), name


def test_learning_rate_follows_its_milestones(tiny_config: TrainConfig, store: PixelStore) -> None:
    optim = replace(tiny_config.optim, lr=0.01, lr_milestones=(2, 4), lr_gamma=0.5)
    cohort = cohort_of(replace(tiny_config, optim=optim))
    step = Step(cohort, patches_of(tiny_config, store), MetricsRing(9, 2, CPU))
    used = []
    for _ in range(5):
        used.append(float(cohort.schedule.lr))
        step()
    assert used == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025])
    assert all(
        o.param_groups[0]["lr"] is cohort.schedule.lr
        for peer in cohort.peers
        for o in peer.optimizers.values()
    )


def test_mixed_precision_trains_and_keeps_fp32_weights(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    plain, mixed = (
        cohort_of(tiny_config),
        cohort_of(tiny_config, precision=Precision(dtype=torch.bfloat16)),
    )
    rows = []
    for cohort in (plain, mixed):
        ring = MetricsRing(5, 2, CPU)
        step = Step(cohort, patches_of(tiny_config, store), ring)
        for _ in range(5):
            step()
        rows.append(ring.read(0, 5))
    assert all(
        p.dtype == torch.float32
        for peer in mixed.peers
        for n in peer.networks.values()
        for p in n.parameters()
    )
    torch.testing.assert_close(rows[1], rows[0], rtol=0.1, atol=0.02)
    assert not torch.equal(rows[1], rows[0]), "bf16 must have been used"


def test_loss_scaling_changes_no_update(tiny_config: TrainConfig, store: PixelStore) -> None:
    """fp16's scalers, here around fp32 arithmetic: what they multiply they divide again, in every gradient."""
    results = []
    for scaled in (False, True):
        cohort = cohort_of(tiny_config, precision=Precision(scaled=scaled))
        ring = MetricsRing(4, 2, CPU)
        pretrain, step = (
            S(cohort, patches_of(tiny_config, store), ring) for S in (PretrainStep, Step)
        )
        for body in (pretrain, step, step, step):
            body()
        assert cohort.peers[0].g_scaler.is_enabled() == scaled
        results.append((snapshot(cohort), ring.read(0, 4)))
    for plain, scaled in zip(*(r[0] for r in results), strict=True):
        torch.testing.assert_close(scaled, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=1e-3, atol=1e-5)


def test_scalers_are_separate_and_skip_what_overflows(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    cohort = cohort_of(tiny_config, precision=Precision(scaled=True))
    step = Step(cohort, patches_of(tiny_config, store), MetricsRing(4, 2, CPU))
    step()
    scalers = [s for peer in cohort.peers for s in peer.scalers.values()]
    assert len({id(s) for s in scalers}) == 4
    peer = cohort.peers[0]
    with torch.no_grad():
        peer.g_scaler._scale.fill_(float("inf"))  # type: ignore[union-attr]
    weight = peer.generator.input_conv.weight.detach().clone()
    step()
    assert torch.equal(peer.generator.input_conv.weight, weight), "an overflowing update is skipped"
    assert float(peer.d_scaler.get_scale()) == 65536.0, "the other optimiser's scale is untouched"


@pytest.mark.parametrize("channels_last", [True, False])
def test_activations_have_the_layout_asked_for(
    tiny_config: TrainConfig, store: PixelStore, channels_last: bool
) -> None:
    config = replace(tiny_config, machine=replace(tiny_config.machine, channels_last=channels_last))
    cohort, layouts = cohort_of(config), []
    cohort.peers[0].generator.trunk_conv.register_forward_hook(
        lambda _m, _i, out: layouts.append(out.is_contiguous(memory_format=torch.channels_last))
    )
    Step(cohort, patches_of(config, store), MetricsRing(1, 2, CPU))()
    assert layouts == [channels_last]


@pytest.mark.gpu
@pytest.mark.usefixtures("exact_gpu")
def test_cuda_step_equals_cpu_step(tiny_config: TrainConfig, store: PixelStore) -> None:
    rows = []
    for device in (CPU, torch.device("cuda")):
        cohort, ring = (
            Cohort(tiny_config, PixelContent(), device, Precision()),
            MetricsRing(3, 2, device),
        )
        step = Step(cohort, patches_of(tiny_config, store.to(device)), ring)
        for _ in range(3):
            step()
        rows.append(ring.read(0, 3))
    torch.testing.assert_close(rows[1], rows[0], rtol=1e-3, atol=1e-4)
