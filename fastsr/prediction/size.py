"""The least memory that a run can do with, by arithmetic: known at once for any settings, however large."""

import torch

from fastsr.config.networks import ModelConfig
from fastsr.config.peers import peer_models
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.prediction.parameters import (
    discriminator_activations,
    discriminator_parameters,
    generator_activations,
    generator_parameters,
)
from fastsr.system.memory import gigabytes, memory_of

HOPELESS = 10
"""Settings that need over so many times a device's memory are refused before anything is tried."""


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
    if not config.cohort.peer:  # alike: a hopeless number of peers needs no list of them
        return config.cohort.peers * least_bytes_of_peer(config, config.model)
    return sum(least_bytes_of_peer(config, model) for model in peer_models(config))


def least_bytes_of_peer(config: TrainConfig, model: ModelConfig) -> int:
    images = config.images
    generator = generator_parameters(model)
    weights = 4 * (3 * (generator + discriminator_parameters(model, images.patch)) + generator)
    kept = 2 if config.machine.amp else 4  # bytes of an activation
    recomputed = config.machine.checkpoint_activations
    activations = generator_activations(model, images, recomputed) + 2 * discriminator_activations(
        model, images
    )
    return weights + kept * activations
