"""A model card in Markdown, made from a run: its settings, its data, its scores with their protocol, its pictures.

Without torch: the card of a run can be written anywhere.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from fastsr import __version__
from fastsr.config.check import check
from fastsr.config.mixing import variants
from fastsr.config.peers import samples_in_words
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.errors import UserError
from fastsr.evaluation.command import evaluation_command
from fastsr.evaluation.metrics import metric_name
from fastsr.evaluation.results import JSON_NAME, ORIGINAL, Evaluation, Picture
from fastsr.facts import ModelFacts

BICUBIC = "bicubic"
MOST_PICTURES = 4
KINDS = {1: "grey images", 3: "images"}
"""Names of images of so many channels."""
REPOSITORY = "https://github.com/fastsr/fastsr"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The subject of a card."""

    name: str
    facts: ModelFacts
    peer: int | None = None
    """Number of the peer in its run."""
    config: TrainConfig | None = None
    evaluation: Evaluation | None = None
    evaluation_folder: Path = field(default_factory=Path)
    license: str = ""

    @property
    def scored_as(self) -> str | None:
        """The name of the model in the run's evaluation: that of its peer, averaged; None where it was not scored."""
        names = [one.name for one in (self.evaluation.models if self.evaluation else ())]
        return name if (name := f"peer {self.peer}") in names else None


def read_subject(
    run: Path, facts: ModelFacts, name: str, peer: int | None, license: str = ""
) -> Subject:
    """The subject of a card from a run's folder, or from no more than the facts of a file.

    Raises UserError where a file of the run is damaged.
    """
    if not (run / "config.toml").is_file():
        return Subject(name=name, facts=facts, license=license)
    results = run / "evaluation" / JSON_NAME
    return Subject(
        name=name,
        facts=facts,
        peer=peer,
        config=check(from_toml(run / "config.toml", TrainConfig())),
        evaluation=Evaluation.read(results) if results.is_file() else None,
        evaluation_folder=results.parent,
        license=license,
    )


def write_card(subject: Subject, folder: Path) -> Path:
    """Writes README.md, and the pictures that it shows, into a folder. Returns the file.

    Raises UserError where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shown = copy_pictures(subject, folder)
        card = folder / "README.md"
        card.write_text(card_text(subject, shown), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written ({error.strerror or error})") from None
    return card


def card_text(subject: Subject, pictures: list[Picture]) -> str:
    """The whole card.

    Args:
        pictures: with paths below the card.
    """
    parts = (
        front_matter(subject), f"# {subject.name}", introduction(subject), usage(subject), settings(subject),
        scores(subject), gallery(subject, pictures), limits(subject),
    )  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(subject: Subject) -> str:
    lines = ["---", f"license: {subject.license}" if subject.license else "license: unknown"]
    lines += ["library_name: fastsr", "pipeline_tag: image-to-image", "tags:"]
    lines += [
        f"- {tag}"
        for tag in ("super-resolution", "image-super-resolution", f"x{subject.facts.scale}")
    ]
    return "\n".join([*lines, "---"])


def introduction(subject: Subject) -> str:
    facts, config = subject.facts, subject.config
    network = facts.architecture.removeprefix("fastsr.")
    millions = facts.parameters / 1e6
    size = f"{millions:.2f} million" if millions >= 0.1 else f"{facts.parameters:,}"
    kind = KINDS.get(facts.channels or 3, f"images of {facts.channels} channels")
    does = "Restores {}" if facts.scale == 1 else "Enlarges {} {} times in height and width"
    text = f"{does.format(kind, facts.scale)}: {network}, {size} parameters."
    if config is None or subject.peer is None:
        return text
    variant = variants(config.cohort)[subject.peer]
    return (
        f"{text} Peer {subject.peer} of a cohort of {config.cohort.peers} SRGANs, whose discriminators "
        f"{'learnt alone' if variant == 'Independent' else f'taught each other ({variant})'}, "
        f"trained with [fastsr]({REPOSITORY}) {__version__}."
    )


def usage(subject: Subject) -> str:
    is_picture = (subject.facts.channels or 3) <= 4
    reads = "from PIL import Image" if is_picture else "import numpy as np"
    large = "restored" if subject.facts.scale == 1 else "large"
    call = f'upscaler(Image.open("photo.jpg")).save("{large}.png")'
    if not is_picture:
        call = f'np.save("{large}.npy", upscaler(np.load("image.npy")))'
    return (
        f'```python\nimport fastsr\n{reads}\n\nupscaler = fastsr.load("{subject.name}")\n{call}\n```\n\n'
        f"or, for many files: `fastsr upscale {subject.name} photos --out {large}`."
    )


def settings(subject: Subject) -> str:
    """A table of what decides about a model; of paths no more than their last part."""
    config = subject.config
    if config is None:
        return ""
    images, loss, optim = config.images, config.loss, config.optim
    names = ", ".join(path.name for path in images.data) or "sample photos"
    rows = {
        "images": names,
        "recipe": config.recipe,
        "network": ", ".join(f"{key} {text}" for key, text in network(subject.facts).items()),
        "samples": samples_in_words(config).removesuffix(", ") or "RGB of 8 bits",
        "steps": f"{optim.steps:,} adversarial after {optim.pretrain_steps:,} of pre-training",
        "patches": f"{images.batch} a step, {images.patch} pixels a side, low resolution {made_by(config)}",
        "content loss": loss.content,
        "adversarial loss": loss.adversarial,
        "learning rate": f"{optim.lr:g}",
        "weights": f"averaged, decay {optim.ema:g}" if optim.ema else "of the last step",
        "seed": str(config.machine.seed),
    }
    lines = [f"| {key} | {text} |" for key, text in rows.items()]
    return "\n".join(["## Training", "", "| | |", "|---|---|", *lines])


def made_by(config: TrainConfig) -> str:
    """The origin of the low resolution that a model was trained on."""
    if config.images.lr_data:
        return "as given"
    if config.degrade.is_bicubic:
        return "by MATLAB's bicubic"
    return f"by blind degradations ({config.degrade.degrade})"


def network(facts: ModelFacts) -> Mapping[str, str]:
    """The settings of a network, without notes."""
    return {key: text for key, text in facts.about.items() if key not in ("training", "license")}


def scores(subject: Subject) -> str:
    evaluation = subject.evaluation
    if evaluation is None:
        if subject.config is None:
            return ""
        return f"## Scores\n\nNot evaluated: `{evaluation_command(subject.config, Path('RUN'))}`."
    heads = [metric_name(metric) for metric in evaluation.metrics]
    lines = [
        "## Scores",
        "",
        f"| set | model | {' | '.join(heads)} |",
        "|---" * (len(heads) + 2) + "|",
    ]
    for scored in evaluation.sets:
        for model in evaluation.models:
            means = evaluation.means[scored.name].get(model.name, {})
            values = " | ".join(number(means.get(metric)) for metric in evaluation.metrics)
            label = f"**{model.label}**" if model.name == subject.scored_as else model.label
            lines.append(f"| {scored.name} ({scored.images}) | {label} | {values} |")
    protocol = [f"- {about}: {text}" for about, text in evaluation.protocol.items()]
    notes = [f"- {scored.name}: {note}" for scored in evaluation.sets for note in scored.notes]
    return "\n".join([*lines, "", "Means over images. Measured thus:", "", *protocol, *notes])


def number(value: float | None) -> str:
    return "–" if value is None or not isfinite(value) else f"{value:.4g}"


def copy_pictures(subject: Subject, folder: Path) -> list[Picture]:
    """Pictures of the evaluation, copied below a folder; none that it claims to have elsewhere. Raises OSError."""
    evaluation = subject.evaluation
    copies: list[Picture] = []
    for index, one in enumerate((evaluation.pictures if evaluation else ())[:MOST_PICTURES]):
        files: dict[str, str] = {}
        for method, name in wanted(one, subject.scored_as):
            source = subject.evaluation_folder / name
            inside = source.resolve().is_relative_to(subject.evaluation_folder.resolve())
            if inside and source.is_file():
                files[method] = (
                    f"pictures/{index}-{method.replace(' ', '-').lower()}{source.suffix}"
                )
                (folder / "pictures").mkdir(exist_ok=True)
                shutil.copyfile(source, folder / files[method])
        copies.append(Picture(one.test_set, one.image, files))
    return copies


def wanted(picture: Picture, model: str | None) -> Iterator[tuple[str, str]]:
    for method in (BICUBIC, model, ORIGINAL):
        if method is not None and method in picture.files:
            yield method, picture.files[method]


def gallery(subject: Subject, pictures: list[Picture]) -> str:
    """Rows of pictures: bicubic, this model, the original."""
    shown = [one for one in pictures if one.files]
    if not shown:
        return ""
    heads = list(shown[0].files)
    lines = ["## Pictures", "", f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for one in shown:
        cells = " | ".join(f"![{method}]({one.files.get(method, '')})" for method in heads)
        lines.append(f"| {one.test_set} {one.image} | {cells} |")
    return "\n".join(lines)


def limits(subject: Subject) -> str:
    config = subject.config
    if config and config.degrade.is_bicubic and not config.images.lr_data:
        learnt = "It was trained on bicubic low resolution; noise and compression are enlarged with the rest. "
    else:
        learnt = "Images unlike those that it was trained on come out worse. "
    return (
        "## Limits\n\nA GAN invents detail that looks plausible: not for measuring, identifying or proving anything. "
        + learnt
        + (f"License: {subject.license}." if subject.license else "No license is stated.")
    )
