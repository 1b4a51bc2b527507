"""Latency of the cohort loss, forward and backward, against torch, and its share of the memory's bandwidth.

Axes: P peers, E logits of one peer.
"""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

import pytest
import torch
from fastsr_kernels.cohort_loss import cohort_loss, reference
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, logsigmoid

from bench.microbench import (
    LAUNCHES,
    Contender,
    has_targets,
    measure,
    microseconds,
    needs_gpu,
    ratio,
)

TEMPERATURE, KL_WEIGHT = 2.0, 0.5
LARGEST_ERROR = 1e-5  # relative to the largest value
VALUES = ("discriminator_P", "adversarial_P", "grad_real_PE", "grad_fake_PE", "grad_adversarial_PE")

LONGEST_US, LEAST_TIMES_EAGER, LEAST_TIMES_COMPILED, LEAST_SHARE = 6.0, 10.0, 3.0, 0.7
LARGE_COPY = 2**29  # bytes read and written: far more than a GPU's cache holds


class Case(NamedTuple):
    """Number and dtype of the logits."""

    peers: int
    logits: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.peers}x{self.logits}-{str(self.dtype).removeprefix('torch.')}"


PAPER = Case(2, 16, torch.float32)
TINY_MAP = Case(4, 1000, torch.bfloat16)
MAP, LARGEST_MAP = Case(2, 147456, torch.float32), Case(8, 147456, torch.bfloat16)
LATENCY = [
    PAPER,
    TINY_MAP,
    *(pytest.param(x, marks=needs_gpu) for x in (Case(6, 16, torch.float32), MAP, LARGEST_MAP)),
]
BANDWIDTH = [TINY_MAP, *(pytest.param(x, marks=needs_gpu) for x in (MAP, LARGEST_MAP))]


class Inputs(NamedTuple):
    """Arguments of the operator."""

    z_real_PE: Tensor
    z_fake_PE: Tensor
    mixing_PP: Tensor
    temperature_P: Tensor
    kl_weight_P: Tensor


def draw(case: Case, device: torch.device) -> Inputs:
    """Random logits of a cohort in which every peer teaches every other."""
    generator = torch.Generator().manual_seed(0)
    real, fake = (2 * torch.randn(case.peers, case.logits, generator=generator) for _ in range(2))
    mixing = (1 - torch.eye(case.peers)) / (case.peers - 1)
    temperature, weight = (
        torch.full((case.peers,), TEMPERATURE),
        torch.full((case.peers,), KL_WEIGHT),
    )
    logits = (z.to(device, case.dtype) for z in (real, fake))
    return Inputs(*logits, *(x.to(device) for x in (mixing, temperature, weight)))


def bce(z_E: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(z_E, torch.full_like(z_E, label))


def mutual_kl(logits: list[Tensor], student: int) -> Tensor:
    """Mean softened divergence of one peer from its teachers, over the outcomes "real" and "generated"."""

    def log_outcomes(z_E: Tensor) -> Tensor:
        return logsigmoid(torch.stack([z_E, -z_E], 1) / TEMPERATURE)

    teachers = [z_E.detach() for peer, z_E in enumerate(logits) if peer != student]
    divergences = [
        kl_div(
            log_outcomes(logits[student]), log_outcomes(z_E), reduction="batchmean", log_target=True
        )
        for z_E in teachers
    ]
    return TEMPERATURE**2 * torch.stack(divergences).mean()


def eager(z_real_PE: Tensor, z_fake_PE: Tensor) -> tuple[Sequence[Tensor], ...]:
    """`VALUES`, a tensor for each peer, as a person would write them: pair by pair, differentiated by autograd."""
    real, fake = (
        [z_E.detach().float().requires_grad_() for z_E in z_PE] for z_PE in (z_real_PE, z_fake_PE)
    )
    discriminator = [
        bce(real[k], 1.0)
        + bce(fake[k], 0.0)
        + KL_WEIGHT * (mutual_kl(real, k) + mutual_kl(fake, k))
        for k in range(len(real))
    ]
    adversarial = [bce(z_E, 1.0) for z_E in fake]
    gradients = torch.autograd.grad(discriminator, [*real, *fake])
    adversarial_gradients = torch.autograd.grad(adversarial, fake)
    return (
        discriminator,
        adversarial,
        gradients[: len(real)],
        gradients[len(real) :],
        adversarial_gradients,
    )


def make_contenders(inputs: Inputs) -> dict[str, Contender]:
    """Each computes `VALUES`, forward and backward. The operator is the Triton kernel on a GPU, the reference on a CPU.

    Eager torch launches so many kernels that few calls make a graph long.
    """
    compiled = torch.compile(reference.cohort_loss, fullgraph=True, dynamic=False)
    return {
        "operator": Contender(lambda: cohort_loss(*inputs)[1:]),
        "compiled": Contender(lambda: compiled(*inputs)[1:]),
        "eager": Contender(lambda: eager(inputs.z_real_PE, inputs.z_fake_PE), calls=5),
    }


def assert_right(contenders: dict[str, Contender], inputs: Inputs) -> None:
    """All contenders compute what the reference does in float64."""
    exact = reference.cohort_loss(*(x.double() for x in inputs))[1:]
    for name, contender in contenders.items():
        for value, got, want in zip(VALUES, contender.function(), exact, strict=True):
            error = float((torch.stack([*got]).detach() - want).abs().max() / want.abs().max())
            assert error < LARGEST_ERROR, (
                f"{value} of {name} is off by {error:.1e} of its largest value"
            )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", LATENCY, ids=str)
@pytest.mark.parametrize("launch", LAUNCHES)
def test_latency(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    device: torch.device,
    case: Case,
    launch: str,
) -> None:
    """Time of one forward and backward. Replayed, also of the operator alone in a graph, whose launch then counts."""
    inputs, replayed = draw(case, device), launch == "replayed"
    contenders = make_contenders(inputs)
    assert_right(contenders, inputs)
    if replayed:
        contenders["operator, one a graph"] = contenders["operator"]._replace(calls=1)
    seconds = measure(benchmark, contenders, replayed)
    times = {name: ratio(seconds[name], seconds["operator"]) for name in ("eager", "compiled")}
    report(
        {
            "times_as_fast_as": times,
            **{name: microseconds(rounds) for name, rounds in seconds.items()},
        }
    )
    if has_targets() and replayed and case == PAPER:
        assert median(seconds["operator"]) * 1e6 <= LONGEST_US
        assert times["eager"] >= LEAST_TIMES_EAGER
        assert times["compiled"] >= LEAST_TIMES_COMPILED


def copy(moved: int, device: torch.device) -> Contender:
    """A copy that reads and writes this many bytes in all."""
    source = torch.zeros(moved // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Contender(lambda: target.copy_(source))


def bytes_moved(inputs: Inputs) -> int:
    """Bytes to read and write: the logits once, in their dtype, and three gradients in fp32."""
    logits = inputs.z_real_PE.nbytes + inputs.z_fake_PE.nbytes
    return logits + 4 * (inputs.z_real_PE.numel() + 2 * inputs.z_fake_PE.numel())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", BANDWIDTH, ids=str)
def test_bandwidth(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    device: torch.device,
    case: Case,
) -> None:
    """Bandwidth as a share of that of a copy of as many bytes; on a GPU both are replayed.

    Both work on the same memory again and again, and a GPU's cache may hold all of it: a large copy is timed too.
    """
    inputs, replayed = draw(case, device), device.type == "cuda"
    operator = make_contenders(inputs)["operator"]
    assert_right({"operator": operator}, inputs)
    moved, large = bytes_moved(inputs), LARGE_COPY if replayed else 2**20
    contenders = {
        "operator": operator,
        "copy": copy(moved, device),
        "large copy": copy(large, device),
    }
    seconds = measure(benchmark, contenders, replayed)
    sizes = {"operator": moved, "copy": moved, "large copy": large}
    rate = {name: sizes[name] / median(rounds) / 1e9 for name, rounds in seconds.items()}
    share = rate["operator"] / rate["copy"]
    report(
        {
            "share_of_copy": round(share, 3),
            "bytes": moved,
            "gigabytes_per_s": {name: round(value, 2) for name, value in rate.items()},
            **{name: microseconds(rounds) for name, rounds in seconds.items()},
        }
    )
    if has_targets() and case == LARGEST_MAP:
        assert share >= LEAST_SHARE
