"""`fastsr --tyro-print-completion SHELL`: a script by which bash or zsh completes commands and options."""

import re
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Annotated, Any, Union

import tyro

from fastsr.cli.arguments import (
    DoctorArguments,
    EvalArguments,
    FetchArguments,
    InfoArguments,
    ListArguments,
    PacksArguments,
    ReportArguments,
    ReproduceArguments,
    TrainArguments,
)
from fastsr.cli.configuration import TYRO
from fastsr.cli.convert import ConvertArguments
from fastsr.cli.export import ExportArguments
from fastsr.cli.preview import PreviewArguments
from fastsr.cli.publish import CardArguments, PushArguments
from fastsr.cli.upscale import UpscaleArguments
from fastsr.errors import UserError

PRINT = "--tyro-print-completion"
SPECIFICATION = re.compile(r"^COMPLETION_SPEC = .*$", re.MULTILINE)
"""The line with all commands and options in tyro's script for bash."""
SHELLS = ("bash", "zsh")

DATA = {
    "fetch": FetchArguments,
    "list": ListArguments,
    "preview": PreviewArguments,
    "packs": PacksArguments,
}
COMMANDS = {
    "train": TrainArguments, "eval": EvalArguments, "upscale": UpscaleArguments, "report": ReportArguments,
    "info": InfoArguments, "reproduce": ReproduceArguments, "doctor": DoctorArguments,
    "export": ExportArguments, "convert": ConvertArguments, "card": CardArguments, "push": PushArguments,
}  # fmt: skip


def print_completion(words: list[str]) -> None:
    """Prints the script of the shell that is named, as tyro does for each command alone. Raises UserError."""
    if len(words) != 1 or words[0] not in SHELLS:
        raise UserError(f"{PRINT} takes the name of a shell: {', '.join(SHELLS)}")
    everything = one_of({**COMMANDS, "data": one_of(DATA)})
    with redirect_stdout(StringIO()) as script, suppress(SystemExit):
        tyro.cli(everything, prog="fastsr", args=[PRINT, *words], config=TYRO)
    sys.stdout.write(SPECIFICATION.sub(on_one_line, script.getvalue()))


def on_one_line(specification: re.Match[str]) -> str:
    """Without the line breaks of help texts, of which tyro's script would offer every word."""
    return specification[0].replace(r"\n", " ")


def one_of(commands: dict[str, Any]) -> Any:
    """A type that tyro takes for a choice of commands."""
    named = tuple(
        Annotated[arguments, tyro.conf.subcommand(name)] for name, arguments in commands.items()
    )
    return Union[named]  # noqa: UP007  # made of what is only known here
