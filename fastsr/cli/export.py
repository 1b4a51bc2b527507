"""`fastsr export`: a model for other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from fastsr.cli.configuration import parse
from fastsr.cli.publish import name_of
from fastsr.console import say


@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """Write a trained model for other programs, and compare what they make of it before it is called done.

    onnx: any height and width, values in [0, 1], batch normalisation folded in. spandrel: a .safetensors file that
    ComfyUI, chaiNNer and other programs with spandrel load; RRDB, Compact and SPAN as they are, other networks after
    `fastsr.integrations.spandrel.install()`. Needs the extra: pip install "fastsr[export]".

    Examples:
        fastsr export runs/x4 --format onnx
        fastsr export generator.safetensors --format spandrel --out models/upscale_models/mine.safetensors
    """

    model: Annotated[str, tyro.conf.Positional]
    """A run or checkpoint, a generator's file, or user/name on the Hugging Face hub."""
    format: Literal["onnx", "spandrel"]
    """The kind of file."""
    out: Path | None = None
    """The file. Default: named like the model, here."""
    half: bool = False
    """Weights in fp16: half as large. Pictures then differ a little."""
    peer: int | Literal["best", "average"] = 0
    """Of a run or checkpoint: the number of a peer; best: by validation; average: of all weights. No effect on a single
    file."""
    overwrite: bool = False
    """Replace a file of that name."""


def run_export(words: list[str]) -> None:
    given = parse("export", ExportArguments, words)
    import torch

    from fastsr.export.onnx import export_onnx
    from fastsr.export.spandrel import export_spandrel
    from fastsr.export.written import check_place
    from fastsr.inference.peers import generator_files, open_generators
    from fastsr.inference.upscaler import notes_of, place_of

    console = Console()
    files = generator_files(place_of(given.model), given.peer)
    (generator,) = open_generators(files, given.peer, torch.device("cpu"))
    file = given.out or default_name(given.model, generator.scale, given.format, given.half)
    check_place(file, given.overwrite)
    notes = notes_of(files[0])
    if given.format == "onnx":
        found = export_onnx(
            generator, file, half=given.half, notes=notes, overwrite=given.overwrite,
            tell=lambda text: say(console, text),
        )  # fmt: skip
    else:
        found = export_spandrel(
            generator, file, half=given.half, notes=notes, overwrite=given.overwrite
        )
    say(
        console,
        f"{file}: {file.stat().st_size / 1e6:.1f} MB, largest difference to torch {found:.2g} of [0, 1]",
    )


def default_name(model: str, scale: int, form: str, half: bool) -> Path:
    """Of the run or file, with the scale and what the file is for."""
    name = name_of(Path(model)) if Path(model).exists() else model.split("@")[0].split("/")[1]
    name = name if name.endswith(f"x{scale}") else f"{name}-x{scale}"
    suffix = ".onnx" if form == "onnx" else "-spandrel.safetensors"
    return Path(f"{name}{'-fp16' if half else ''}{suffix}")
