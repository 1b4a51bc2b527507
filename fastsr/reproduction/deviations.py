"""Deviations of a reproduction from the paper, setting by setting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from fastsr.config.mixing import ML_STAR_TEMPERATURE
from fastsr.config.recipes import paper
from fastsr.config.settings import TrainConfig
from fastsr.evaluation.metrics import MEASURES

SECTIONS = ("images", "model", "cohort", "loss", "optim")
"""Of the configuration; how the machine computes, and where files go, is no matter of the paper's."""
SAME = frozenset(
    {
        "images.data", "images.val", "images.cache", "images.skip_bad", "model.scale", "cohort.peers", "cohort.variant",
        "cohort.temperature", "cohort.mixing", "cohort.mixing_matrix", "cohort.starts", "cohort.labels",
        "cohort.adversarial_factors", "loss.vgg",
        "optim.lr_milestones", "optim.lr_gamma",
    }
)  # fmt: skip
"""Settings that are told otherwise, that `reproduce` decides about, or that change no result."""
TEMPERATURE = "cohort.temperature of ML*"
OPEN = frozenset(
    {
        TEMPERATURE,
        "images.patch", "images.border", "images.probability", "images.augment", "model.discriminator_filters",
        "cohort.kl", "cohort.kl_weight", "cohort.distillation_scale", "loss.content_weight", "loss.content_ratio",
        "loss.adversarial_weight", "optim.pretrain_steps", "optim.lr", "optim.ema",
    }
)  # fmt: skip
"""Settings that the paper leaves open, so that the default is our choice, and another is another."""
WORDS = {
    "images.batch": "patches a step",
    "images.patch": "pixels of a patch's side",
    "images.border": "pixels beyond an image",
    "images.probability": "probability of an image",
    "images.augment": "turned and mirrored patches",
    "model.blocks": "residual blocks",
    "model.skip": "global skip",
    "model.discriminator_filters": "filters of the discriminator",
    "cohort.kl": "divergence",
    "cohort.kl_weight": "weight lambda of the divergence",
    "cohort.distillation_scale": "factor of the divergence",
    "loss.content": "content loss",
    "optim.steps": "adversarial steps",
    "optim.pretrain_steps": "steps of pre-training",
    "optim.lr": "learning rate",
    "optim.ema": "decay of the averaged weights",
}
"""By setting, where its name does not speak for itself."""


@dataclass(frozen=True)
class Compared:
    """One setting, ours and the paper's; where the paper leaves it open, that is the default."""

    name: str
    ours: object
    theirs: object

    def __str__(self) -> str:
        words = WORDS.get(self.name, self.name.partition(".")[2].replace("_", " "))
        sentence = f"{words}: {in_words(self.ours)}, not {in_words(self.theirs)}"
        return f"{sentence}, our default for what the paper leaves open" if self.open else sentence

    @property
    def open(self) -> bool:
        return self.name in OPEN


def compared(config: TrainConfig) -> Iterator[Compared]:
    """Every setting that could change a result."""
    original = paper()
    for section in SECTIONS:
        ours, theirs = (getattr(one, section) for one in (config, original))
        for one in fields(ours):
            if (name := f"{section}.{one.name}") not in SAME:
                yield Compared(name, getattr(ours, one.name), getattr(theirs, one.name))
    softened = max(config.cohort.temperature, default=ML_STAR_TEMPERATURE)
    yield Compared(TEMPERATURE, softened, ML_STAR_TEMPERATURE)


def deviations(config: TrainConfig, missing: Sequence[str] = ()) -> list[str]:
    """Sentences on all that a reproduction does otherwise than the paper states, or by default, or leaves out.

    Args:
        missing: metrics that are not measured.
    """
    notes = list[str]()
    if not any("div2k" in str(path).lower() for path in config.images.data):
        folders = ", ".join(path.name for path in config.images.data)
        notes.append(f"trained on {folders or 'sample photos'}, not on DIV2K")
    if not config.degrade.is_bicubic and not config.images.lr_data:
        notes.append(
            f"low resolution in training: by blind degradations ({config.degrade.degrade}), not by bicubic"
        )
    different = [one for one in compared(config) if one.ours != one.theirs]
    notes += map(str, sorted(different, key=lambda one: one.open))
    if config.optim.lr_milestones:
        steps = ", ".join(map(str, config.optim.lr_milestones))
        notes.append(f"the learning rate is multiplied by {config.optim.lr_gamma} at steps {steps}")
    return notes + [f"{MEASURES[name].name} is not measured" for name in missing]


def in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(in_words, value)) or "none"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return f"{value:g}" if isinstance(value, float) and value < 1e4 else str(value)
