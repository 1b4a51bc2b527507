"""The stages of training and their bodies: one call of a body is one step of every peer.

A body takes and returns nothing, and does not wait for the host.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.forward import Forward
from fastsr.cohort.peer import Peer
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS, WARMING_TERMS, Term, terms_of
from fastsr.data.sampler import PatchSource


class Body:
    """The parts of a step, and the state that it changes."""

    def __init__(self, cohort: Cohort, patches: PatchSource, ring: MetricsRing) -> None:
        self.cohort, self.patches, self.ring = cohort, patches, ring

    def state(self) -> list[Tensor]:
        """Every tensor that a call changes and a later one reads."""
        return [*self.cohort.state(), self.ring.rows_RPT]

    def draw(self) -> tuple[Tensor, Tensor]:
        """`lr_NChw, hr_NCHW` of this step."""
        return self.cohort.arrange(self.patches.draw(self.cohort.schedule.step_count))

    def finish(self, columns_PT: Tensor) -> None:
        """Keeps the step's metrics, and counts it."""
        self.ring.write(self.cohort.schedule.step_count, columns_PT)
        self.cohort.schedule.advance()


class AdversarialBody(Body):
    """A step in which discriminators learn: their logits are there to look at."""

    @property
    def logits_2PE(self) -> Tensor:
        """Each D's logits on the last step's real and generated images, on the device."""
        return self.cohort.logits_2PE

    def finish_with(self, forward: Forward, columns: Sequence[Tensor]) -> None:
        """Keeps the logits too, and each D's mean probabilities behind the other columns."""
        self.cohort.logits_2PE.copy_(forward.shown_2PE)
        self.finish(torch.stack([*columns, *forward.probabilities_2P], 1))


class PretrainStep(Body):
    """SRResNet pre-training: each generator alone, mean squared error of pixels.

    Of peers that begin alike only the first is computed; `Cohort.share_pretraining` gives the others its state.
    """

    logits_2PE = None
    """No discriminator is asked."""

    def __call__(self) -> None:
        cohort = self.cohort
        lr_NChw, hr_NCHW = self.draw()
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
        self.finish(loss_P[:, None])


class WarmStep(AdversarialBody):
    """Discriminators alone learn, from real images and from those of generators that stay as they are."""

    def __call__(self) -> None:
        cohort = self.cohort
        forward = cohort.discriminate(*self.draw())
        loss = cohort.losses(forward)
        real_pE, fake_pE = map(cohort.share.mine, (loss.grad_real_PE, loss.grad_fake_PE))
        for k, peer in enumerate(cohort.branched()):
            cohort.backward_discriminator(peer, k, forward, real_pE[k], fake_pE[k])
            cohort.share.average_gradients(peer.discriminator)
            peer.update_discriminator()
        self.finish_with(forward, loss.terms_P4.unbind(1))


class Step(AdversarialBody):
    """Simultaneous update: one forward pass of G, D and the content network serves every loss of every peer."""

    def __call__(self) -> None:
        cohort = self.cohort
        forward = cohort.forward(*self.draw())
        loss = cohort.losses(forward)
        cohort.backward(forward, cohort.output_gradients(forward, loss), then=self.update)
        content_P = cohort.share.spread(forward.content_P)
        self.finish_with(forward, [content_P, loss.adversarial_P, *loss.terms_P4.unbind(1)])

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
    optim, loss, end = cohort.config.optim, cohort.config.loss, cohort.config.total_steps
    warming = optim.pretrain_steps
    between = warming + optim.warm_discriminator
    parts = cohort, patches, ring
    return (
        Stage("pretraining", 0, warming, PretrainStep(*parts), terms_of(loss, PRETRAINING_TERMS)),
        Stage("warming", warming, between, WarmStep(*parts), terms_of(loss, WARMING_TERMS)),
        Stage("training", between, end, Step(*parts), terms_of(loss, TRAINING_TERMS)),
    )
