"""Initial weights from files: of generators, with their averages, and of discriminators."""

from pathlib import Path

from torch import nn

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.peer import Peer
from fastsr.config.networks import ModelConfig
from fastsr.config.peers import peer_models
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.models.architecture import (
    CHANNELS,
    CompactArchitecture,
    GeneratorArchitecture,
    MSRResNetArchitecture,
    RRDBArchitecture,
    SPANArchitecture,
    SRResNetArchitecture,
)
from fastsr.models.foreign import unwrap
from fastsr.models.model_file import described, read_model
from fastsr.models.networks import generator_architecture
from fastsr.models.tensors import check_finite, load_tensors, load_torch_file, misfits


def check_initial_weights(config: TrainConfig) -> None:
    """Raises UserError where a generator's file is not one of the settings' network: before images are packed."""
    for model in peer_models(config):
        for file in model.init_generator:
            check_same_network(file, model)
        for file in model.init_discriminator:
            if not file.is_file():
                raise UserError(f"--init-discriminator {file} does not exist")


def load_initial_weights(cohort: Cohort) -> None:
    """Puts the weights of files where the settings name some, in place. Raises UserError where they do not fit."""
    models = peer_models(cohort.config)
    for k, peer in cohort.numbered():
        model = models[k]
        for file in model.init_generator:
            load_generator_into(peer, file)
        for file in model.init_discriminator:
            load_discriminator_into(peer.discriminator, file)


def check_same_network(file: Path, model: ModelConfig) -> None:
    """Raises UserError, naming the options that would fit, where a file's generator is not that of the settings."""
    found, wanted = read_model(file).architecture, generator_architecture(model)
    if found != wanted:
        raise UserError(
            f"--init-generator {file} holds {described(found)}, and the settings mean {described(wanted)}; "
            f"use {options_of(found)}"
        )


def options_of(architecture: GeneratorArchitecture) -> str:
    """The options by which training has this network."""
    match architecture:
        case SRResNetArchitecture(blocks=blocks, filters=filters, skip=skip, output=output):
            words = (
                f"srresnet --blocks {blocks} --filters {filters} --skip {skip} --output {output}"
            )
        case MSRResNetArchitecture(blocks=blocks, filters=filters):
            words = f"msrresnet --blocks {blocks} --filters {filters}"
        case RRDBArchitecture(blocks=blocks, filters=filters, growth=growth):
            words = f"rrdb --blocks {blocks} --filters {filters} --growth {growth}"
        case CompactArchitecture(blocks=blocks, filters=filters):
            words = f"compact --blocks {blocks} --filters {filters}"
        case SPANArchitecture(filters=filters):
            words = f"span --filters {filters}"
    channels = "" if architecture.channels == CHANNELS else f" --channels {architecture.channels}"
    return f"--scale {architecture.scale}{channels} --generator {words}"


def load_generator_into(peer: Peer, file: Path) -> None:
    """The generator and its average begin alike. Raises UserError where the weights do not fit or are not finite."""
    weights = read_model(file).weights
    if unfit := misfits(peer.generator.state_dict(), weights):
        raise UserError(f"--init-generator {file} does not fit: {unfit}")
    check_finite(weights, file)
    for network in (peer.generator, peer.ema):
        network.load_state_dict(weights)
        network.settle()


def load_discriminator_into(discriminator: nn.Module, file: Path) -> None:
    """Ours, or another trainer's of the same names: Real-ESRGAN's U-Net, pix2pix's. Raises UserError otherwise."""
    safe = file.suffix == ".safetensors"
    weights = unwrap(load_tensors(file) if safe else load_torch_file(file)) or {}
    if unfit := misfits(discriminator.state_dict(), weights):
        raise UserError(
            f"--init-discriminator {file} is not the discriminator of the settings: {unfit}; "
            "change --discriminator, --discriminator-filters or --patch, or leave it out"
        )
    check_finite(weights, file)
    discriminator.load_state_dict(weights)
