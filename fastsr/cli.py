"""The command line: `fastsr train`, `eval`, `upscale` and `doctor`."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from fastsr import __version__
from fastsr.config import TrainConfig
from fastsr.errors import UserError
from fastsr.files import default_cache
from fastsr.recipes import demo, paper
from fastsr.toml import from_toml

HELP = """usage: fastsr COMMAND [options]     (fastsr COMMAND --help lists the options)

  train     train a cohort of SRGANs; without --data, a demonstration
  eval      PSNR, SSIM, NIQE, PI of trained models beside bicubic
  upscale   enlarge images with a trained model
  doctor    what this machine can do, whether images are fit, what a run needs
"""
TYRO = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a cohort of SRGANs that see the same patches and may teach each other.

    Without --data it trains on sample photos, as a demonstration. Defaults below are those of the recipe in force."""

    config: Path | None = None
    """TOML file with settings, in sections as in a run's config.toml; options given here go before it."""
    recipe: Literal["paper", "demo"] | None = None
    """Where defaults come from. Default: paper with --data, demo without."""
    train: TrainConfig = field(default_factory=paper)


@dataclass(frozen=True, kw_only=True)
class DoctorArguments(TrainArguments):
    """What this machine can do, whether the images in --data are fit for training, and what a run would need.

    Takes the options of train, and trains nothing."""


@dataclass(frozen=True, kw_only=True)
class EvalArguments:
    """Score trained models beside bicubic on test sets: a table for each set, CSV, JSON, and pictures."""

    models: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Runs, checkpoints, or generators (.safetensors). Of a run: all peers of its latest checkpoint."""
    sets: tuple[str, ...]
    """Test sets: names below --data-root, such as Set5 Set14, or folders of images."""
    data_root: Path | None = None
    """Folder of test sets. Default: where `fastsr data fetch` puts them, ~/.cache/fastsr/data."""
    out: Path | None = None
    """Folder for the results; an earlier evaluation there is replaced. Default: evaluation/ in the run if there is
    just one, else evaluation/ here."""
    weights: Literal["both", "ema", "raw"] = "both"
    """Averaged generators (ema), those as trained (raw), or both. No effect on single files."""
    metrics: tuple[Literal["psnr", "ssim", "niqe", "pi", "lpips", "dists"], ...] = ()
    """What to measure. Default: psnr, ssim, and niqe and pi where pyiqa is installed and their weights are at hand."""
    metric_weights: Path | None = None
    """Folder with pyiqa's weight files, such as niqe_modelparameters.mat. Default: pyiqa downloads them."""
    lr: Literal["bicubic", "given"] = "bicubic"
    """Low-resolution images: made from the originals by MATLAB's bicubic, or those that came with the test set."""
    border: Literal["replicate", "mirror"] = "replicate"
    """Border rule of the bicubic that makes low-resolution images: older or newer MATLAB releases."""
    pictures: int = 2
    """Images of each set whose pictures, by every model, are kept, for `fastsr report`."""
    amp: bool = False
    """Mixed precision, on a GPU. Changes PSNR by some 0.01 dB."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:N."""


@dataclass(frozen=True, kw_only=True)
class UpscaleArguments:
    """Enlarge images with a trained model. Writes PNG files named like the images, and overwrites nothing."""

    model: Annotated[Path, tyro.conf.Positional]
    """A run or checkpoint (its peer 0 is used), or a generator (.safetensors)."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files, or folders of them."""
    out: Path = Path("upscaled")
    """Folder to write to."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:N."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns the exit status: 0, 2 for what the user can mend, 130 when stopped."""
    words = sys.argv[1:] if arguments is None else arguments
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": run_train, "eval": run_eval, "upscale": run_upscale, "doctor": run_doctor,
    }  # fmt: skip
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"fastsr {__version__}\n")
        return 0
    if words[0] not in commands:
        sys.stderr.write(f"fastsr: no command '{words[0]}'\n\n{HELP}")
        return 2
    try:
        commands[words[0]](words[1:])
    except UserError as error:
        Console(stderr=True).print(f"fastsr: {error}", soft_wrap=True, highlight=False, markup=False)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def run_train(words: list[str]) -> None:
    config = train_config(words)
    if config.machine.compile:
        # torch's own place is in /tmp, which no reboot outlives. It settles on one when it is imported.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((config.images.cache or default_cache()) / "inductor"))
    from fastsr.train import train  # imports torch: not for --help

    train(config)


def train_config(words: list[str], command: type[TrainArguments] = TrainArguments) -> TrainConfig:
    """The configuration that words on the command line mean.

    From weakest to strongest: the recipe, the run being resumed or the --config file, options.
    """
    name = "doctor" if command is DoctorArguments else "train"
    first = argparse.ArgumentParser(prog=f"fastsr {name}", add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path)
    first.add_argument("--recipe", choices=("paper", "demo"))
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", nargs="?", const="")
    early, rest = first.parse_known_args(words)
    if early.resume:  # --resume RUN is short for --resume --out RUN
        if early.out is not None:
            raise UserError(f"--resume {early.resume} continues in that folder; leave out --out {early.out}")
        early.out = Path(early.resume)
    rest = list(chain.from_iterable(("--graph", "off") if word == "--no-graph" else (word,) for word in rest))
    given = {word.split("=")[0] for word in rest}
    defaults = recipe_config(early.recipe, early.config, "--data" in given)
    if early.resume is not None:
        defaults = resumed(early.out, defaults, early.config, "--data" in given)
    output = replace(defaults.output, out=early.out or defaults.output.out, resume=early.resume is not None)
    # The options read above are shown in the help, so they are known here too; what they mean is in `defaults` already.
    defaults = command(train=replace(defaults, output=output))
    config = tyro.cli(command, prog=f"fastsr {name}", args=rest, default=defaults, config=TYRO).train
    for option, folders in (("--data", config.images.data), ("--val", config.images.val)):
        if option in given and not folders:
            raise UserError(f"{option} names no folder; give at least one, or leave it out")
    return config


def recipe_config(recipe: str | None, file: Path | None, has_data: bool) -> TrainConfig:
    config = from_toml(file, paper()) if file else paper()
    name = recipe or ("paper" if has_data or config.images.data else "demo")
    base = demo() if name == "demo" else paper()
    return replace(from_toml(file, base), recipe=base.recipe) if file else base


def resumed(out: Path | None, defaults: TrainConfig, file: Path | None, has_data: bool) -> TrainConfig:
    """The settings of the run to continue. Where there is none yet, a command with --data starts it."""
    from fastsr.run import latest_folder, resume_config

    folder = out or latest_folder()
    if folder is None:
        raise UserError("--resume: there is no run in runs/; name one with --out RUN")
    config = resume_config(folder, defaults)
    if config is defaults and not (has_data or defaults.images.data):
        raise UserError(f"--resume: there is no run in {folder}; give the folder of one, or --data to start it")
    return from_toml(file, config) if file and config is not defaults else config


def run_eval(words: list[str]) -> None:
    given = tyro.cli(EvalArguments, prog="fastsr eval", args=words, config=TYRO)
    from fastsr.environment import out_of_memory
    from fastsr.precision import choose_device
    from fastsr.scores import Request, evaluate_models

    request = Request(
        models=given.models,
        sets=given.sets,
        data_root=given.data_root or default_cache() / "data",
        out=given.out or evaluation_folder(given.models),
        weights=("ema", "raw") if given.weights == "both" else (given.weights,),
        metrics=given.metrics,
        metric_weights=given.metric_weights,
        lr=given.lr,
        border=given.border,
        pictures=given.pictures,
        amp=given.amp,
    )
    device = choose_device(given.device)
    with out_of_memory(lambda: "add --device cpu, or leave out the largest images"):
        evaluate_models(request, device, Console())


def evaluation_folder(models: tuple[Path, ...]) -> Path:
    """Where results go by default: into the run, if it is just one."""
    is_run = len(models) == 1 and (models[0] / "config.toml").is_file()
    return (models[0] if is_run else Path()) / "evaluation"


def run_upscale(words: list[str]) -> None:
    arguments = tyro.cli(UpscaleArguments, prog="fastsr upscale", args=words, config=TYRO)
    from fastsr.environment import out_of_memory
    from fastsr.precision import choose_device
    from fastsr.upscale import upscale_files

    device = choose_device(arguments.device)
    with out_of_memory(lambda: "cut the image into smaller ones, or add --device cpu"):
        for path in upscale_files(arguments.model, arguments.images, arguments.out, device):
            Console().print(str(path), soft_wrap=True, highlight=False, markup=False)


def run_doctor(words: list[str]) -> None:
    from fastsr.doctor import examine

    config = train_config(words, DoctorArguments)
    examine(config, Console())
