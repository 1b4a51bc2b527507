"""Peers that see the same patches, and the losses that tie them together.

Axes: P peers, N images, E logits of one peer, C channels, h w low and H W high resolution.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from fastsr_kernels.cohort_loss import CohortLoss, cohort_loss, reference
from torch import Tensor

from fastsr.cohort.adversarial import Maps, Teaching, logit_losses
from fastsr.cohort.content import Content, PixelContent
from fastsr.cohort.forward import Forward, OutputGradients
from fastsr.cohort.peer import Peer
from fastsr.cohort.schedule import Schedule
from fastsr.cohort.share import Share, Whole
from fastsr.cohort.streams import Branches
from fastsr.config.mixing import divergence_weights, mixing_matrix, temperatures
from fastsr.config.networks import PeerConfig
from fastsr.config.peers import adversarial_weights, beginnings, logits_per_image, peer_settings
from fastsr.config.settings import TrainConfig
from fastsr.models.base import kept_statistics
from fastsr.models.norm import write_batch_count
from fastsr.system.device import move
from fastsr.system.precision import Precision


def column(weights: list[float], device: torch.device) -> Tensor:
    """A weight of each peer, to multiply logits `[P, E]` by: a scalar, or `[P, 1]` where they differ."""
    alike = len(set(weights)) == 1
    weights_P = torch.tensor(weights, dtype=torch.float32, device=device)
    return weights_P[0].clone() if alike else weights_P[:, None]


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
        content: Content,
        device: torch.device,
        precision: Precision,
        branches: Branches | None = None,
        share: Share | None = None,
    ) -> None:
        self.config, self.device, self.precision = config, device, precision
        optim = config.optim
        self.schedule = Schedule(optim.lr, optim.lr_gamma, optim.lr_milestones, device)
        self.share = share or Whole(range(config.cohort.peers))
        begun = [beginnings(config)[k] for k in self.share.peers]
        own = [peer_settings(config)[k] for k in self.share.peers]
        self.peers = [
            Peer(config, model, start, device, precision, self.schedule.own_lr(lr))
            for start, model, lr in begun
        ]
        self.pretrained_by = [begun.index(beginning) for beginning in begun]
        """Peers that begin alike are alike until discriminators matter: the first of them is pre-trained for all."""
        self.content = content
        self.layout = (
            torch.channels_last if config.machine.channels_last else torch.contiguous_format
        )
        move(content, device, self.layout)
        content.cast(precision.dtype)
        self.pixel = PixelContent(config.loss.pixel_loss)
        self.loss_operator = cohort_loss if config.machine.fused else reference.cohort_loss
        self.branches = branches or Branches(
            device, config.machine.peer_streams or config.cohort.peers
        )
        self.mixing_PP, self.temperature_P, self.kl_weight_P = (
            torch.tensor(values_of(config.cohort), dtype=torch.float32, device=device)
            for values_of in (mixing_matrix, temperatures, divergence_weights)
        )
        self.one_outcome = config.cohort.kl == "one-outcome"
        self.set_weights(own)
        self.maps = self.build_maps()
        shown = config.images.batch if self.maps.shows_means else self.maps.most
        self.logits_2PE = torch.zeros(2, config.cohort.peers, shown, device=device)
        """Each D's logits on the real and on the generated images of the last step, to look at: no step reads them."""

    def set_weights(self, own: Sequence[PeerConfig]) -> None:
        """Puts the weights of the generators' losses on the device."""

        def scalar(value: float) -> Tensor:
            return torch.tensor(value, dtype=torch.float32, device=self.device)

        self.content_weight = scalar(self.config.loss.initial_content_weight)
        self.content_weights = [
            self.content_weight if peer.content_weight is None else scalar(peer.content_weight)
            for peer in own
        ]
        """That of all, which may be measured, or a peer's own."""
        self.adversarial_weight = column(adversarial_weights(self.config), self.device)

    def build_maps(self) -> Maps:
        """The sizes of the maps of logits."""
        by_mean = self.config.cohort.exchange == "mean"
        counts = tuple(logits_per_image(self.config))
        maps = Maps(self.config.images.batch, counts, by_mean, self.device)
        if not self.fused_losses(maps):
            _ = maps.share_PE  # made now: a captured step cannot copy from the host
        return maps

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
        """Tells BN how many batches it has seen after `step` steps: G one in each but those of D alone, D two.

        Steps themselves do not count, so this belongs before a checkpoint is saved. The EMA counts its own.
        """
        optim = self.config.optim
        discriminated = max(step - optim.pretrain_steps, 0)
        for peer in self.peers:
            write_batch_count(peer.generator, step - min(discriminated, optim.warm_discriminator))
            write_batch_count(peer.discriminator, 2 * discriminated)

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
        sr_leaf, logits, content, content_gradient = [], [], [], []
        for k, peer in enumerate(self.branched()):
            sr_leaf.append(sr[k].detach().requires_grad_())
            logits.append(self.judged(peer, hr_NCHW, sr_leaf[-1]))
            with self.precision.autocast(self.device):
                value = self.content(sr_leaf[-1], target)
            (gradient,) = torch.autograd.grad(peer.g_scaler.scale(value), sr_leaf[-1])
            content.append(value.detach())
            content_gradient.append(gradient)
        z_real, z_fake = map(list, zip(*logits, strict=True))
        maps = self.maps_of(hr_NCHW)
        logits_2PE = self.gathered(z_real, z_fake, maps)
        return Forward(
            sr, sr_leaf, z_real, z_fake, torch.stack(content), content_gradient, maps, logits_2PE
        )

    def discriminate(self, lr_NChw: Tensor, hr_NCHW: Tensor) -> Forward:
        """Runs every discriminator on real images and on its generator's, which is not trained and stays as it is."""
        sr, logits = list[Tensor](), list[tuple[Tensor, Tensor]]()
        for peer in self.branched():
            with (
                self.precision.autocast(self.device),
                torch.no_grad(),
                kept_statistics(peer.generator),
            ):
                sr.append(self.precision.with_cast_weights(peer.generator)(lr_NChw))
            logits.append(self.judged(peer, hr_NCHW, sr[-1]))
        z_real, z_fake = map(list, zip(*logits, strict=True))
        maps = self.maps_of(hr_NCHW)
        return Forward(sr, sr, z_real, z_fake, sr[0], [], maps, self.gathered(z_real, z_fake, maps))

    def judged(self, peer: Peer, hr_NCHW: Tensor, sr_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's logits on real and on generated images."""
        on_real, on_fake = self.precision.for_two_calls(peer.discriminator)
        with self.precision.autocast(self.device):
            return on_real(hr_NCHW).flatten(), on_fake(sr_NCHW).flatten()

    def gathered(self, z_real: list[Tensor], z_fake: list[Tensor], maps: Maps) -> Tensor:
        """Logits `[2, P, E]` of all peers on whole batches, from those of this process, detached."""
        logits = [z.detach() for z in (*z_real, *z_fake)]
        return self.share.gather_logits(maps.filled(logits, self.share.parts).unflatten(0, (2, -1)))

    def maps_of(self, hr_NCHW: Tensor) -> Maps:
        """The sizes of maps of logits, of a whole batch or of fewer images, where these are this process's slice."""
        images = len(hr_NCHW) * self.share.parts
        return self.maps if images == self.maps.images else replace(self.maps, images=images)

    def generate(self, lr_NChw: Tensor, hr_NCHW: Tensor) -> tuple[list[Tensor], Any]:
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

    def losses(self, forward: Forward, kl_weight_P: Tensor | None = None) -> CohortLoss:
        """Every loss on logits, with gradients: eqs. 1 to 3 for all peers. `kl_weight_P`: other weights than set."""
        z_real_PE, z_fake_PE = forward.logits_2PE.unbind(0)
        weight_P = self.kl_weight_P if kl_weight_P is None else kl_weight_P
        name, maps = self.config.loss.adversarial, forward.maps
        if self.fused_losses(maps):
            return self.loss_operator(
                z_real_PE, z_fake_PE, self.mixing_PP, self.temperature_P, weight_P, self.one_outcome
            )
        teaching = Teaching(self.mixing_PP, self.temperature_P, weight_P, self.one_outcome)
        return logit_losses(name, z_real_PE, z_fake_PE, maps, teaching)

    def fused_losses(self, maps: Maps) -> bool:
        """True if the fused operator computes all that is asked for."""
        of_maps = maps.alike and not (maps.by_mean and max(maps.per_image) > 1)
        return self.config.loss.adversarial == "vanilla" and of_maps

    def output_gradients(self, forward: Forward, loss: CohortLoss) -> OutputGradients:
        """Weighs the generators' gradients; the discriminators' are weighted by the operator."""
        mine = self.share.mine
        return OutputGradients(
            real_PE=mine(loss.grad_real_PE),
            fake_PE=mine(loss.grad_fake_PE),
            adversarial_PE=mine(self.adversarial_weight * loss.grad_adversarial_PE),
            content=list(map(torch.mul, self.content_weights, forward.content_gradient)),
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
            self.backward_discriminator(
                peer, k, forward, gradients.real_PE[k], gradients.fake_PE[k], keep=True
            )
            adversarial = peer.g_scaler.scale(gradients.adversarial_PE[k, : len(forward.z_fake[k])])
            (gradient,) = torch.autograd.grad(forward.z_fake[k], forward.sr_leaf[k], adversarial)
            forward.sr[k].backward(gradient + gradients.content[k])
            if then:
                then(peer)

    def backward_discriminator(
        self,
        peer: Peer,
        k: int,
        forward: Forward,
        real_E: Tensor,
        fake_E: Tensor,
        keep: bool = False,
    ) -> None:
        """Leaves D's gradients in `.grad`, from those of its logits. `keep`: its graph is needed once more."""
        count = len(forward.z_real[k])
        torch.autograd.backward(
            [forward.z_real[k], forward.z_fake[k]],
            [peer.d_scaler.scale(real_E[:count]), peer.d_scaler.scale(fake_E[:count])],
            inputs=list(peer.discriminator.parameters()),
            retain_graph=keep,
        )
