"""The share of wall time that is training, by counting, and by what a validation took an H100: `python -m
bench.training_share [--val-every 2500]`.

Steps take what `bench.roofline` predicts, at best and at worst. Beside them stand what makes a GPU wait (rows of
metrics) and what it does that is no training (validation, BN statistics of averages, copies of a checkpoint).
"""

import argparse
from dataclasses import dataclass, replace

from bench.roofline import CARDS, SHARE_OF_PEAK, Card, predict
from bench.roofline import count as count_step
from bench.setups import paper_recipe
from fastsr.cohort.ema import PATCHES
from fastsr.config.networks import ModelConfig
from fastsr.config.settings import TrainConfig
from fastsr.models.networks import generator_architecture
from fastsr.prediction.flops import upscaling_flop
from fastsr.prediction.size import discriminator_parameters, generator_parameters
from fastsr.training.train import PICTURE_ROWS

TARGET = 0.97
BYTES = 4
IMAGES, PIXELS = 14, 230_000
"""Validation images and the pixels of each: about those of Set14."""
ROW_SECONDS = 1e-3
"""Processor time of the host for a row of metrics: measured on one core of an AMD EPYC, and rounded up."""
HOST_SECONDS = 2.1
"""Of an H100's host for a validation on so many images (2.9, 2.4 and 1.8 s in all), less what is counted below:
thousands of small launches, and the picture."""


@dataclass(frozen=True)
class Machine:
    """A GPU in a computer."""

    card: Card
    fp32_teraflops: float
    """Of multiply-adds outside matrix units, which validation uses: it is exact fp32, without TF32."""
    pcie: float
    """Bytes a second to pinned memory."""


def machine(name: str, fp32_teraflops: float, pcie: float) -> Machine:
    return Machine(next(card for card in CARDS if card.name == name), fp32_teraflops, pcie)


# NVIDIA's data sheets; of PCIe 5.0 and 4.0 x16 about four fifths of what the lanes carry.
MACHINES = (machine("H100 80GB HBM3", 67, 50e9), machine("RTX 3060", 12.7, 25e9))


@dataclass(frozen=True)
class Terms:
    """Seconds that are no training, each time."""

    row: float
    """A row of metrics: the GPU has nothing to do until the host goes on."""
    validation: float
    """All peers on all validation images, and again on those of the picture, and BN statistics."""
    checkpoint: float
    """BN statistics, and copies to pinned memory; a thread writes them."""


@dataclass(frozen=True)
class Pace:
    """Steps, and minutes, from one to the next."""

    log_every: int
    val_every: int
    save_minutes: float


def share(step: float, terms: Terms, pace: Pace) -> float:
    """The share of wall time that is training, 0 to 1, where a step takes so many seconds."""
    aside = terms.row / pace.log_every + terms.validation / pace.val_every
    saving = terms.checkpoint / (60 * pace.save_minutes)
    return step / (step + aside) * max(0.0, 1 - saving)


def terms(config: TrainConfig, where: Machine) -> Terms:
    """Of a recipe whose peers have the same networks."""
    peers, rate = config.cohort.peers, SHARE_OF_PEAK * where.fp32_teraflops * 1e12
    low = config.images.patch // config.model.scale
    statistics = peers * PATCHES * flop_of(config.model, low * low) / rate
    enlarging = (
        peers
        * (IMAGES + PICTURE_ROWS)
        * flop_of(config.model, PIXELS // config.model.scale**2)
        / rate
    )
    return Terms(
        row=ROW_SECONDS,
        validation=statistics + enlarging + HOST_SECONDS,
        checkpoint=statistics + snapshot_bytes(config) / where.pcie,
    )


def flop_of(model: ModelConfig, pixels: int) -> float:
    """Of a generator, for so many pixels of low resolution."""
    side = 16
    return upscaling_flop(generator_architecture(model), side, side) / side**2 * pixels


def snapshot_bytes(config: TrainConfig) -> int:
    """Weights and Adam's two moments of both networks of every peer, and the average of G."""
    generator = generator_parameters(config.model)
    discriminator = discriminator_parameters(config.model, config.images.patch)
    return BYTES * config.cohort.peers * (4 * generator + 3 * discriminator)


def lines(config: TrainConfig, pace: Pace) -> list[str]:
    """The terms and the share for each machine, a line each."""
    step = count_step(config.model.scale, config.cohort.peers, config.images.batch)
    found = [
        f"{config.recipe} at x{config.model.scale}, {config.cohort.peers} peers: a row every {pace.log_every} steps, "
        f"validation every {pace.val_every} on {IMAGES} images of {PIXELS / 1e6:g} MP, a checkpoint of "
        f"{snapshot_bytes(config) / 1e9:.2f} GB every {pace.save_minutes:g} minutes."
    ]
    for where in MACHINES:
        predicted, each = predict(step, where.card), terms(config, where)
        steps = [1 / rate for rate in (predicted.best, predicted.worst)]
        shares = [share(seconds, each, pace) for seconds in steps]
        found.append(
            f"{where.card.name}: steps of {1e3 * steps[0]:.1f} to {1e3 * steps[1]:.1f} ms, a row "
            f"{1e3 * each.row:.1f} ms, a validation {each.validation:.2f} s, a checkpoint {each.checkpoint:.2f} s. "
            f"Training is {shares[0]:.1%} to {shares[1]:.1%} of the time ({TARGET:.0%} is {verdict(shares)})."
        )
    return found


def verdict(shares: list[float]) -> str:
    """Of shares at best and at worst of a step: what is beside it weighs more where steps are short."""
    met = [each >= TARGET for each in shares]
    return "reached" if all(met) else "reached if steps are slow" if any(met) else "missed"


def assumptions() -> list[str]:
    rates = " and ".join(f"{where.pcie / 1e9:g}" for where in MACHINES)
    return [
        f"Assumed: steps as bench.roofline predicts; validation and statistics at {SHARE_OF_PEAK:.0%} of fp32's peak;",
        f"  PSNR and SSIM on the GPU for nothing; {1e3 * ROW_SECONDS:g} ms of the host for a row;",
        f"  {HOST_SECONDS:g} s of the host for a validation, as measured on an H100;",
        f"  copies at {rates} GB/s, and a disk that has written one checkpoint before the next.",
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    config = paper_recipe()
    output = config.output
    parser.add_argument("--log-every", type=int, default=output.log_every)
    parser.add_argument("--val-every", type=int, default=output.val_every)
    parser.add_argument("--save-minutes", type=float, default=output.save_minutes)
    parser.add_argument("--scale", type=int, choices=(2, 4), default=config.model.scale)
    options = parser.parse_args(arguments)
    config = replace(config, model=replace(config.model, scale=options.scale))
    pace = Pace(options.log_every, options.val_every, options.save_minutes)
    for line in (*lines(config, pace), *assumptions()):
        print(line)


if __name__ == "__main__":
    main()
