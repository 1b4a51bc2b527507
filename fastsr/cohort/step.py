"""The stages of training and their bodies: one call of a body is one step of every peer.

A body takes and returns nothing, and does not wait for the host.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.peer import Peer
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS, WARMING_TERMS, Term
from fastsr.data.sampler import PatchSource


class PretrainStep:
    """SRResNet pre-training: each generator alone, mean squared error of pixels.

    Of peers that begin alike only the first is computed; `Cohort.share_pretraining` gives the others its state.
    """

    logits_2PE = None
    """No discriminator is asked."""

    def __init__(self, cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> None:
        self.cohort, self.patches, self.ring = cohort, patches, ring

    def state(self) -> list[Tensor]:
        """Every tensor that a call changes and a later one reads."""
        return [*self.cohort.state(), self.ring.rows_RPT]

    def __call__(self) -> None:
        cohort = self.cohort
        lr_NChw, hr_NCHW = cohort.arrange(self.patches.draw(cohort.schedule.step_count))
        losses: dict[int, Tensor] = {}
        for k, peer in enumerate(cohort.branched()):
            if cohort.pretrained_by[k] != k:
                continue
            generator = cohort.precision.with_cast_weights(peer.generator)
            with cohort.precision.autocast(cohort.device):
                loss = cohort.pixel(generator(lr_NChw), hr_NCHW)
            peer.g_scaler.scale(loss).backward()
            cohort.share.average_gradients(peer.generator)
            peer.update_generator(cohort.schedule.step_count)
            losses[k] = loss.detach()
        loss_P = cohort.share.spread(torch.stack([losses[k] for k in cohort.pretrained_by]))
        self.ring.write(cohort.schedule.step_count, loss_P[:, None])
        cohort.schedule.advance()


class WarmStep:
    """Discriminators alone learn, from real images and from those of generators that stay as they are."""

    def __init__(self, cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> None:
        self.cohort, self.patches, self.ring = cohort, patches, ring

    @property
    def logits_2PE(self) -> Tensor:
        """Each D's logits on the last step's real and generated images, on the device."""
        return self.cohort.logits_2PE

    def state(self) -> list[Tensor]:
        """Every tensor that a call changes and a later one reads."""
        return [*self.cohort.state(), self.ring.rows_RPT]

    def __call__(self) -> None:
        cohort = self.cohort
        lr_NChw, hr_NCHW = cohort.arrange(self.patches.draw(cohort.schedule.step_count))
        forward = cohort.discriminate(lr_NChw, hr_NCHW)
        loss = cohort.losses(forward)
        real_pE, fake_pE = map(cohort.share.mine, (loss.grad_real_PE, loss.grad_fake_PE))
        for k, peer in enumerate(cohort.branched()):
            cohort.backward_discriminator(peer, k, forward, real_pE[k], fake_pE[k])
            cohort.share.average_gradients(peer.discriminator)
            peer.update_discriminator()
        cohort.logits_2PE.copy_(forward.shown_2PE)
        columns = [*loss.terms_P4.unbind(1), *forward.probabilities_2P]
        self.ring.write(cohort.schedule.step_count, torch.stack(columns, 1))
        cohort.schedule.advance()


class Step:
    """Simultaneous update: one forward pass of G, D and the content network serves every loss of every peer."""

    def __init__(self, cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> None:
        self.cohort, self.patches, self.ring = cohort, patches, ring

    @property
    def logits_2PE(self) -> Tensor:
        """Each D's logits on the last step's real and generated images, on the device."""
        return self.cohort.logits_2PE

    def state(self) -> list[Tensor]:
        """Every tensor that a call changes and a later one reads."""
        return [*self.cohort.state(), self.ring.rows_RPT]

    def __call__(self) -> None:
        cohort = self.cohort
        lr_NChw, hr_NCHW = cohort.arrange(self.patches.draw(cohort.schedule.step_count))
        forward = cohort.forward(lr_NChw, hr_NCHW)
        loss = cohort.losses(forward)
        cohort.backward(forward, cohort.output_gradients(forward, loss), then=self.update)
        cohort.logits_2PE.copy_(forward.shown_2PE)
        columns = [
            cohort.share.spread(forward.content_P),
            loss.adversarial_P,
            *loss.terms_P4.unbind(1),
            *forward.probabilities_2P,
        ]
        self.ring.write(cohort.schedule.step_count, torch.stack(columns, 1))
        cohort.schedule.advance()

    def update(self, peer: Peer) -> None:
        for network in (peer.discriminator, peer.generator):
            self.cohort.share.average_gradients(network)
        peer.update_discriminator()
        peer.update_generator(self.cohort.schedule.step_count)


@dataclass(frozen=True)
class Stage:
    """The steps `[begin, end)` of training, which share one body."""

    name: str
    begin: int
    end: int
    body: PretrainStep | WarmStep | Step
    terms: tuple[Term, ...]
    """The columns of the rows that the body writes."""


def make_stages(cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> tuple[Stage, ...]:
    """Pre-training, discriminators alone, then adversarial training; any may have no steps."""
    optim, end = cohort.config.optim, cohort.config.total_steps
    warming = optim.pretrain_steps
    between = warming + optim.warm_discriminator
    parts = cohort, patches, ring
    return (
        Stage("pretraining", 0, warming, PretrainStep(*parts), PRETRAINING_TERMS),
        Stage("warming", warming, between, WarmStep(*parts), WARMING_TERMS),
        Stage("training", between, end, Step(*parts), TRAINING_TERMS),
    )
