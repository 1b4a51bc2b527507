"""fastsr convert: a generator of another project as a file of ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from fastsr.cli.configuration import parse
from fastsr.console import say
from fastsr.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ConvertArguments:
    """Write a generator of another project as a .safetensors that says what it is.

    Known are RRDB of ESRGAN, BSRGAN, Real-ESRGAN and traiNNer, BasicSR's MSRResNet, SRVGGNetCompact, SPAN, and the
    SRResNets of two SRGAN repositories; .pth or .safetensors, params_ema, params or bare. No code in a file is run.

    Examples:
        fastsr convert RealESRGAN_x4plus.pth
        fastsr convert net_g_latest.pth --out models/mine.safetensors
    """

    file: Annotated[Path, tyro.conf.Positional]
    """File of the generator."""
    out: Path | None = None
    """File to write. Default: FILE with the ending .safetensors, beside it."""
    overwrite: bool = False
    """Replace the file that is written, if there is one."""


def run_convert(words: list[str]) -> None:
    console = Console()
    say(console, str(convert(parse("convert", ConvertArguments, words), console)))


def convert(arguments: ConvertArguments, console: Console) -> Path:
    """Writes our file and returns its path.

    Raises UserError where the generator is none of those known, or the file cannot be written, or is there.
    """
    from fastsr.export.written import check_place, written
    from fastsr.models.model_file import described, generator_of, read_model, save_generator

    target = arguments.out or arguments.file.with_suffix(".safetensors")
    if target == arguments.file:
        raise UserError(f"{target} would be written over itself; give another --out")
    check_place(target, arguments.overwrite)
    model = read_model(arguments.file)
    generator = generator_of(model)
    with written(target, arguments.overwrite) as temporary:
        save_generator(generator, temporary, {**model.notes, "converted_from": model.layout})
    say(console, f"{model.layout}: {described(model.architecture)}")
    return target
