"""Checks of a configuration: each error names the setting, its value and the remedy."""

from fastsr.config.check_degrade import check_degrade
from fastsr.config.fixed import validation_degradation
from fastsr.config.mixing import check_cohort, require
from fastsr.config.peers import check_peers
from fastsr.config.settings import SCALES, LossConfig, OptimConfig, TrainConfig
from fastsr.errors import UserError


def check(config: TrainConfig) -> TrainConfig:
    """Returns the configuration, or raises UserError naming the setting, its value and the remedy."""
    images, model, cohort, loss, optim, output = (
        config.images, config.model, config.cohort, config.loss, config.optim, config.output
    )  # fmt: skip
    for name, value, least in (
        ("batch", images.batch, 2),  # BN has no variance over a single value
        ("patch", images.patch, 16),
        ("blocks", model.blocks, 1),
        ("filters", model.filters, 1),
        ("growth", model.growth, 1),
        ("channels", model.channels, 1),
        ("discriminator_filters", model.discriminator_filters, 1),
        ("peers", cohort.peers, 1),
        ("kl_weight", cohort.kl_weight, 0),
        ("peer_streams", config.machine.peer_streams, 0),
        ("content_weight", loss.initial_content_weight, 0),
        ("adversarial_weight", loss.adversarial_weight, 0),
        ("steps", optim.steps, 0),
        ("pretrain_steps", optim.pretrain_steps, 0),
        ("warm_discriminator", optim.warm_discriminator, 0),
        ("pixel_weight", loss.pixel_weight, 0),
        ("log_every", output.log_every, 1),
        ("save_every", 1 if output.save_every is None else output.save_every, 1),
        ("val_every", output.val_every, 1),
        ("keep", output.keep, 1),
        ("exchange_every", config.distributed.exchange_every, 1),
        ("rank_timeout", config.distributed.rank_timeout, 1),
    ):
        require(least <= value < float("inf"), name, value, f"use {least} or more")
    require(model.scale in SCALES, "scale", model.scale, "use 1, 2, 3, 4 or 8")
    check_samples(config)
    nearest = max(images.patch // model.scale, -(-16 // model.scale)) * model.scale
    fits = images.patch % model.scale == 0
    require(fits, "patch", images.patch, f"use a multiple of the scale, such as {nearest}")
    require(
        0 < loss.content_ratio < float("inf"),
        "content_ratio",
        loss.content_ratio,
        "use a number above 0",
    )
    minutes = output.save_minutes
    require(0 < minutes < float("inf"), "save_minutes", minutes, "use a number above 0")
    check_optim(optim)
    require(config.total_steps > 0, "steps", optim.steps, "train for at least one step")
    require(
        0 <= config.machine.seed < 2**63, "seed", config.machine.seed, "use 0 or more, below 2^63"
    )
    check_degrade(config.degrade, images.patch, model.scale)
    check_cohort(cohort)
    check_layers(loss)
    check_content(loss, model.channels)
    check_peers(config)
    return config


def check_optim(optim: OptimConfig) -> None:
    """Raises UserError where a rate, a decay or a milestone cannot be used."""
    require(0 < optim.lr < 1, "lr", optim.lr, "use a number between 0 and 1, such as 1e-4")
    require(0 < optim.beta2 < 1, "beta2", optim.beta2, "use a number between 0 and 1, such as 0.99")
    require(0 <= optim.ema < 1, "ema", optim.ema, "use a number from 0 to below 1, such as 0.999")
    for milestone in optim.lr_milestones:
        require(milestone >= 0, "lr_milestones", milestone, "use 0 or more")
    require(0 < optim.lr_gamma <= 1, "lr_gamma", optim.lr_gamma, "use a number above 0, at most 1")


def check_samples(config: TrainConfig) -> None:
    """Raises UserError for bits, validation and restoration that cannot be meant."""
    images, seed = config.images, config.images.val_degrade_seed
    require(images.bits in (8, 16), "bits", images.bits, "use 8 or 16")
    require(0 <= seed < 2**63, "val_degrade_seed", seed, "use 0 or more, below 2^63")
    check_restoration(config)


def check_restoration(config: TrainConfig) -> None:
    """Raises UserError where images would be restored that nothing was done to."""
    images = config.images
    if config.model.scale != 1:
        return
    if not images.lr_data and config.degrade.is_bicubic:
        raise UserError(
            "--scale 1 cannot be used with bicubic, which changes nothing at x1; "
            "add --degrade light (or another), or given pairs by --lr-data"
        )
    if images.val and not images.val_lr_data and not validation_degradation(config):
        raise UserError(
            "--val cannot be used at --scale 1 with bicubic, which changes nothing; add --val-lr-data, "
            "or leave out --val-degrade bicubic"
        )


def check_content(loss: LossConfig, channels: int) -> None:
    """Raises UserError for features of images that VGG cannot see: it takes RGB, and grey as three equal channels."""
    if loss.content != "pixel" and channels not in (1, 3):
        raise UserError(
            f"--channels {channels} cannot be used with --content {loss.content}, which compares features of RGB "
            "or grey images; use --content pixel"
        )


def check_layers(loss: LossConfig) -> None:
    """Raises UserError where layers and weights are not as many, or a weight is none."""
    layers, weights = loss.vgg_layers, loss.vgg_layer_weights
    if len(layers) != len(weights) or not layers:
        raise UserError(
            f"--vgg-layers has {len(layers)} layers and --vgg-layer-weights {len(weights)}; give one weight each"
        )
    if list(layers) != sorted(set(layers)):
        raise UserError(
            f"--vgg-layers {' '.join(layers)} cannot be used; name each once, in the order of the network"
        )
    for weight in weights:
        require(0 < weight < float("inf"), "vgg_layer_weights", weight, "use numbers above 0")


def warnings(config: TrainConfig) -> list[str]:
    """Warnings of values that are allowed but hardly meant: each names the setting, its value and usual ones."""
    usual = (
        ("lr", config.optim.lr, 1e-2, "1e-5 to 1e-3"),
        ("content_weight", config.loss.initial_content_weight, 1e4, "0.006 to 1"),
        ("adversarial_weight", config.loss.adversarial_weight, 10, "0.0001 to 0.01"),
        ("kl_weight", config.cohort.kl_weight, 1e3, "0.1 to 10"),
    )
    return [
        f"warning: --{name.replace('_', '-')} {value:g} is unusual; usual are {values}"
        for name, value, most, values in usual
        if value > most
    ]
