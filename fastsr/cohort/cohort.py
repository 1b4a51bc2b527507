"""Peers that see the same patches, and the losses that tie them together.

Axes: P peers, N images, E logits of one peer, C channels, h w low and H W high resolution.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from fastsr_kernels.cohort_loss import CohortLoss, cohort_loss, reference
from torch import Tensor

from fastsr.cohort.content import FeatureContent, PixelContent
from fastsr.cohort.peer import Peer
from fastsr.cohort.schedule import Schedule
from fastsr.cohort.share import Share, Whole
from fastsr.cohort.streams import Branches
from fastsr.config.mixing import mixing_matrix, start_indices, temperatures
from fastsr.config.settings import TrainConfig
from fastsr.models.norm import write_batch_count
from fastsr.system.device import move
from fastsr.system.precision import Precision


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
    logits_2PE: Tensor
    """Logits on real and on generated images of all peers, those that other processes train included, detached."""


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


class Cohort:
    """P peers, the mixing matrix, the content loss and the weights of their losses, all on one device.

    Everything that a step reads is a device tensor, so that a step never waits for the host.

    Args:
        branches: where the peers' work is queued; as many side streams as `config` says by default.
        share: the peers, and the slice of each batch, that this process computes; by default everything.
    """

    def __init__(
        self,
        config: TrainConfig,
        content: PixelContent | FeatureContent,
        device: torch.device,
        precision: Precision,
        branches: Branches | None = None,
        share: Share | None = None,
    ) -> None:
        def scalar(value: float) -> Tensor:
            return torch.tensor(value, dtype=torch.float32, device=device)

        self.config, self.device, self.precision = config, device, precision
        optim = config.optim
        self.schedule = Schedule(optim.lr, optim.lr_gamma, optim.lr_milestones, device)
        self.share = share or Whole(range(config.cohort.peers))
        starts = [start_indices(config.cohort)[k] for k in self.share.peers]
        self.peers = [Peer(config, start, device, precision, self.schedule.lr) for start in starts]
        self.pretrained_by = [starts.index(start) for start in starts]
        """Peers that begin alike are alike until discriminators matter: the first of them is pre-trained for all."""
        self.content = content
        self.layout = (
            torch.channels_last if config.machine.channels_last else torch.contiguous_format
        )
        move(content, device, self.layout)
        content.cast(precision.dtype)
        self.pixel = PixelContent()
        self.loss_operator = cohort_loss if config.machine.fused else reference.cohort_loss
        self.branches = branches or Branches(
            device, config.machine.peer_streams or config.cohort.peers
        )
        self.mixing_PP = torch.tensor(
            mixing_matrix(config.cohort), dtype=torch.float32, device=device
        )
        self.temperature_P = torch.tensor(
            temperatures(config.cohort), dtype=torch.float32, device=device
        )
        self.kl_weight_P = scalar(config.cohort.kl_weight).repeat(config.cohort.peers)
        if config.cohort.distillation_scale == "1":  # the operator multiplies by T^2
            self.kl_weight_P /= self.temperature_P.square()
        self.one_outcome = config.cohort.kl == "one-outcome"
        self.content_weight = scalar(config.loss.initial_content_weight)
        self.adversarial_weight = scalar(config.loss.adversarial_weight)
        self.logits_2PE = torch.zeros(2, config.cohort.peers, config.images.batch, device=device)
        """Each D's logits on the real and on the generated images of the last step, to look at: no step reads them."""

    def arrange(self, patches: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Patches in the memory layout of the networks, which the convolutions' results take from them."""
        lr_NChw, hr_NCHW = (x.contiguous(memory_format=self.layout) for x in patches)
        return lr_NChw, hr_NCHW

    def numbered(self) -> Iterator[tuple[int, Peer]]:
        """The peers of this process with their numbers in the cohort."""
        return zip(self.share.peers, self.peers, strict=True)

    def branched(self) -> Iterator[Peer]:
        """The peers one after the other; what is done with each, a GPU may do beside the others."""
        self.branches.fork()
        for k, peer in enumerate(self.peers):
            with self.branches.branch(k):
                yield peer
        self.branches.join()

    def share_pretraining(self) -> None:
        """Makes peers that begin alike equal again, after pre-training that computed only the first of them."""
        with torch.no_grad():
            for peer, first in zip(self.peers, self.pretrained_by, strict=True):
                for home, value in zip(peer.state(), self.peers[first].state(), strict=True):
                    home.copy_(value)

    def write_batch_counts(self, step: int) -> None:
        """Tells BN how many batches it has seen after `step` steps: G one in each, D two in each adversarial one.

        Steps themselves do not count, so this belongs before a checkpoint is saved. The EMA counts its own.
        """
        adversarial = max(step - self.config.optim.pretrain_steps, 0)
        for peer in self.peers:
            write_batch_count(peer.generator, step)
            write_batch_count(peer.discriminator, 2 * adversarial)

    @contextmanager
    def in_precision(self, precision: Precision) -> Generator[None, None, None]:
        """Forward passes within are in that precision; loss scaling stays as it was built."""
        before, self.precision = self.precision, precision
        self.content.cast(precision.dtype)
        try:
            yield
        finally:
            self.precision = before
            self.content.cast(before.dtype)

    def state(self) -> list[Tensor]:
        """Every tensor that a step changes and a later one reads."""
        return [*self.schedule.state(), *(tensor for peer in self.peers for tensor in peer.state())]

    def forward(self, lr_NChw: Tensor, hr_NCHW: Tensor) -> Forward:
        """Runs every peer once.

        The content loss goes backward to the image at once, so that VGG's activations live no longer than they must.
        """
        sr, target = self.generate(lr_NChw, hr_NCHW)
        sr_leaf, z_real, z_fake, content, content_gradient = [], [], [], [], []
        for k, peer in enumerate(self.branched()):
            discriminator = self.precision.with_cast_weights(peer.discriminator)
            with self.precision.autocast(self.device):
                sr_leaf.append(sr[k].detach().requires_grad_())
                z_real.append(discriminator(hr_NCHW))
                z_fake.append(discriminator(sr_leaf[-1]))
                value = self.content(sr_leaf[-1], target)
            (gradient,) = torch.autograd.grad(peer.g_scaler.scale(value), sr_leaf[-1])
            content.append(value.detach())
            content_gradient.append(gradient)
        logits_2pe = torch.stack([z.detach() for z in (*z_real, *z_fake)]).unflatten(0, (2, -1))
        return Forward(
            sr,
            sr_leaf,
            z_real,
            z_fake,
            torch.stack(content),
            content_gradient,
            self.share.gather_logits(logits_2pe),
        )

    def generate(self, lr_NChw: Tensor, hr_NCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Every peer's image, and beside them what the content loss compares them with."""
        sr: list[Tensor] = []
        self.branches.fork()
        with self.branches.aside(), self.precision.autocast(self.device):
            target = self.content.target(hr_NCHW)
        for k, peer in enumerate(self.peers):
            with self.branches.branch(k), self.precision.autocast(self.device):
                sr.append(self.precision.with_cast_weights(peer.generator)(lr_NChw))
        self.branches.join()
        return sr, target

    def losses(self, forward: Forward) -> CohortLoss:
        """Every loss on logits, with gradients: eqs. 1 to 3 for all peers."""
        z_real_PE, z_fake_PE = forward.logits_2PE.unbind(0)
        return self.loss_operator(
            z_real_PE,
            z_fake_PE,
            self.mixing_PP,
            self.temperature_P,
            self.kl_weight_P,
            self.one_outcome,
        )

    def output_gradients(self, forward: Forward, loss: CohortLoss) -> OutputGradients:
        """Weighs the generators' gradients; the discriminators' are weighted by the operator."""
        mine = self.share.mine
        return OutputGradients(
            real_PE=mine(loss.grad_real_PE),
            fake_PE=mine(loss.grad_fake_PE),
            adversarial_PE=self.adversarial_weight * mine(loss.grad_adversarial_PE),
            content=[self.content_weight * gradient for gradient in forward.content_gradient],
        )

    def backward(
        self,
        forward: Forward,
        gradients: OutputGradients,
        then: Callable[[Peer], None] | None = None,
    ) -> None:
        """Leaves gradients, scaled by each scaler, in `.grad` of generators and discriminators.

        One forward pass of D(sr) serves both losses: L_D goes to D's weights and not to the image, L_G to the image
        and not to D's weights.

        Args:
            then: what to do with each peer as soon as it has its gradients.
        """
        for k, peer in enumerate(self.branched()):
            torch.autograd.backward(
                [forward.z_real[k], forward.z_fake[k]],
                [
                    peer.d_scaler.scale(gradients.real_PE[k]),
                    peer.d_scaler.scale(gradients.fake_PE[k]),
                ],
                inputs=list(peer.discriminator.parameters()),
                retain_graph=True,
            )
            adversarial = peer.g_scaler.scale(gradients.adversarial_PE[k])
            (gradient,) = torch.autograd.grad(forward.z_fake[k], forward.sr_leaf[k], adversarial)
            forward.sr[k].backward(gradient + gradients.content[k])
            if then:
                then(peer)
