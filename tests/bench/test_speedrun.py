"""The speedrun's verifier finds what is wrong with a log, and FLOPs are counted as torch's own counter does."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.speedrun.__main__ import SUBMISSIONS
from bench.speedrun.log import LOGS, faults, source_digest
from bench.speedrun.plain import criterion, update
from bench.speedrun.task import Result, check_budget, summary
from fastsr.models import Discriminator, SRResNet
from fastsr.prediction.flops import FlopCount

RESULTS = [Result(seed, 24.1 + 0.1 * seed, 5.8, 1.5, 60.0) for seed in range(3)]


def log(results: list[Result] = RESULTS, **changes: Any) -> dict[str, Any]:
    about = {"record": "plain", "source_sha256": source_digest("plain")}
    return {**about, "seeds": [asdict(one) for one in results], **summary(results), **changes}


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_records_hold(name: str) -> None:
    assert faults(json.loads((LOGS / f"{name}.json").read_text())) == []


def test_a_good_log_holds() -> None:
    assert faults(log()) == [] and summary(RESULTS)["psnr_rgb"] == 24.2
    close = replace(RESULTS[0], psnr_rgb=24.05, niqe=5.9, cpu_seconds=300)
    assert faults(log(), close) == []


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (log(RESULTS[:2]), "the seeds are not (0, 1, 2)"),
        (log(teraflop=1.0), "teraflop do not follow from the seeds"),
        (log([replace(one, niqe=6.3) for one in RESULTS]), "the target is not reached"),
        (log([replace(one, psnr_rgb=23.9) for one in RESULTS]), "the target is not reached"),
        (log(source_sha256="other"), "plain.py has changed since"),
    ],
    ids=["seeds", "means", "niqe", "psnr", "source"],
)
def test_what_is_wrong_is_found(bad: dict[str, Any], fault: str) -> None:
    assert fault in faults(bad)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"teraflop": 1.4}, "1.4 TFLOP, not 1.5"),
        ({"psnr_rgb": 23.9}, "23.900 dB, not 24.100"),
        ({"niqe": 6.0}, "NIQE 6.000, not 5.800"),
    ],
    ids=["flop", "psnr", "niqe"],
)
def test_a_seed_that_comes_out_otherwise_is_found(change: dict[str, float], fault: str) -> None:
    assert faults(log(), replace(RESULTS[0], **change)) == [fault]


def test_another_generator_is_refused() -> None:
    check_budget(SRResNet(4, 4, 32, "bicubic"))
    with pytest.raises(ValueError, match="the task has"):
        check_budget(SRResNet(4, 5, 32))


def test_flops_are_torchs() -> None:
    """Of a step of the plain loop, forward and backward."""
    torch.manual_seed(0)
    generator, discriminator = SRResNet(4, 1, 4), Discriminator(16, 2)
    adam = torch.optim.Adam(generator.parameters())
    lr_NChw = torch.rand(2, 3, 4, 4)
    with FlopCounterMode(display=False) as want:
        update(adam, criterion(discriminator, generator(lr_NChw), 1))
    with FlopCount() as got:
        update(adam, criterion(discriminator, generator(lr_NChw), 1))
    assert got.total == want.get_total_flops() > 0
