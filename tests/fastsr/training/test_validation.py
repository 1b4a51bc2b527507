"""Validation during training: the averages in evaluation mode, and nothing that it leaves behind."""

from dataclasses import replace

import pytest
import torch

from fastsr.config.settings import TrainConfig
from fastsr.data.bicubic import upscale
from fastsr.evaluation.pairs import Pair
from fastsr.evaluation.psnr_ssim import psnr_y, ssim_y
from fastsr.evaluation.validate import evaluate
from fastsr.models import SRResNet
from fastsr.models.inference import super_resolve
from fastsr.training.setup import Training, prepare
from fastsr.training.telemetry import Telemetry
from fastsr.training.train import complete, validate
from tests.fastsr.training.training_cases import quiet, rows


def trained_for_three_steps(config: TrainConfig) -> Training:
    training = prepare(replace(config, optim=replace(config.optim, pretrain_steps=0)), quiet())
    for _ in range(3):
        training.patches.load()
        training.stage.body()
        training.step += 1
    complete(training)
    return training


def everything(training: Training) -> dict[str, torch.Tensor]:
    return {
        f"{k} {name} {key}": value.clone()
        for k, peer in enumerate(training.cohort.peers)
        for name, network in peer.networks.items()
        for key, value in network.state_dict().items()
    }


def in_evaluation_mode(generator: SRResNet, training: Training) -> tuple[float, float]:
    """Mean PSNR and SSIM by a fresh network of the same weights and statistics."""
    model = training.config.model
    fresh = SRResNet(model.scale, model.blocks, model.filters, model.skip)
    fresh.load_state_dict(generator.state_dict())
    fresh.eval()
    scores: list[tuple[float, float]] = []
    for pair in training.validation:
        with torch.no_grad():
            unit = fresh(pair.lr.permute(2, 0, 1)[None].float() / 255)[0]
        sr = (unit * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        scores.append((psnr_y(sr, pair.hr, 2, pair.grey), ssim_y(sr, pair.hr, 2, pair.grey)))
    psnr, ssim = torch.tensor(scores, dtype=torch.float64).mean(0).tolist()
    return psnr, ssim


def test_validation_uses_running_statistics_and_changes_none(config: TrainConfig) -> None:
    training = trained_for_three_steps(config)
    before = everything(training)
    modes = [
        m.training for p in training.cohort.peers for n in p.networks.values() for m in n.modules()
    ]
    with Telemetry(training.run, quiet(), training.config) as telemetry:
        validate(training, telemetry)
    after = everything(training)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert modes == [
        m.training for p in training.cohort.peers for n in p.networks.values() for m in n.modules()
    ]
    (row,) = rows(training.run, "validation")
    for k, peer in enumerate(training.cohort.peers):
        psnr, ssim = in_evaluation_mode(peer.ema, training)
        assert row["scores"][f"peer {k}"] == pytest.approx({"psnr": psnr, "ssim": ssim}, rel=1e-6)


def test_batch_statistics_would_have_been_noticed(config: TrainConfig) -> None:
    """The images tell the two modes apart: without this the test above could not fail."""
    training = trained_for_three_steps(config)
    ema, pair = training.cohort.peers[0].ema, training.validation[0]
    x = pair.lr.permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        assert not torch.allclose(ema(x), ema.train()(x), atol=1 / 255)


@pytest.mark.parametrize("part", ["whole", "one norm"])
def test_a_generator_in_training_mode_is_not_run(part: str) -> None:
    torch.manual_seed(0)
    generator = SRResNet(2, blocks=1, filters=4).eval()
    norms = [m for m in generator.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    (generator if part == "whole" else norms[-1]).train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    lr = torch.randint(256, (12, 14, 3), dtype=torch.uint8)
    with pytest.raises(AssertionError, match="evaluation mode"):
        super_resolve(generator, lr)
    with pytest.raises(AssertionError, match="evaluation mode"):
        evaluate({"mine": generator}, [Pair("a", lr, upscale(lr, 2))], 2)
    assert all(torch.equal(before[name], x) for name, x in generator.state_dict().items())
