"""From words on the command line to the arguments and the configuration that they mean."""

import argparse
import os
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NoReturn, TypeVar, cast, get_args

import tyro

from fastsr.cli.arguments import REPRODUCE_DECIDES, ReproduceArguments, TrainArguments
from fastsr.cli.help import groups, help_text
from fastsr.cli.refusals import usable_words
from fastsr.config.check import check
from fastsr.config.presets import preset
from fastsr.config.recipes import RecipeName, demo, paper
from fastsr.config.recipes import recipe as recipe_of
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.console import rank, ranks
from fastsr.errors import UserError

FAREWELL_SECONDS = 2.0
"""Time for the first rank to speak: torchrun ends it as soon as another has ended."""
TYRO = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)


def train_config(words: list[str], command: type[TrainArguments] = TrainArguments) -> TrainConfig:
    """The configuration that words on the command line mean."""
    return train_arguments(words, command).train


def common_config(words: list[str]) -> TrainConfig:
    """The checked configuration of `fastsr train`. Of ranks, which all have these words, the first tells what is wrong
    with them; the others raise an error without words. Started again by torchrun, they resume the run."""
    if ranks() > 1:
        # Of a rank that is lost our line tells, and torch's own code with pages of addresses.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0" and "--resume" not in words
    try:
        if again:
            with suppress(UserError):  # there may be nothing to resume yet
                return check(train_config([*words, "--resume"]))
        return check(train_config(words))
    except UserError as error:
        raise told_by_first(error) from None


def refuse_ranks(command: str) -> None:
    """Raises UserError where several processes were started for a command that would write its files once for each."""
    if ranks() > 1:
        raise told_by_first(
            UserError(
                f"fastsr {command} runs in one process, and {ranks()} were started (WORLD_SIZE); "
                "start it without torchrun"
            )
        )


def told_by_first(error: UserError) -> UserError:
    """The error as the first rank tells it; the others, later, have no words for it."""
    if rank() == 0:
        return error
    time.sleep(FAREWELL_SECONDS)
    return UserError("")


Arguments = TypeVar("Arguments", bound=TrainArguments)
Parsed = TypeVar("Parsed")


def parse(name: str, command: type[Parsed], words: list[str]) -> Parsed:
    """The arguments of `fastsr NAME`. Prints its help, and raises SystemExit, where that is asked for.

    Raises UserError naming the first word that cannot be used.
    """
    if asks_for_help(words):
        show(help_text(name, command))
    usable = checked_words(name, command, words)
    return tyro.cli(command, prog=f"fastsr {name}", args=usable, config=TYRO)


def checked_words(
    name: str, command: type, words: list[str], may_take_a_value: Collection[str] = ()
) -> list[str]:
    """The words as tyro takes them. Raises UserError for those that cannot be used: tyro would draw a box."""
    found = groups(command, None, None, ())
    options = [option for group in found for option in group.options]
    return usable_words(name, options, words, may_take_a_value)


def asks_for_help(words: Collection[str]) -> bool:
    return not {"-h", "--help"}.isdisjoint(words)


def show(text: str) -> NoReturn:
    sys.stdout.write(text)
    raise SystemExit(0)


def train_arguments(words: list[str], command: type[Arguments]) -> Arguments:
    """Words on the command line as arguments. From weakest to strongest: the recipe, the run being resumed or the
    --config file, options.
    """
    name = command.__name__.removesuffix("Arguments").lower()
    if asks_for_help(words):
        show(train_help(name, command))
    words = list(
        chain.from_iterable(
            ("--graph", "off") if word == "--no-graph" else (word,) for word in words
        )
    )
    words = checked_words(name, command, words, may_take_a_value=("--resume",))
    first = argparse.ArgumentParser(prog=f"fastsr {name}", add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path)
    first.add_argument("--recipe", choices=get_args(RecipeName))
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", nargs="?", const="")
    early, rest = first.parse_known_args(words)
    if early.resume:  # --resume RUN is short for --resume --out RUN
        if early.out is not None:
            raise UserError(
                f"--resume {early.resume} continues in that folder; leave out --out {early.out}"
            )
        early.out = Path(early.resume)
    given = {word.split("=")[0] for word in rest}
    defaults = recipe_config(early.recipe, early.config, "--data" in given)
    if early.resume is not None:
        defaults = resumed(early.out, defaults, early.config, "--data" in given)
    output = replace(
        defaults.output, out=early.out or defaults.output.out, resume=early.resume is not None
    )
    # The options read above are shown in the help, so they are known here too; what they mean is in `defaults` already.
    defaults = command(train=replace(defaults, output=output))
    parsed = tyro.cli(command, prog=f"fastsr {name}", args=rest, default=defaults, config=TYRO)
    config = parsed.train
    for option, folders in (
        ("--data", config.images.data),
        ("--lr-data", config.images.lr_data),
        ("--val", config.images.val),
        ("--val-lr-data", config.images.val_lr_data),
    ):
        if option in given and not folders:
            raise UserError(f"{option} names no folder; give at least one, or leave it out")
    if "--degrade" in given:
        degrade = preset(config.degrade.degrade)
        return replace(parsed, train=replace(config, degrade=degrade))
    return parsed


def train_help(name: str, command: type[TrainArguments]) -> str:
    """The help of a command with the options of train: with the demonstration's defaults, where it may use them."""
    default = command(train=paper())
    if issubclass(command, ReproduceArguments):
        return help_text(name, command, default, hidden=REPRODUCE_DECIDES)
    return help_text(name, command, default, command(train=demo()))


def recipe_config(recipe: str | None, file: Path | None, has_data: bool) -> TrainConfig:
    """The recipe that is named on the command line or in the file, else the one for images or their absence."""
    given = from_toml(file, replace(paper(), recipe="")) if file else replace(paper(), recipe="")
    name = recipe or given.recipe or ("paper" if has_data or given.images.data else "demo")
    if name not in get_args(RecipeName):
        known = ", ".join(get_args(RecipeName))
        raise UserError(
            f'{file}: recipe = "{name}" cannot be used; use one of {known}, or leave it out'
        )
    base = recipe_of(cast("RecipeName", name))
    return replace(from_toml(file, base), recipe=base.recipe) if file else base


def resumed(
    out: Path | None, defaults: TrainConfig, file: Path | None, has_data: bool
) -> TrainConfig:
    """The settings of the run to continue. Where there is none yet, a command with --data starts it."""
    from fastsr.training.run import latest_folder, resume_config

    folder = out or latest_folder()
    if folder is None:
        raise UserError("--resume: there is no run in runs/; name one with --out RUN")
    config = resume_config(folder, defaults)
    if config is defaults and not (has_data or defaults.images.data):
        raise UserError(
            f"--resume: there is no run in {folder}; give the folder of one, or --data to start it"
        )
    return from_toml(file, config) if file and config is not defaults else config
