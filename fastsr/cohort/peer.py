"""One SRGAN of a cohort: its networks, their optimisers, and the average of its generator."""

from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn

from fastsr.config.networks import ModelConfig
from fastsr.config.settings import TrainConfig
from fastsr.models.networks import (
    build_discriminator,
    build_generator,
    discriminator_architecture,
    generator_architecture,
)
from fastsr.models.norm import fuse_norms
from fastsr.system.backend import kernels
from fastsr.system.device import move
from fastsr.system.precision import Precision

BETA1 = 0.9


class Peer:
    """A generator, a discriminator, one optimiser and one loss scaler each, and the EMA of the generator.

    Args:
        model: its networks. start: which initial weights; it enters their seed.
        lr: fp32 scalar on the device, shared by optimisers and changed in place by the step.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: ModelConfig,
        start: int,
        device: torch.device,
        precision: Precision,
        lr: Tensor,
    ) -> None:
        architecture = generator_architecture(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((config.machine.seed * 1000 + start) % 2**63)
            self.generator = build_generator(architecture)
            self.discriminator = build_discriminator(
                discriminator_architecture(model, config.images.patch)
            )
            self.ema = build_generator(architecture).requires_grad_(False).eval()
        self.generator.recompute = config.machine.checkpoint_activations
        self.ema.load_state_dict(self.generator.state_dict())
        layout = torch.channels_last if config.machine.channels_last else torch.contiguous_format
        for network in self.networks.values():
            move(network, device, layout)
        if config.machine.fused and kernels(device) == "triton":
            self.fuse_norms(True)
        self.g_optimizer, self.d_optimizer = (
            adam(n, lr, config.optim.beta2) for n in (self.generator, self.discriminator)
        )
        self.g_scaler, self.d_scaler = precision.scaler(device), precision.scaler(device)
        for scaler in self.scalers.values():
            scaler.scale(torch.ones((), device=device))  # creates its tensors
        self.ema_decay = config.optim.ema

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "ema": self.ema}

    @property
    def optimizers(self) -> dict[str, torch.optim.Adam]:
        return {"generator": self.g_optimizer, "discriminator": self.d_optimizer}

    @property
    def scalers(self) -> dict[str, torch.amp.GradScaler]:
        return {"generator": self.g_scaler, "discriminator": self.d_scaler}

    def state(self) -> Iterator[Tensor]:
        """Every tensor that a step changes."""
        for network in self.networks.values():
            yield from network.state_dict().values()
        for optimizer in self.optimizers.values():
            for moments in optimizer.state.values():
                yield from moments.values()
        for scaler in self.scalers.values():
            if scaler.is_enabled():
                assert scaler._scale is not None  # pyright: ignore[reportPrivateUsage]
                assert scaler._growth_tracker is not None  # pyright: ignore[reportPrivateUsage]
                yield from (scaler._scale, scaler._growth_tracker)  # pyright: ignore[reportPrivateUsage]

    def equals(self, other: "Peer") -> bool:
        """True if everything that steps change is the same. A sync point."""
        mine, theirs = list(self.state()), list(other.state())
        return [x.shape for x in mine] == [x.shape for x in theirs] and all(
            map(torch.equal, mine, theirs)
        )

    def forget_unfinished_step(self) -> None:
        """Drops gradients, and what the scalers noted of them, also in an optimiser whose step failed."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
            for noted in ("grad_scale", "found_inf"):
                vars(optimizer).pop(noted, None)
        for scaler in self.scalers.values():
            if scaler.is_enabled():
                scaler._per_optimizer_states.clear()  # pyright: ignore[reportPrivateUsage]

    def update_generator(self, step: Tensor) -> None:
        """One optimiser step on the gradients at hand, then the average follows. `step` counts from 0."""
        self.g_scaler.step(self.g_optimizer)
        self.g_scaler.update()
        self.g_optimizer.zero_grad(set_to_none=True)
        self.update_ema(step)

    def update_discriminator(self) -> None:
        self.d_scaler.step(self.d_optimizer)
        self.d_scaler.update()
        self.d_optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def update_ema(self, step: Tensor) -> None:
        """ema += (1 - decay) * (generator - ema), with decay = min(ema, (1+t)/(10+t)).

        BN statistics are left alone: `EmaStatistics` measures those of the averaged weights before anybody uses them.
        """
        share = 1 - ((1 + step) / (10 + step)).clamp(max=self.ema_decay).float()
        averages: list[Tensor] = list(self.ema.parameters())
        sources: list[Tensor] = list(self.generator.parameters())
        differences = torch._foreach_sub(sources, averages)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        torch._foreach_mul_(differences, share)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        torch._foreach_add_(averages, differences)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]

    def fuse_norms(self, fused: bool) -> None:
        """Has BN in training, with what follows it, computed by one operator, or by those of torch.

        Not the EMA's: its statistics are measured outside the step, where launching Triton's kernels takes the host
        several times as long as torch's.
        """
        for network in (self.generator, self.discriminator):
            fuse_norms(network, fused)

    def compile(
        self,
        networks: Collection[str] = ("generator", "discriminator"),
        templates: Collection[str] = (),
    ) -> None:
        """Compiles those of the trained networks in place; the EMA, run on images of any size, stays eager.

        Args:
            templates: networks for whose convolutions inductor's templates are timed. The discriminator's stay eager.
        """
        if "generator" in networks:
            self.generator.compile_blocks("generator" in templates)
        if "discriminator" in networks:
            self.discriminator.compile_blocks()


def adam(network: nn.Module, lr: Tensor, beta2: float) -> torch.optim.Adam:
    """Adam with its states in place from the start: a step that is captured must not create them."""
    # capturable keeps the step count on the device; fused updates all parameters in one kernel
    optimizer = torch.optim.Adam(
        network.parameters(), lr=lr, betas=(BETA1, beta2), fused=True, capturable=True
    )
    for parameter in network.parameters():
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimizer
