"""The command line: from words to what is run."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from fastsr import __version__
from fastsr.cli.arguments import (
    REPRODUCE_DECIDES,
    DoctorArguments,
    EvalArguments,
    InfoArguments,
    ReportArguments,
    ReproduceArguments,
)
from fastsr.cli.completion import PRINT, print_completion
from fastsr.cli.configuration import (
    common_config,
    parse,
    refuse_ranks,
    train_arguments,
    train_config,
)
from fastsr.cli.convert import run_convert
from fastsr.cli.data import run_data
from fastsr.cli.export import run_export
from fastsr.cli.outcome import exit_status
from fastsr.cli.publish import run_card, run_push
from fastsr.cli.refusals import unknown_command
from fastsr.cli.upscale import run_upscale
from fastsr.config.fixed import fixed_degradation
from fastsr.config.settings import TrainConfig
from fastsr.console import doing, hush_cuda_home, lasting_console, rank, say
from fastsr.errors import UserError
from fastsr.files import default_cache, default_data_root
from fastsr.training.words import announce, next_commands, outcome

HELP = """usage: fastsr COMMAND [options]

Train GAN super-resolution models, alone or in cohorts that teach each other.

  train     train a cohort of SRGANs; without --data, a demonstration
  eval      PSNR, SSIM, NIQE, PI of trained models beside bicubic
  upscale   enlarge images with a trained model
  export    write a model as ONNX, or for spandrel (ComfyUI, chaiNNer)
  convert   a generator of another project as a file of ours
  card      describe a run's model in Markdown
  push      publish a run's model on the Hugging Face hub
  report    one page with the curves, pictures and tables of runs
  info      what a run or a model's file holds
  data      fetch data sets, preview degraded patches, list packed images
  reproduce repeat the paper's experiment, with its numbers beside ours
  doctor    what this machine can do, whether images are fit, what a run needs

fastsr COMMAND --help lists the options. Shells complete them: fastsr
--tyro-print-completion bash, or zsh, prints the script for it.
Examples: fastsr train; fastsr report runs/demo-x4
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns the exit status: 0, 2 for what the user can mend, 128 + N when signal N stopped it."""
    words = sys.argv[1:] if arguments is None else arguments
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": run_train, "eval": run_eval, "upscale": run_upscale, "doctor": run_doctor, "reproduce": run_reproduce,
        "report": run_report, "info": run_info, "convert": run_convert, "data": run_data, "export": run_export,
        "card": run_card, "push": run_push, PRINT: print_completion,
    }  # fmt: skip
    if not words or words[0] in ("-h", "--help"):
        return exit_status(lambda: write(HELP))
    if words[0] == "--version":
        return exit_status(lambda: write(f"fastsr {__version__}\n"))
    if words[0] not in commands:
        sys.stderr.write(f"fastsr: {unknown_command(words[0], commands)}\n")
        return 2
    hush_cuda_home()
    return exit_status(lambda: run_command(words[0], commands[words[0]], words[1:]))


def run_command(name: str, command: Callable[[list[str]], None], words: list[str]) -> None:
    refuse_empty(words)
    if name != "train":
        refuse_ranks(name)
    command(words)


def write(text: str) -> None:
    sys.stdout.write(text)


def refuse_empty(words: list[str]) -> None:
    """Raises UserError where a value is empty, as that of an unset variable is. As a path it would be this folder."""
    for before, word in zip(["", *words], words, strict=False):
        if not word or (word.startswith("--") and word.endswith("=")):
            option = word.removesuffix("=") or before
            where = f"{option} is given an empty value" if option else "an empty word is given"
            raise UserError(f"{where}; write . where this folder is meant")


def run_train(words: list[str]) -> None:
    config = common_config(words)
    console = lasting_console()
    announce(config, console)
    cache_compiled_networks(config)
    with doing(console, "loading torch", lines=False):
        from fastsr.training.train import train

    run = train(config, console)
    if rank():
        return
    outcome(run.read_metrics(), console)
    if not config.images.data:
        from fastsr.report.page import write_report

        say(
            console,
            f"curves and pictures: {write_report((run.folder,), run.folder / 'report.html')}",
        )
    next_commands(config, run.folder, console)


def cache_compiled_networks(config: TrainConfig) -> None:
    """Keeps what --compile makes. Torch's own place is in /tmp, which no reboot outlives; it settles on import."""
    if config.machine.compile:
        os.environ.setdefault(
            "TORCHINDUCTOR_CACHE_DIR", str((config.images.cache or default_cache()) / "inductor")
        )


def run_eval(words: list[str]) -> None:
    given = parse("eval", EvalArguments, words)
    from fastsr.evaluation.evaluate import evaluate_models
    from fastsr.evaluation.request import Request
    from fastsr.system.device import choose_device, keep_freed_memory
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
        degraded=fixed_degradation(given.degrade, given.degrade_seed),
        border=given.border,
        bits=given.bits,
        pictures=given.pictures,
        amp=given.amp,
        overwrite=given.overwrite,
    )
    device = choose_device(given.device)
    if device.type == "cpu":
        keep_freed_memory()
    elsewhere = "add --device cpu, or " if device.type != "cpu" else ""
    with out_of_memory(lambda: f"{elsewhere}leave out the largest images"):
        evaluate_models(request, device, Console())


def evaluation_folder(models: tuple[Path, ...]) -> Path:
    """The default folder for results: in the run, if it is just one."""
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
        pi_images=arguments.pi_images,
        average_checkpoints=arguments.average_checkpoints,
        controls=arguments.controls,
        metric_weights=arguments.metric_weights,
        level=arguments.level,
    )
    reproduce(plan, console, arguments.tables_only)
    page = write_report((plan.out,), plan.out / "report.html")
    say(console, f"tables: {plan.out / 'tables.md'}; page: {page}")


def run_report(words: list[str]) -> None:
    arguments = parse("report", ReportArguments, words)
    from fastsr.report.page import write_report

    runs = arguments.runs
    page = write_report(
        runs,
        arguments.out or (runs[0] if len(runs) == 1 else Path()) / "report.html",
        arguments.overwrite,
    )
    Console().print(str(page), soft_wrap=True, highlight=False, markup=False)


def run_info(words: list[str]) -> None:
    from fastsr.cli.info import inform

    inform(parse("info", InfoArguments, words).run, Console())


def run_doctor(words: list[str]) -> None:
    config = train_config(words, DoctorArguments)
    from fastsr.cli.doctor import examine
    from fastsr.cli.prove import prove_machine

    fit = examine(config, Console())
    # The setting is on by default, for training; only the word itself asks for a proof now.
    proved = "--prove" not in words or prove_machine(config, Console())
    if not (fit and proved):
        sys.exit(1)
