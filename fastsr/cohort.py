"""Peers that see the same patches, and the losses that tie them together.

Axes: P peers, N images, E logits of one peer, C channels, h w low and H W high resolution.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch._dynamo.config as dynamo_config
import torch._functorch.config as functorch_config
import torch._inductor.config as inductor_config
from fastsr_kernels.cohort_loss import CohortLoss, cohort_loss, reference
from torch import Tensor

from fastsr.config import TrainConfig, fixed_content_weight, initial_weights, mixing_matrix, temperatures
from fastsr.losses import FeatureContent, PixelContent
from fastsr.peer import Peer, move
from fastsr.precision import Precision
from fastsr.streams import Branches


@dataclass(frozen=True)
class Forward:
    """What one forward pass of all peers leaves for the losses."""

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

    @cached_property
    def logits_2PE(self) -> Tensor:
        """Logits on real and on generated images, detached."""
        return torch.stack([z.detach() for z in (*self.z_real, *self.z_fake)]).unflatten(0, (2, -1))


@dataclass(frozen=True)
class Seeds:
    """Gradients of the losses with regard to logits and images: where backward begins, in each peer.

    Those of logits are not yet scaled for fp16, that of the content loss is, by G's scaler: it has gone through VGG.
    """

    real_PE: Tensor
    """dL_D / dz_real."""
    fake_PE: Tensor
    """dL_D / dz_fake."""
    adversarial_PE: Tensor
    """dL_G / dz_fake, weighted."""
    content: list[Tensor]
    """d content / d sr `[N, C, H, W]` of each peer, weighted and scaled."""


class Cohort:
    """P peers, the mixing matrix, the content loss and the weights of their losses, all on one device.

    Everything that a step reads is a device tensor, so that a step never waits for the host.
    """

    def __init__(
        self, config: TrainConfig, content: PixelContent | FeatureContent, device: torch.device, precision: Precision
    ) -> None:
        def scalar(value: float) -> Tensor:
            return torch.tensor(value, dtype=torch.float32, device=device)

        self.config, self.device, self.precision = config, device, precision
        self.lr = scalar(config.optim.lr)
        starts = initial_weights(config.cohort)
        self.peers = [Peer(config, start, device, precision, self.lr) for start in starts]
        self.pretrained_by = [starts.index(start) for start in starts]
        """Peers that begin alike are alike until discriminators matter: the first of them is pre-trained for all."""
        self.content = content
        self.layout = torch.channels_last if config.machine.channels_last else torch.contiguous_format
        move(content, device, self.layout)
        self.pixel = PixelContent()
        self.loss_operator = cohort_loss if config.machine.fused else reference.cohort_loss
        self.branches = Branches(device, config.machine.peer_streams or config.cohort.peers)
        self.mixing_PP = torch.tensor(mixing_matrix(config.cohort), dtype=torch.float32, device=device)
        self.temperature_P = torch.tensor(temperatures(config.cohort), dtype=torch.float32, device=device)
        self.kl_weight_P = scalar(config.cohort.kl_weight).repeat(len(self.peers))
        self.content_weight, self.adversarial_weight = (
            scalar(fixed_content_weight(config.loss)),
            scalar(config.loss.adversarial_weight),
        )
        self.base_lr, self.lr_gamma = scalar(config.optim.lr), scalar(config.optim.lr_gamma)
        self.lr_milestones = torch.tensor(config.optim.lr_milestones, dtype=torch.int64, device=device)
        self.step_count = torch.zeros((), dtype=torch.int64, device=device)
        """Steps done, pre-training included; also the counter that patches are drawn by."""
        self.logits_2PE = torch.zeros(2, len(self.peers), config.images.batch, device=device)
        """What each D last thought of real and of generated images, for whoever looks: no step reads it."""

    def arrange(self, patches: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Patches in the memory layout of the networks, which the convolutions' results take from them."""
        lr_NChw, hr_NCHW = (x.contiguous(memory_format=self.layout) for x in patches)
        return lr_NChw, hr_NCHW

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

    def state(self) -> list[Tensor]:
        """Every tensor that a step changes and a later one reads."""
        return [self.lr, self.step_count, *(tensor for peer in self.peers for tensor in peer.state())]

    def advance(self) -> None:
        """Counts one step and sets the learning rate of the next."""
        self.step_count += 1
        self.schedule()

    def schedule(self) -> None:
        """Sets the learning rate that belongs to the steps done, in place: base * gamma^(milestones passed)."""
        passed = (self.step_count >= self.lr_milestones).sum()
        self.lr.copy_(self.base_lr * self.lr_gamma**passed)

    def forward(self, lr_NChw: Tensor, hr_NCHW: Tensor) -> tuple[Forward, list[Tensor]]:
        """Runs every peer once. Returns what the losses need, and each peer's content gradient, unweighted.

        Content gradients carry the scale of G's scaler. The content loss goes backward to the image at once, so that
        VGG's activations live no longer than they must.
        """
        with self.precision.autocast(self.device):
            target = self.content.target(hr_NCHW)
        sr, sr_leaf, z_real, z_fake, content, content_gradient = [], [], [], [], [], []
        for peer in self.branched():
            with self.precision.autocast(self.device):
                sr.append(peer.generator(lr_NChw))
                sr_leaf.append(sr[-1].detach().requires_grad_())
                z_real.append(peer.discriminator(hr_NCHW))
                z_fake.append(peer.discriminator(sr_leaf[-1]))
                value = self.content(sr_leaf[-1], target)
            (gradient,) = torch.autograd.grad(peer.g_scaler.scale(value), sr_leaf[-1])
            content.append(value.detach())
            content_gradient.append(gradient)
        return Forward(sr, sr_leaf, z_real, z_fake, torch.stack(content)), content_gradient

    def losses(self, forward: Forward) -> CohortLoss:
        """Every loss on logits, with gradients: eqs. 1 to 3 for all peers."""
        z_real_PE, z_fake_PE = forward.logits_2PE.unbind(0)
        return self.loss_operator(z_real_PE, z_fake_PE, self.mixing_PP, self.temperature_P, self.kl_weight_P)

    def seeds(self, loss: CohortLoss, content_gradient: list[Tensor]) -> Seeds:
        """Weighs the generators' gradients; the discriminators' are weighted by the operator."""
        return Seeds(
            real_PE=loss.grad_real_PE,
            fake_PE=loss.grad_fake_PE,
            adversarial_PE=self.adversarial_weight * loss.grad_adversarial_PE,
            content=[self.content_weight * gradient for gradient in content_gradient],
        )

    def backward(self, forward: Forward, seeds: Seeds, then: Callable[[Peer], None] | None = None) -> None:
        """Leaves gradients, scaled by each scaler, in `.grad` of generators and discriminators.

        One forward pass of D(sr) serves both losses: L_D goes to D's weights and not to the image, L_G to the image
        and not to D's weights.

        Args:
            then: what to do with each peer as soon as it has its gradients.
        """
        for k, peer in enumerate(self.branched()):
            torch.autograd.backward(
                [forward.z_real[k], forward.z_fake[k]],
                [peer.d_scaler.scale(seeds.real_PE[k]), peer.d_scaler.scale(seeds.fake_PE[k])],
                inputs=list(peer.discriminator.parameters()),
                retain_graph=True,
            )
            adversarial = peer.g_scaler.scale(seeds.adversarial_PE[k])
            (gradient,) = torch.autograd.grad(forward.z_fake[k], forward.sr_leaf[k], adversarial)
            forward.sr[k].backward(gradient + seeds.content[k])
            if then:
                then(peer)

    def compile(self) -> None:
        """Compiles every network in place. The first step then takes longer."""
        prepare_compiler(self.config.machine.autotune)
        self.content.compile_blocks()
        for peer in self.peers:
            peer.compile()


def prepare_compiler(autotune: bool = False) -> None:
    """Settings of torch.compile, for the process: some that compiled blocks of ours rely on, and `--autotune`."""
    # Activations of D go backward twice; a compiled block that reuses their memory for gradients would spoil that.
    functorch_config.donated_buffer = False
    # Blocks of one class share one cache, with an entry for each shape: D alone has 7, and 8 is torch's limit.
    dynamo_config.recompile_limit = 64
    inductor_config.max_autotune = autotune
