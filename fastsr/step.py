"""The body of training: one call is one step of every peer. It takes and returns nothing, nor waits for the host."""

import torch
from torch import Tensor

from fastsr.cohort import Cohort
from fastsr.metrics import MetricsRing
from fastsr.peer import Peer
from fastsr.sampler import PatchSource


class PretrainStep:
    """SRResNet pre-training: each generator alone, mean squared error of pixels.

    Of peers that begin alike only the first is computed; `Cohort.share_pretraining` gives the others its state.
    """

    def __init__(self, cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> None:
        self.cohort, self.patches, self.ring = cohort, patches, ring

    def state(self) -> list[Tensor]:
        """Every tensor that a call changes and a later one reads."""
        return [*self.cohort.state(), self.ring.rows_RPT]

    def __call__(self) -> None:
        cohort = self.cohort
        lr_NChw, hr_NCHW = cohort.arrange(self.patches.draw(cohort.step_count))
        losses: dict[int, Tensor] = {}
        for k, peer in enumerate(cohort.branched()):
            if cohort.pretrained_by[k] != k:
                continue
            with cohort.precision.autocast(cohort.device):
                loss = cohort.pixel(peer.generator(lr_NChw), hr_NCHW)
            peer.g_scaler.scale(loss).backward()
            peer.update_generator(cohort.step_count)
            losses[k] = loss.detach()
        self.ring.write(cohort.step_count, torch.stack([losses[k] for k in cohort.pretrained_by])[:, None])
        cohort.advance()


class Step:
    """Simultaneous update: one forward pass of G, D and the content network serves every loss of every peer."""

    def __init__(self, cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> None:
        self.cohort, self.patches, self.ring = cohort, patches, ring

    def state(self) -> list[Tensor]:
        """Every tensor that a call changes and a later one reads."""
        return [*self.cohort.state(), self.ring.rows_RPT]

    def __call__(self) -> None:
        cohort = self.cohort
        lr_NChw, hr_NCHW = cohort.arrange(self.patches.draw(cohort.step_count))
        forward, content_gradient = cohort.forward(lr_NChw, hr_NCHW)
        loss = cohort.losses(forward)
        cohort.backward(forward, cohort.seeds(loss, content_gradient), then=self.update)
        cohort.logits_2PE.copy_(forward.logits_2PE)
        probabilities_2P = forward.logits_2PE.sigmoid().mean(2)
        columns = [forward.content_P, loss.adversarial_P, *loss.terms_P4.unbind(1), *probabilities_2P]
        self.ring.write(cohort.step_count, torch.stack(columns, 1))
        cohort.advance()

    def update(self, peer: Peer) -> None:
        peer.update_discriminator()
        peer.update_generator(self.cohort.step_count)
