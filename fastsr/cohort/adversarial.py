"""The losses on logits that the fused operator does not compute: other adversarial terms, and maps of other sizes.

All in plain torch, values and closed-form gradients as the operator gives them.

Axes: P peers, N images, E logits of one peer. Where peers have maps of different sizes, E is the largest, and rows of
the others end in zeros, which `share_PE` leaves out.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from fastsr_kernels.cohort_loss import CohortLoss, reference
from torch import Tensor
from torch.nn.functional import pad, softplus

from fastsr.config.settings import AdversarialName


class AdversarialTerms(NamedTuple):
    """Values of each peer, and gradients with regard to its own logits."""

    real_P: Tensor
    """The discriminator's loss on real images, and on generated ones."""
    fake_P: Tensor
    generator_P: Tensor
    """The generator's loss."""
    grad_real_PE: Tensor
    grad_fake_PE: Tensor
    grad_generator_PE: Tensor


def vanilla(z_real_PE: Tensor, z_fake_PE: Tensor, share_PE: Tensor) -> AdversarialTerms:
    """Binary cross entropy; the generator's is -ln D(G(lr)). Source: Goodfellow et al., 2014."""
    return AdversarialTerms(
        (softplus(-z_real_PE) * share_PE).sum(1),
        (softplus(z_fake_PE) * share_PE).sum(1),
        (softplus(-z_fake_PE) * share_PE).sum(1),
        -torch.sigmoid(-z_real_PE) * share_PE,
        torch.sigmoid(z_fake_PE) * share_PE,
        -torch.sigmoid(-z_fake_PE) * share_PE,
    )


def lsgan(z_real_PE: Tensor, z_fake_PE: Tensor, share_PE: Tensor) -> AdversarialTerms:
    """Squared distance to 1 of real images and to 0 of generated ones; the generator wants 1.

    Source: Mao et al., "Least squares generative adversarial networks", ICCV 2017, with a = 0, b = c = 1, without 1/2.
    """
    return AdversarialTerms(
        ((z_real_PE - 1).square() * share_PE).sum(1),
        (z_fake_PE.square() * share_PE).sum(1),
        ((z_fake_PE - 1).square() * share_PE).sum(1),
        2 * (z_real_PE - 1) * share_PE,
        2 * z_fake_PE * share_PE,
        2 * (z_fake_PE - 1) * share_PE,
    )


def relativistic(z_real_PE: Tensor, z_fake_PE: Tensor, share_PE: Tensor) -> AdversarialTerms:
    """Real images shall be more real than the mean generated one, generated ones less; the generator wants otherwise.

    With a = z_real - mean z_fake and b = z_fake - mean z_real, D's loss is softplus(-a) + softplus(b), and G's is
    softplus(a) + softplus(-b), means over all logits. Gradients go through the means, too.

    Source: Wang et al., ESRGAN, 2018, equations 1 and 2; Jolicoeur-Martineau, 2019.
    """
    a_PE = z_real_PE - (z_fake_PE * share_PE).sum(1, keepdim=True)
    b_PE = z_fake_PE - (z_real_PE * share_PE).sum(1, keepdim=True)
    not_real_PE, too_real_PE = torch.sigmoid(-a_PE) * share_PE, torch.sigmoid(b_PE) * share_PE
    real_PE, fake_PE = torch.sigmoid(a_PE) * share_PE, torch.sigmoid(-b_PE) * share_PE
    return AdversarialTerms(
        (softplus(-a_PE) * share_PE).sum(1),
        (softplus(b_PE) * share_PE).sum(1),
        ((softplus(a_PE) + softplus(-b_PE)) * share_PE).sum(1),
        -not_real_PE - too_real_PE.sum(1, keepdim=True) * share_PE,
        too_real_PE + not_real_PE.sum(1, keepdim=True) * share_PE,
        -fake_PE - real_PE.sum(1, keepdim=True) * share_PE,
    )


@dataclass(frozen=True)
class Maps:
    """The logits that each peer has for one image, and what they teach by."""

    images: int
    per_image: tuple[int, ...]
    by_mean: bool
    """Teach by the mean logit of each image, not by every logit of maps, which then must be of one size."""
    device: torch.device

    @property
    def most(self) -> int:
        """Logits of the peer that has most: E."""
        return self.images * max(self.per_image)

    @cached_property
    def share_PE(self) -> Tensor:
        """1 / (logits of the peer) for each of them; zero beyond. Made at first use, on the host."""
        share = torch.zeros(len(self.per_image), self.most)
        for k, row in enumerate(share):
            row[: self.count(k)] = 1 / self.count(k)
        return share.to(self.device)

    @property
    def alike(self) -> bool:
        """True if all peers have as many logits."""
        return len(set(self.per_image)) == 1

    @property
    def shows_means(self) -> bool:
        """True if the mean logits of images are what is looked at, all logits not being comparable."""
        return self.by_mean or not self.alike

    def filled(self, logits: list[Tensor], parts: int = 1) -> Tensor:
        """Logits of any peers on one of `parts` slices of the images, as one tensor with columns for the most."""
        if self.alike:
            return torch.stack(logits)
        return torch.stack([pad(z_E, (0, self.most // parts - z_E.numel())) for z_E in logits])

    def count(self, k: int) -> int:
        """Logits of one peer."""
        return self.images * self.per_image[k]

    def mean_PN(self, z_PE: Tensor) -> Tensor:
        """The mean logit of each image."""
        rows = (z_E[: self.count(k)] for k, z_E in enumerate(z_PE))
        return torch.stack([row.view(self.images, -1).mean(1) for row in rows])

    def spread(self, gradient_PN: Tensor) -> Tensor:
        """The gradient with regard to all logits `[P, E]` from that with regard to the means."""
        rows = [
            (gradient_N[:, None] / count).expand(-1, count).flatten()
            for gradient_N, count in zip(gradient_PN, self.per_image, strict=True)
        ]
        return self.filled(rows)


@dataclass(frozen=True)
class Teaching:
    """Teachers, temperatures, weights and the divergence; see `reference.cohort_loss`."""

    mixing_PP: Tensor
    temperature_P: Tensor
    kl_weight_P: Tensor
    one_outcome: bool

    def divergence(self, z_PE: Tensor, sign: int, maps: Maps) -> tuple[Tensor, Tensor]:
        """KL of each peer to its teachers, and its gradient.

        Logits are taken for those of Bernoulli variables whatever the adversarial term makes of them. With least
        squares they are near 0 and 1, so probabilities are from 0.5 to 0.73, and KL is about an eighth of the squared
        difference; a relativistic discriminator is free to add a constant to all its logits, and KL ties that, too.
        """
        z = maps.mean_PN(z_PE) if maps.by_mean else z_PE
        kl = reference.peer_kl_of_one_outcome if self.one_outcome else reference.peer_kl
        sign = sign if self.one_outcome else 1
        value_P, gradient = kl(sign * z, self.mixing_PP, self.temperature_P)
        gradient = sign * gradient
        if maps.by_mean:
            return value_P, maps.spread(gradient)
        # Means over E; those of a smaller map are over fewer logits. Beyond it both sides are zero, and so is KL.
        longer_P = maps.share_PE[:, 0] * z_PE.shape[1]
        return value_P * longer_P, gradient * longer_P[:, None]


def logit_losses(
    name: AdversarialName, z_real_PE: Tensor, z_fake_PE: Tensor, maps: Maps, teaching: Teaching
) -> CohortLoss:
    """All losses on logits, and their gradients, with any adversarial term and any sizes of maps."""
    term = {"vanilla": vanilla, "lsgan": lsgan, "relativistic": relativistic}[name]
    terms = term(z_real_PE, z_fake_PE, maps.share_PE)
    kl_real_P, grad_kl_real_PE = teaching.divergence(z_real_PE, 1, maps)
    kl_fake_P, grad_kl_fake_PE = teaching.divergence(z_fake_PE, -1, maps)
    weight_P = teaching.kl_weight_P
    return CohortLoss(
        terms_P4=torch.stack([terms.real_P, terms.fake_P, kl_real_P, kl_fake_P], 1),
        discriminator_P=terms.real_P + terms.fake_P + weight_P * (kl_real_P + kl_fake_P),
        adversarial_P=terms.generator_P,
        grad_real_PE=terms.grad_real_PE + weight_P[:, None] * grad_kl_real_PE,
        grad_fake_PE=terms.grad_fake_PE + weight_P[:, None] * grad_kl_fake_PE,
        grad_adversarial_PE=terms.grad_generator_PE,
    )
