"""The results of one pass of all peers, and the gradients that go back through it.

Axes: P peers, N images, E logits of one peer, C channels, H W high resolution.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fastsr.cohort.adversarial import Maps


@dataclass(frozen=True)
class Forward:
    """The results of one forward pass of all peers that the losses need."""

    sr: list[Tensor]
    """Generated images `[N, C, H, W]` of each peer, attached to its generator."""
    sr_leaf: list[Tensor]
    """The same images, detached: what D saw. Gradients with regard to them flow on into `sr`."""
    z_real: list[Tensor]
    """Logits `[E]` of each D on real images."""
    z_fake: list[Tensor]
    """Logits `[E]` of each D on its own generator's images."""
    content_P: Tensor
    """Unweighted content loss of each peer."""
    content_gradient: list[Tensor]
    """d content / d sr `[N, C, H, W]` of each peer, unweighted, with the scale of G's scaler: it came through VGG."""
    maps: Maps
    """Sizes of the maps of logits, those of peers that other processes train included."""
    logits_2PE: Tensor
    """Logits on real and on generated images of all peers, those that other processes train included, detached; zeros
    behind maps that are smaller than others."""

    @property
    def probabilities_2P(self) -> Tensor:
        """Each D's mean probability of real, on real and on generated images."""
        return self.shown_2PE.sigmoid().mean(2)

    @property
    def shown_2PE(self) -> Tensor:
        """Logits to look at: all, or where maps are compared by their means, those."""
        if not self.maps.shows_means:
            return self.logits_2PE
        return torch.stack([self.maps.mean_PN(z_PE) for z_PE in self.logits_2PE])


@dataclass(frozen=True)
class OutputGradients:
    """Gradients of the losses with regard to the networks' outputs, of this process's share: where backward begins.

    Those of logits are not yet scaled for fp16; that of the content loss is, by G's scaler.
    """

    real_PE: Tensor
    """dL_D / dz_real."""
    fake_PE: Tensor
    """dL_D / dz_fake."""
    adversarial_PE: Tensor
    """dL_G / dz_fake, weighted."""
    content: list[Tensor]
    """d content / d sr of each peer, weighted and scaled."""
