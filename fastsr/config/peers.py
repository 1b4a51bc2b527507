"""The settings of each peer of a cohort, and the sizes of what they exchange: `[[cohort.peer]]` over all else."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from fastsr.config.mixing import mixing_matrix, require, start_indices
from fastsr.config.networks import ModelConfig, PeerConfig
from fastsr.config.settings import TrainConfig
from fastsr.console import counted
from fastsr.errors import UserError

NETWORK = (
    "generator", "blocks", "filters", "growth", "skip", "output", "discriminator", "discriminator_filters",
)  # fmt: skip
"""Settings of a peer's networks, by the names that they have for all peers."""


def peer_settings(config: TrainConfig) -> tuple[PeerConfig, ...]:
    """One for each peer. Raises UserError where there are some tables, and not one for each."""
    tables, peers = config.cohort.peer, config.cohort.peers
    if tables and len(tables) != peers:
        raise UserError(
            f"there are {len(tables)} [[cohort.peer]] tables for --peers {peers}; write one for each"
        )
    return tables or (PeerConfig(),) * peers


def peer_models(config: TrainConfig) -> list[ModelConfig]:
    """The networks of each peer, one file at most to start each from. Raises UserError."""
    models: list[ModelConfig] = []
    for k, peer in enumerate(peer_settings(config)):
        own = {name: value for name in NETWORK if (value := getattr(peer, name)) is not None}
        generator = peer.init_generator or of_peer(config, "init_generator", k)
        discriminator = peer.init_discriminator or of_peer(config, "init_discriminator", k)
        models.append(
            replace(
                config.model,
                **own,
                init_generator=(generator,) if generator else (),
                init_discriminator=(discriminator,) if discriminator else (),
            )
        )
    return models


Beginning = tuple[int, ModelConfig, float | None]
"""Of a peer: the index of its initial weights, its networks, and its own learning rate."""


def beginnings(config: TrainConfig) -> list[Beginning]:
    """The beginning of each peer: those that are equal are alike until discriminators matter. Raises UserError."""
    rates = (peer.lr for peer in peer_settings(config))
    return [*zip(start_indices(config.cohort), peer_models(config), rates, strict=True)]


def of_peer(config: TrainConfig, name: str, k: int) -> Path | None:
    """The file that one peer starts from: that of all, or its own. Raises UserError for another number of files."""
    files: tuple[Path, ...] = getattr(config.model, name)
    peers = config.cohort.peers
    if len(files) not in (0, 1, peers):
        raise UserError(
            f"--{name.replace('_', '-')} has {len(files)} files; give one for all, or one for each of {peers} peers"
        )
    return None if not files else files[0] if len(files) == 1 else files[k]


def learning_rate(config: TrainConfig, peer: PeerConfig) -> float:
    return config.optim.lr if peer.lr is None else peer.lr


def content_weights(config: TrainConfig) -> list[float | Literal["auto"]]:
    """The weight of each peer's content loss."""
    of_all, own = (
        config.loss.content_weight,
        [peer.content_weight for peer in peer_settings(config)],
    )
    return [of_all if weight is None else weight for weight in own]


def adversarial_weights(config: TrainConfig) -> list[float]:
    """The weight of each peer's adversarial loss, its factor in it."""
    of_all, peers = config.loss.adversarial_weight, peer_settings(config)
    factors = config.cohort.adversarial_factors or (1.0,) * len(peers)
    return [
        factor * (of_all if peer.adversarial_weight is None else peer.adversarial_weight)
        for peer, factor in zip(peers, factors, strict=True)
    ]


def logits_per_side(model: ModelConfig, patch: int) -> int:
    """The side of the map of logits of a patch; 1 for one logit."""
    match model.discriminator:
        case "vgg":
            return 1
        case "unet":
            return patch
        case "patch":
            return patch // 8 - 2


def logits_per_image(config: TrainConfig) -> list[int]:
    """Logits that each peer's discriminator has for one patch. Raises UserError where peers cannot teach each other."""
    counts = [logits_per_side(model, config.images.patch) ** 2 for model in peer_models(config)]
    if config.cohort.exchange == "map" and config.cohort.kl_weight:
        for k, row in enumerate(mixing_matrix(config.cohort)):
            for j, weight in enumerate(row):
                if weight and counts[j] != counts[k]:
                    raise UserError(
                        f"peer {j} has {counts[j]} logits an image and cannot teach peer {k}, which has {counts[k]}; "
                        "use --exchange mean, the same discriminator, or a mixing_matrix without that pair"
                    )
    return counts


def check_peers(config: TrainConfig) -> None:
    """Raises UserError, naming the setting of the peer, its value and the remedy."""
    scale, patch = config.model.scale, config.images.patch
    for model in peer_models(config):
        require(model.blocks >= 1, "blocks", model.blocks, "use 1 or more")
        require(model.filters >= 1, "filters", model.filters, "use 1 or more")
        require(model.growth >= 1, "growth", model.growth, "use 1 or more")
        widest = model.discriminator_filters
        require(widest >= 1, "discriminator_filters", widest, "use 1 or more")
        has_scale = {"msrresnet": scale in (1, 2, 3, 4), "rrdb": scale in (1, 2, 4, 8)}
        remedy = "use a generator that has it: srresnet, compact and span have all"
        require(
            has_scale.get(model.generator, True), "scale", f"{scale} of {model.generator}", remedy
        )
        whole = model.generator != "rrdb" or scale > 2 or patch % 4 == 0
        require(whole, "patch", patch, f"with rrdb at scale {scale}, use a multiple of 4")
        if model.discriminator == "unet":
            require(
                patch % 8 == 0, "patch", patch, "with --discriminator unet, use a multiple of 8"
            )
        if model.discriminator == "patch":
            require(patch >= 32, "patch", patch, "with --discriminator patch, use 32 or more")
    for peer in peer_settings(config):
        lr = learning_rate(config, peer)
        require(0 < lr < 1, "lr", lr, "use a number between 0 and 1, such as 1e-4")
        for name in ("content_weight", "adversarial_weight"):
            weight = getattr(peer, name) or 0.0
            require(0 <= weight < float("inf"), name, weight, "use 0 or more")
    logits_per_image(config)
    check_twins(config)
    check_learning(config)


def check_learning(config: TrainConfig) -> None:
    """Raises UserError where the generator of a peer would learn nothing from adversarial training."""
    weights = list(zip(content_weights(config), adversarial_weights(config), strict=True))
    idle = [k for k, pair in enumerate(weights) if not any(pair)]
    if config.optim.steps and idle:
        of_peer = "" if len(idle) == len(weights) else f" of peer {idle[0]}"
        raise UserError(
            f"--content-weight and --adversarial-weight{of_peer} are both 0: generators would learn nothing; "
            "use one above 0"
        )


def check_twins(config: TrainConfig) -> None:
    """Raises UserError where peers that teach each other begin alike in everything, and so would agree."""
    whole = [
        model if model.init_generator and model.init_discriminator else None
        for model in peer_models(config)
    ]
    twins = [(model, peer.lr) for model, peer in zip(whole, peer_settings(config), strict=True)]
    begun = list(zip(peer_models(config), start_indices(config.cohort), strict=True))
    diverges = config.optim.steps and config.cohort.kl_weight and config.cohort.kl == "bernoulli"
    for k, row in enumerate(mixing_matrix(config.cohort)):
        for j, weight in enumerate(row):
            if weight and whole[k] and twins[k] == twins[j]:
                raise UserError(
                    f"peers {min(j, k)} and {max(j, k)} would start from the same files and always agree; "
                    "give each its own --init-discriminator, or none and --warm-discriminator"
                )
        teachers = [j for j, weight in enumerate(row) if weight]
        if diverges and teachers and all(begun[j] == begun[k] for j in teachers):
            raise UserError(
                f"peers {min(teachers[0], k)} and {max(teachers[0], k)} would begin with the same weights, and "
                f"peer {k} learn nothing from such teachers; give them different --starts"
            )


def networks_in_words(config: TrainConfig) -> str:
    """The generators, and discriminators that are not the paper's: `32 blocks of 64 filters`, `rrdb, 23 blocks ...`."""
    described = [
        generator_in_words(model)
        + ("" if model.discriminator == "vgg" else f", {model.discriminator} discriminator")
        for model in peer_models(config)
    ]
    if len(set(described)) == 1:
        return described[0]
    return "; ".join(f"peer {k}: {words}" for k, words in enumerate(described))


def samples_in_words(config: TrainConfig) -> str:
    """`1 channel of 16 bits, `; empty for RGB of 8 bits."""
    channels, bits = config.model.channels, config.images.bits
    return "" if (channels, bits) == (3, 8) else f"{counted(channels, 'channel')} of {bits} bits, "


def generator_in_words(model: ModelConfig) -> str:
    filters = counted(model.filters, "filter")
    if model.generator == "span":
        return f"span of {filters}"
    name = "" if model.generator == "srresnet" else f"{model.generator}, "
    return f"{name}{counted(model.blocks, 'block')} of {filters}"
