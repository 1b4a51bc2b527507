"""Inputs of the cohort loss, what float64 autograd makes of them, and comparisons, on whatever device.

Axes: P peers, E logits of one peer.
"""

import math
from typing import NamedTuple

import torch
from fastsr_kernels.cohort_loss import CohortLoss, reference
from fastsr_kernels.launch import Launch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, logsigmoid

TERMS = ("bce_real", "bce_fake", "kl_real", "kl_fake")
TOLERANCE = 5e-6  # of fp32 arithmetic; 1e-6 is the largest error seen


class Inputs(NamedTuple):
    z_real_PE: Tensor
    z_fake_PE: Tensor
    mixing_PP: Tensor
    temperature_P: Tensor
    kl_weight_P: Tensor

    def to(self, device: str) -> "Inputs":
        return Inputs(*(x.to(device) for x in self))

    def of(self, dtype: torch.dtype) -> "Inputs":
        """With logits of this dtype."""
        return self._replace(z_real_PE=self.z_real_PE.to(dtype), z_fake_PE=self.z_fake_PE.to(dtype))


def mutual(peers: int) -> Tensor:
    return (torch.ones(peers, peers) - torch.eye(peers)) / max(peers - 1, 1)


def drawn(
    peers: int, logits: int, size: float, seed: int = 0, fake_logits: int | None = None
) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    z_real = size * torch.randn(peers, logits, generator=generator)
    z_fake = size * torch.randn(peers, fake_logits or logits, generator=generator)
    mixing = 2 / peers * torch.rand(peers, peers, generator=generator) * (1 - torch.eye(peers))
    temperature = 0.5 + 4 * torch.rand(peers, generator=generator)
    weight = torch.rand(peers, generator=generator) + 0.1
    return Inputs(z_real, z_fake, mixing, temperature, weight)


def by_definition(
    z_PE: Tensor, mixing: Tensor, temperature: Tensor, outcomes: tuple[int, ...] = (0, 1)
) -> Tensor:
    """KL per peer in float64, from torch's own kl_div over the two outcomes, or one of them, teachers detached."""
    rows = []
    for k in range(z_PE.shape[0]):
        total = torch.zeros((), dtype=torch.float64)
        for j in range(z_PE.shape[0]):
            u, v = z_PE[k] / temperature[k], (z_PE[j] / temperature[k]).detach()
            student = torch.stack([logsigmoid(u), logsigmoid(-u)])
            teacher = torch.stack([logsigmoid(v), logsigmoid(-v)])
            total = (
                total
                + mixing[k, j]
                * kl_div(student, teacher, log_target=True, reduction="none")[list(outcomes)]
                .sum(0)
                .mean()
            )
        rows.append(temperature[k] ** 2 * total)
    return torch.stack(rows)


def by_autograd(inputs: Inputs, one_outcome: bool = False) -> CohortLoss:
    """Values and gradients in float64 on the CPU."""
    real, fake, mixing, temperature, weight = (x.detach().cpu().double() for x in inputs)
    real.requires_grad_()
    fake.requires_grad_()
    bce_real = binary_cross_entropy_with_logits(real, torch.ones_like(real), reduction="none").mean(
        1
    )
    bce_fake = binary_cross_entropy_with_logits(
        fake, torch.zeros_like(fake), reduction="none"
    ).mean(1)
    kl_real = by_definition(real, mixing, temperature, (0,) if one_outcome else (0, 1))
    kl_fake = by_definition(fake, mixing, temperature, (1,) if one_outcome else (0, 1))
    total = bce_real + bce_fake + weight * (kl_real + kl_fake)
    adversarial = binary_cross_entropy_with_logits(
        fake, torch.ones_like(fake), reduction="none"
    ).mean(1)
    grad_real, grad_fake = torch.autograd.grad(total.sum(), [real, fake], retain_graph=True)
    (grad_adversarial,) = torch.autograd.grad(adversarial.sum(), fake)
    terms = torch.stack([bce_real, bce_fake, kl_real, kl_fake], 1)
    return CohortLoss(
        *(x.detach() for x in (terms, total, adversarial, grad_real, grad_fake, grad_adversarial))
    )


def in_slices(inputs: Inputs, width: int = 65536) -> CohortLoss:
    """The reference in float64, some logits at a time: of 16 peers with 600,000 it would take 10 GB at once.

    Values are means over logits, and gradients are divided by their number, so slices count by their share.
    """
    logits = inputs.z_real_PE.shape[1]
    wide = Inputs(*(x.double() for x in inputs))
    values: list[Tensor] = []
    gradients: list[tuple[Tensor, ...]] = []
    for first in range(0, logits, width):
        part = slice(first, first + width)
        some = wide._replace(z_real_PE=wide.z_real_PE[:, part], z_fake_PE=wide.z_fake_PE[:, part])
        share = some.z_real_PE.shape[1] / logits
        loss = [share * x for x in reference.cohort_loss(*some)]
        terms, discriminator, adversarial, *grads = loss
        values.append(torch.cat([terms, discriminator[:, None], adversarial[:, None]], 1))
        gradients.append(tuple(grads))
    total = torch.stack(values).sum(0)
    real, fake, adversarial_fake = (torch.cat(parts, 1) for parts in zip(*gradients, strict=True))
    return CohortLoss(total[:, :4], total[:, 4], total[:, 5], real, fake, adversarial_fake)


def named(loss: CohortLoss) -> dict[str, Tensor]:
    """Every output by name, in float64 on the CPU; the four terms apart."""
    outputs = {name: x.detach().cpu().double() for name, x in loss._asdict().items()}
    return dict(zip(TERMS, outputs.pop("terms_P4").unbind(1), strict=True)) | outputs


def assert_close(
    got: CohortLoss, want: CohortLoss, tolerance: float = TOLERANCE, nats: float = 1.0
) -> None:
    """Compares each value and each gradient by name, as an error relative to the largest entry.

    Values below `nats` are held to an absolute error: a KL divergence is the difference of two entropies, which may be
    many times larger than itself.
    """
    expected = named(want)
    for name, a in named(got).items():
        b = expected[name]
        assert a.shape == b.shape, f"{name}: {tuple(a.shape)} instead of {tuple(b.shape)}"
        smallest = 1e-30 if name.startswith("grad") else nats
        error = float((a - b).abs().max()) / max(float(b.abs().max()), smallest)
        assert error < tolerance, f"{name}: relative error {error:.1e}"


def entropies(inputs: Inputs) -> float:
    """A bound of what is subtracted in a KL divergence, in nats: T^2 times the entropies of all teachers of a peer."""
    weight_P = inputs.temperature_P.square() * inputs.mixing_PP.sum(1)
    return max(1.0, float(weight_P.max()) * math.log(2))


def assert_equal(got: CohortLoss, want: CohortLoss) -> None:
    """Bit for bit, dtypes and strides too."""
    for name, a, b in zip(CohortLoss._fields, got, want, strict=True):
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride()), name
        assert torch.equal(a, b), f"{name} differs"


def poison(launch: Launch, loss: CohortLoss) -> None:
    """Fills the memory that a launch is to write with NaN: the outputs, and what programs tell one another."""
    for x in (*loss, launch.arguments["partial"]):
        x.fill_(float("nan"))
