"""The least memory that a run can do with, by arithmetic: known at once for any settings, however large.

Axes: N patches of a batch, h w low and H W high resolution.
"""

from math import prod

import torch

from fastsr.config.settings import ImagesConfig, ModelConfig, TrainConfig
from fastsr.errors import UserError
from fastsr.system.memory import gigabytes, memory_of

HOPELESS = 10
"""Settings that need over so many times a device's memory are refused before anything is tried."""
STAGES = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Factors of the generator's upsamplers by scale."""


def check_size(config: TrainConfig, device: torch.device, room: int | None = None) -> None:
    """Raises UserError, naming the settings, where a run needs over `HOPELESS` times the device's memory (`room`)."""
    room = memory_of(device) if room is None else room
    need = least_bytes(config)
    if room and need > HOPELESS * room:
        raise UserError(
            f"{unusual(config)} cannot be used: at least {gigabytes(need)} of memory are needed, and "
            f"{device.type} has {gigabytes(room)}; use smaller numbers"
        )


def unusual(config: TrainConfig) -> str:
    """The settings of size that are larger than the paper's, as options; all where none is."""
    usual = TrainConfig()
    sizes = {
        "--blocks": (config.model.blocks, usual.model.blocks),
        "--filters": (config.model.filters, usual.model.filters),
        "--discriminator-filters": (
            config.model.discriminator_filters,
            usual.model.discriminator_filters,
        ),
        "--peers": (config.cohort.peers, usual.cohort.peers),
        "--batch": (config.images.batch, usual.images.batch),
        "--patch": (config.images.patch, usual.images.patch),
    }
    larger = {name: value for name, (value, paper) in sizes.items() if value > paper}
    chosen = larger or {name: value for name, (value, _) in sizes.items()}
    return " ".join(f"{name} {value}" for name, value in chosen.items())


def least_bytes(config: TrainConfig) -> int:
    """Weights, averages and both moments of Adam of all peers, and activations that all peers keep for backward."""
    model, images = config.model, config.images
    generator, discriminator = (
        generator_parameters(model),
        discriminator_parameters(model, images.patch),
    )
    weights = 4 * (3 * (generator + discriminator) + generator)
    kept = 2 if config.machine.amp else 4  # bytes of an activation
    activations = kept * (
        generator_activations(model, images, config.machine.checkpoint_activations)
        + 2 * discriminator_activations(model, images)
    )
    return config.cohort.peers * (weights + activations)


def generator_parameters(model: ModelConfig) -> int:
    """Parameters of an SRResNet."""
    f = model.filters
    block = 2 * 9 * f**2 + 5 * f
    upsamplers = sum(9 * f**2 * factor**2 + f * factor**2 + f for factor in STAGES[model.scale])
    ends = 2 * 3 * 81 * f + 2 * f + 3  # head with its activation, and tail
    return model.blocks * block + 9 * f**2 + 2 * f + upsamplers + ends


def discriminator_parameters(model: ModelConfig, patch: int) -> int:
    """Parameters of a Discriminator."""
    widths = discriminator_widths(model)
    convolutions = sum(9 * a * b for a, b in zip([3, *widths[:-1]], widths, strict=True))
    dense = widths[-1] * discriminator_sides(patch)[-1] ** 2 * 1024 + 1024
    return convolutions + widths[0] + sum(2 * width for width in widths[1:]) + dense + 1025


def generator_activations(model: ModelConfig, images: ImagesConfig, recomputed: bool) -> int:
    """Numbers that one forward pass keeps at least: inputs of every convolution, or of every block if `recomputed`."""
    low = images.batch * (images.patch // model.scale) ** 2 * model.filters
    factors = STAGES[model.scale]
    grown = sum(prod(factors[: k + 1]) ** 2 for k in range(len(factors)))
    return low * (model.blocks * (1 if recomputed else 2) + grown)


def discriminator_activations(model: ModelConfig, images: ImagesConfig) -> int:
    """Numbers that one forward pass keeps at least: the outputs of its convolutions."""
    layers = zip(discriminator_widths(model), discriminator_sides(images.patch), strict=True)
    return images.batch * sum(width * side**2 for width, side in layers)


def discriminator_widths(model: ModelConfig) -> list[int]:
    return [model.discriminator_filters * 2 ** (layer // 2) for layer in range(8)]


def discriminator_sides(patch: int) -> list[int]:
    """Sides of each convolution's output; every second one halves."""
    sides: list[int] = []
    for layer in range(8):
        patch = (patch + 1) // 2 if layer % 2 else patch
        sides.append(patch)
    return sides
