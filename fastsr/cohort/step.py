"""The body of training: one call is one step of every peer. It takes and returns nothing, nor waits for the host."""

import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.peer import Peer
from fastsr.cohort.ring import MetricsRing
from fastsr.data.sampler import PatchSource


class PretrainStep:
    """SRResNet pre-training: each generator alone, mean squared error of pixels."""

    def __init__(self, cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> None:
        self.cohort, self.patches, self.ring = cohort, patches, ring

    def state(self) -> list[Tensor]:
        """Every tensor that a call changes and a later one reads."""
        return [*self.cohort.state(), self.ring.rows_RPT]

    def __call__(self) -> None:
        cohort = self.cohort
        lr_NChw, hr_NCHW = cohort.arrange(self.patches.draw(cohort.schedule.step_count))
        losses = []
        for peer in cohort.branched():
            with cohort.precision.autocast(cohort.device):
                loss = cohort.pixel(peer.generator(lr_NChw), hr_NCHW)
            peer.g_scaler.scale(loss).backward()
            peer.update_generator(cohort.schedule.step_count)
            losses.append(loss.detach())
        self.ring.write(cohort.schedule.step_count, torch.stack(losses)[:, None])
        cohort.schedule.advance()


class Step:
    """Simultaneous update: one forward pass of G, D and the content network serves every loss of every peer."""

    def __init__(self, cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> None:
        self.cohort, self.patches, self.ring = cohort, patches, ring

    def state(self) -> list[Tensor]:
        """Every tensor that a call changes and a later one reads."""
        return [*self.cohort.state(), self.ring.rows_RPT]

    def __call__(self) -> None:
        cohort = self.cohort
        lr_NChw, hr_NCHW = cohort.arrange(self.patches.draw(cohort.schedule.step_count))
        forward = cohort.forward(lr_NChw, hr_NCHW)
        loss = cohort.losses(forward)
        cohort.backward(forward, cohort.output_gradients(forward, loss), then=self.update)
        cohort.logits_2PE.copy_(forward.logits_2PE)
        probabilities_2P = forward.logits_2PE.sigmoid().mean(2)
        columns = [forward.content_P, loss.adversarial_P, *loss.terms_P4.unbind(1), *probabilities_2P]
        self.ring.write(cohort.schedule.step_count, torch.stack(columns, 1))
        cohort.schedule.advance()

    def update(self, peer: Peer) -> None:
        peer.update_discriminator()
        peer.update_generator(self.cohort.schedule.step_count)
