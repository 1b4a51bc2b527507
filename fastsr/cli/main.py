"""The command line: from words to what is run."""

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import tyro
from rich.console import Console

from fastsr import __version__
from fastsr.cli.arguments import (
    DoctorArguments,
    EvalArguments,
    FetchArguments,
    ListArguments,
    ReportArguments,
    ReproduceArguments,
    UpscaleArguments,
)
from fastsr.cli.configuration import TYRO, train_arguments, train_config
from fastsr.config.recipes import paper
from fastsr.config.settings import TrainConfig
from fastsr.console import say
from fastsr.errors import UserError
from fastsr.files import default_cache, default_data_root

HELP = """usage: fastsr COMMAND [options]     (fastsr COMMAND --help lists the options)

  train     train a cohort of SRGANs; without --data, a demonstration
  eval      PSNR, SSIM, NIQE, PI of trained models beside bicubic
  upscale   enlarge images with a trained model
  report    one page with the curves, pictures and tables of runs
  data      fetch and list the data sets of the field
  reproduce repeat the paper's experiment, with its numbers beside ours
  doctor    what this machine can do, whether images are fit, what a run needs
"""
DATA_HELP = """usage: fastsr data COMMAND [options]     (fastsr data COMMAND --help lists the options)

  fetch     download data sets: div2k set5 set14 bsd100 urban100
  list      which there are, and which of them are here
"""
REPRODUCE_DECIDES = {
    "--scale": "use --scales",
    "--seed": "use --seeds",
    "--peers": "it trains an Independent, an ML and an ML* pair",
    "--variant": "it trains an Independent, an ML and an ML* pair",
    "--starts": "its three pairs begin alike",
    "--mixing": "it trains an Independent, an ML and an ML* pair",
    "--resume": "it goes on by itself where the folder in --out was left",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns the exit status: 0, 2 for what the user can mend, 130 when stopped."""
    words = sys.argv[1:] if arguments is None else arguments
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": run_train, "eval": run_eval, "upscale": run_upscale, "doctor": run_doctor, "reproduce": run_reproduce,
        "report": run_report, "data": run_data,
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
        Console(stderr=True).print(
            f"fastsr: {error}", soft_wrap=True, highlight=False, markup=False
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def run_train(words: list[str]) -> None:
    config = train_config(words)
    cache_compiled_networks(config)
    from fastsr.training.train import train  # imports torch: not for --help

    train(config)


def cache_compiled_networks(config: TrainConfig) -> None:
    """Keeps what --compile makes. Torch's own place is in /tmp, which no reboot outlives; it settles on import."""
    if config.machine.compile:
        os.environ.setdefault(
            "TORCHINDUCTOR_CACHE_DIR", str((config.images.cache or default_cache()) / "inductor")
        )


def run_eval(words: list[str]) -> None:
    given = tyro.cli(EvalArguments, prog="fastsr eval", args=words, config=TYRO)
    from fastsr.evaluation.evaluate import Request, evaluate_models
    from fastsr.system.device import choose_device
    from fastsr.system.memory import out_of_memory

    request = Request(
        models=given.models,
        sets=given.sets,
        data_root=given.data_root or default_data_root(),
        out=given.out or evaluation_folder(given.models),
        weights=("ema", "raw") if given.weights == "both" else (given.weights,),
        metrics=given.metrics,
        metric_weights=given.metric_weights,
        lr=given.lr,
        border=given.border,
        pictures=given.pictures,
        amp=given.amp,
        overwrite=given.overwrite,
    )
    device = choose_device(given.device)
    with out_of_memory(lambda: "add --device cpu, or leave out the largest images"):
        evaluate_models(request, device, Console())


def evaluation_folder(models: tuple[Path, ...]) -> Path:
    """Where results go by default: into the run, if it is just one."""
    is_run = len(models) == 1 and (models[0] / "config.toml").is_file()
    return (models[0] if is_run else Path()) / "evaluation"


def run_reproduce(words: list[str]) -> None:
    given = {word.split("=")[0] for word in words}
    for option, instead in REPRODUCE_DECIDES.items():
        if option in given:
            raise UserError(f"fastsr reproduce decides about {option}; {instead}")
    recipe = () if "--recipe" in given else ("--recipe", "paper")
    arguments = train_arguments([*words, *recipe], ReproduceArguments)
    cache_compiled_networks(arguments.train)
    from fastsr.report.page import write_report
    from fastsr.reproduction.plan import plan_reproduction
    from fastsr.reproduction.reproduce import reproduce

    console = Console()
    plan = plan_reproduction(
        arguments.train,
        scales=arguments.scales,
        seeds=arguments.seeds,
        sets=arguments.sets,
        data_root=arguments.data_root or default_data_root(),
        metrics=arguments.metrics,
        perceptual_sets=arguments.perceptual_sets,
        metric_weights=arguments.metric_weights,
    )
    reproduce(plan, console)
    page = write_report((plan.out,), plan.out / "report.html")
    say(console, f"tables: {plan.out / 'tables.md'}; page: {page}")


def run_upscale(words: list[str]) -> None:
    arguments = tyro.cli(UpscaleArguments, prog="fastsr upscale", args=words, config=TYRO)
    from fastsr.models.inference import upscale_files
    from fastsr.system.device import choose_device
    from fastsr.system.memory import out_of_memory

    device = choose_device(arguments.device)
    with out_of_memory(lambda: "cut the image into smaller ones, or add --device cpu"):
        for path in upscale_files(arguments.model, arguments.images, arguments.out, device):
            Console().print(str(path), soft_wrap=True, highlight=False, markup=False)


def run_report(words: list[str]) -> None:
    arguments = tyro.cli(ReportArguments, prog="fastsr report", args=words, config=TYRO)
    from fastsr.report.page import write_report

    runs = arguments.runs
    page = write_report(
        runs, arguments.out or (runs[0] if len(runs) == 1 else Path()) / "report.html"
    )
    Console().print(str(page), soft_wrap=True, highlight=False, markup=False)


def run_data(words: list[str]) -> None:
    if words and words[0] in ("-h", "--help"):
        sys.stdout.write(DATA_HELP)
        return
    if not words or words[0] not in ("fetch", "list"):
        raise UserError("fastsr data takes a word more: fetch NAMES, or list")
    if words[0] == "list":
        from fastsr.download.catalogue import listing

        root = tyro.cli(ListArguments, prog="fastsr data list", args=words[1:], config=TYRO).root
        Console().print(listing(root or default_data_root()))
        return
    from fastsr.download.catalogue import DATASETS

    known = [word.lower() if word.lower() in DATASETS else word for word in words[1:]]
    arguments = tyro.cli(FetchArguments, prog="fastsr data fetch", args=known, config=TYRO)
    fetch_and_pack(arguments)


def fetch_and_pack(arguments: FetchArguments) -> None:
    """Downloads data sets, and packs those that are trained on."""
    if not arguments.names:
        raise UserError(
            "fastsr data fetch names no data set; give some of div2k set5 set14 bsd100 urban100"
        )
    from fastsr.download.catalogue import DATASETS
    from fastsr.download.fetch import fetch

    console, root = Console(), arguments.root or default_data_root()

    def tell(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    for folder in fetch(arguments.names, root, tell, console=console):
        tell(str(folder))
    for name in arguments.names:
        if DATASETS[name].use == "train":
            from fastsr.config.settings import ImagesConfig
            from fastsr.training.setup import open_images  # imports torch

            train_folder = DATASETS[name].folders(root)[0]
            images = ImagesConfig(data=(train_folder,), cache=arguments.cache)
            store = open_images(replace(paper(), images=images), console)
            command = f"fastsr train --data {shlex.quote(str(train_folder))} --amp --compile"
            tell(f"packed {len(store)} images. Train: {command}")


def run_doctor(words: list[str]) -> None:
    config = train_config(words, DoctorArguments)
    from fastsr.cli.doctor import examine

    examine(config, Console())
