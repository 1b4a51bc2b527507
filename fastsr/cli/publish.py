"""`fastsr card` and `fastsr push`: a model described, and published."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from fastsr.cli.configuration import parse
from fastsr.console import say
from fastsr.errors import UserError

if TYPE_CHECKING:
    from fastsr.export.card import Subject


@dataclass(frozen=True, kw_only=True)
class CardArguments:
    """Describe a run's model in Markdown: settings, images, scores with their protocol, pictures.

    Examples:
        fastsr card runs/x4
        fastsr card runs/x4 --peer best --license apache-2.0 --out card
    """

    model: Annotated[Path, tyro.conf.Positional]
    """A run, or a generator's file."""
    out: Path | None = None
    """Folder for README.md and its pictures. Default: card/ in the run, or here."""
    name: str = ""
    """Name of the model. Default: that of the run or file."""
    peer: int | Literal["best"] = 0
    """The peer that the card is about; best: by validation. No effect on a single file."""
    license: str = ""
    """License of the weights, as the Hugging Face hub names it, such as apache-2.0. Default: none is stated."""


@dataclass(frozen=True, kw_only=True)
class PushArguments:
    """Publish a run's model on the Hugging Face hub, with its card; `fastsr.load("user/name")` then finds it.

    Needs the extra, pip install "fastsr[hub]", and somebody who is logged in: hf auth login.

    Examples:
        fastsr push runs/x4 user/name --license apache-2.0
        fastsr push generator.safetensors user/name --private
    """

    model: Annotated[Path, tyro.conf.Positional]
    """A run, or a generator's file."""
    repository: Annotated[str, tyro.conf.Positional]
    """Name of the model on the hub, user/name; it is made where there is none."""
    peer: int | Literal["best"] = 0
    """The peer that is published; best: by validation. No effect on a single file."""
    license: str = ""
    """License of the weights, as the hub names it, such as apache-2.0. Default: none is stated."""
    private: bool = False
    """Make the model visible to its owner only. No effect on one that exists."""


def run_card(words: list[str]) -> None:
    given = parse("card", CardArguments, words)
    from fastsr.export.card import write_card

    is_run = given.model.is_dir()
    name = given.name or name_of(given.model)
    out = given.out or (given.model / "card" if is_run else Path("card"))
    card = write_card(subject_of(given.model, name, given.peer, given.license), out)
    say(Console(), str(card))


def name_of(model: Path) -> str:
    """Of a folder its whole name, of which a dot is a part; of a file that without the ending."""
    place = model.resolve()
    return place.name if place.is_dir() else place.stem


def run_push(words: list[str]) -> None:
    given = parse("push", PushArguments, words)
    from fastsr.download.hub import MODEL_NAME, is_hub_name
    from fastsr.export.card import write_card
    from fastsr.export.hub import push
    from fastsr.inference.upscaler import notes_of
    from fastsr.models.model_file import load_generator, save_generator

    if not is_hub_name(given.repository):
        raise UserError(f"{given.repository} is no name on the Hugging Face hub; use user/name")
    subject = subject_of(given.model, given.repository, given.peer, given.license)
    generator = load_generator(subject.facts.file)
    license = {"license": given.license} if given.license else {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_card(subject, folder)
        save_generator(generator, folder / MODEL_NAME, {**notes_of(subject.facts.file), **license})
        say(Console(), push(folder, given.repository, given.private))


def subject_of(model: Path, name: str, peer: int | Literal["best"], license: str) -> "Subject":
    """The subject of a card: a run or file. Raises UserError where there is no model."""
    from fastsr.export.card import read_subject
    from fastsr.inference.upscaler import facts_of
    from fastsr.models.model_file import load_generator
    from fastsr.models.weights import find_generator, peer_index

    file = find_generator(model, peer)
    number = peer_index(file) if model.is_dir() else None
    return read_subject(model, facts_of(file, load_generator(file)), name, number, license)
