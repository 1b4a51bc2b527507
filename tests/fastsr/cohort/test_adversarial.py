"""Other adversarial terms, and maps of several sizes: values by definition, gradients as autograd has them."""

from typing import Any, get_args

import pytest
import torch
from fastsr_kernels.cohort_loss import reference
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from fastsr.cohort.adversarial import Maps, Teaching, logit_losses
from fastsr.config.settings import AdversarialName

CPU = torch.device("cpu")
ONES, ZEROS = torch.ones_like, torch.zeros_like


def defined(name: AdversarialName, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """D's loss on real and generated images, and G's loss, of one peer, as BasicSR's trainers write them."""
    if name == "vanilla":
        return bce(real, ONES(real)), bce(fake, ZEROS(fake)), bce(fake, ONES(fake))
    if name == "lsgan":
        return (real - 1).square().mean(), fake.square().mean(), (fake - 1).square().mean()
    a, b = real - fake.mean(), fake - real.mean()
    return bce(a, ONES(a)), bce(b, ZEROS(b)), bce(a, ZEROS(a)) + bce(b, ONES(b))


def kl(z: Tensor, teacher: Tensor, t: float, one_outcome: bool) -> Tensor:
    p, q = (teacher.detach() / t).sigmoid(), (z / t).sigmoid()
    first = p * (p.log() - q.log())
    return (
        t**2 * (first if one_outcome else first + (1 - p) * ((1 - p).log() - (1 - q).log())).mean()
    )


CASES = {
    "one logit": ((1, 1, 1), False), "maps alike": ((6, 6, 6), False), "sizes": ((6, 6, 2), False),
    "means": ((6, 1, 3), True),
}  # fmt: skip


@pytest.mark.parametrize("one_outcome", [False, True], ids=["bernoulli", "one outcome"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", get_args(AdversarialName))
def test_values_and_gradients(name: AdversarialName, case: str, one_outcome: bool) -> None:
    """In float64. Peers 0 and 1 teach each other, and peer 2 nobody: its map may have another size."""
    torch.manual_seed(0)
    per_image, by_mean = CASES[case]
    maps = Maps(4, per_image, by_mean, CPU)
    real, fake = (
        [torch.randn(maps.count(k), dtype=torch.float64, requires_grad=True) for k in range(3)]
        for _ in range(2)
    )
    mixing = torch.tensor([[0, 0.7, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.float64)
    temperature, weight = (
        torch.tensor([1.0, 2.0, 1.0]).double(),
        torch.tensor([0.3, 2.0, 1.0]).double(),
    )
    teaching = Teaching(mixing, temperature, weight, one_outcome)
    z_real, z_fake = (maps.filled([z.detach() for z in logits]) for logits in (real, fake))
    found = logit_losses(name, z_real, z_fake, maps, teaching)
    for k in range(3):
        d_real, d_fake, g = defined(name, real[k], fake[k])
        seen_real, seen_fake = (
            [z.view(4, -1).mean(1) for z in logits] if by_mean else logits
            for logits in (real, fake)
        )
        kl_real, kl_fake = torch.zeros(2).double()
        for j in range(3):
            if mixing[k, j]:
                t = float(temperature[k])
                kl_real = kl_real + mixing[k, j] * kl(seen_real[k], seen_real[j], t, one_outcome)
                kl_fake = kl_fake + mixing[k, j] * kl(-seen_fake[k], -seen_fake[j], t, one_outcome)
        expected = torch.stack([d_real, d_fake, kl_real, kl_fake])
        torch.testing.assert_close(found.terms_P4[k], expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(found.adversarial_P[k], g, rtol=1e-6, atol=1e-7)
        loss = d_real + d_fake + weight[k] * (kl_real + kl_fake)
        gradients = torch.autograd.grad(loss, [real[k], fake[k]], retain_graph=True)
        (adversarial,) = torch.autograd.grad(g, fake[k])
        rows = found.grad_real_PE[k], found.grad_fake_PE[k], found.grad_adversarial_PE[k]
        for row, gradient in zip(rows, (*gradients, adversarial), strict=True):
            torch.testing.assert_close(row[: maps.count(k)], gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("one_outcome", [False, True])
def test_vanilla_is_what_the_operator_computes(one_outcome: bool) -> None:
    maps = Maps(5, (9, 9), False, CPU)
    real, fake = torch.randn(2, 2, 45)
    matrix, ones = torch.tensor([[0, 1.0], [0.5, 0]]), torch.ones(2)
    arguments: Any = (matrix, 2 * ones, 3 * ones, one_outcome)
    ours = logit_losses("vanilla", real, fake, maps, Teaching(*arguments))
    for a, b in zip(ours, reference.cohort_loss(real, fake, *arguments), strict=True):
        torch.testing.assert_close(a, b)
