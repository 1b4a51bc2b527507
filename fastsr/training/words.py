"""The first words of a training, and the last. Without torch, whose import takes seconds."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fastsr.config.peers import networks_in_words, samples_in_words
from fastsr.config.settings import TrainConfig
from fastsr.console import counted, say
from fastsr.evaluation.command import evaluation_command


def announce(config: TrainConfig, console: Console) -> None:
    """Says in one line which experiment this is."""
    say(console, summary(config))


def summary(config: TrainConfig) -> str:
    """An experiment in a line: recipe, scale, peers, networks, length."""
    model, optim, cohort = config.model, config.optim, config.cohort
    before = (optim.pretrain_steps, optim.warm_discriminator)
    pretraining = "".join(f"{steps} + " for steps in before if steps)
    networks = networks_in_words(config)
    return (
        f"{config.recipe}: x{model.scale}, {counted(cohort.peers, 'peer')} ({cohort.variant}), "
        f"{networks}, {samples_in_words(config)}batch {config.images.batch}, "
        f"{pretraining}{counted(optim.steps, 'step')}"
    )


def outcome(rows: list[dict[str, Any]], console: Console) -> None:
    """Prints the scores of the last validation, if there was one."""
    row = next((row for row in reversed(rows) if row.get("kind") == "validation"), None)
    if row is None:
        return
    table = Table.grid(padding=(0, 3))
    table.add_column()
    for _ in range(2):
        table.add_column(justify="right")
    lr = row.get("low_resolution", "bicubic")
    low = "" if lr == "bicubic" else f", low resolution {lr}"
    table.add_row(f"validation at step {row['step']}{low}", "PSNR", "SSIM", style="bold")
    for name, scores in row["scores"].items():
        psnr = scores["psnr"]
        table.add_row(name, "equal" if psnr is None else f"{psnr:.2f} dB", f"{scores['ssim']:.4f}")
    console.print(table)


def next_commands(config: TrainConfig, folder: Path, console: Console) -> None:
    """The commands that follow training."""
    run = shlex.quote(str(folder))
    commands = [
        f"fastsr upscale {run} IMAGES",
        evaluation_command(config, folder),
        f"fastsr report {run}",
    ]
    if not config.images.data:
        commands.append("fastsr train --data FOLDER --val FOLDER --amp --compile")
    say(console, "next: " + "\n      ".join(commands))
