"""`fastsr info`: a run, a folder of runs, or a model's file in a few lines. Without torch."""

import json
import shlex
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastsr.checkpoints import BEST_NAME, list_checkpoints, read_best
from fastsr.console import counted, listed, say
from fastsr.errors import UserError
from fastsr.evaluation.results import Evaluation
from fastsr.facts import read_facts
from fastsr.report.folders import is_part, opened
from fastsr.report.runs import Run, collect
from fastsr.training.words import next_commands, summary

Facts = Mapping[str, str]
"""Facts, by their subject."""


def inform(path: Path, console: Console) -> None:
    """Prints what a path holds. Raises UserError where that is nothing of fastsr's, or damaged."""
    if path.is_file():
        show(file_facts(path), console)
        return
    if not path.exists():
        raise UserError(f"{path} does not exist; give a run, or a model's .safetensors file")
    if (path / "state.json").is_file():
        raise UserError(f"{path} is a checkpoint; give its run, {path.absolute().parents[1]}")
    inside = [] if is_part(path) else [collect(folder) for folder in opened(path)]
    part = collect(path) if is_part(path) else None
    if isinstance(part, Run):
        show_run(part, console)
    else:
        runs = part.runs if part else [one for one in inside if isinstance(one, Run)]
        console.print(runs_table(runs))


def show_run(run: Run, console: Console) -> None:
    show(run_facts(run), console)
    if done(run) < run.config.total_steps:
        say(console, f"next: fastsr train --resume {shlex.quote(str(run.folder))}")
    else:
        next_commands(run.config, run.folder, console)


def show(facts: Facts, console: Console) -> None:
    """Two columns, of which the second is broken where a terminal ends."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for about, text in facts.items():
        table.add_row(about, Text(text))
    console.print(table)


def run_facts(run: Run) -> Facts:
    """The facts of a run's folder."""
    page = run.folder / "report.html"
    facts = {
        "run": str(run.folder),
        "recipe": summary(run.config),
        "images": ", ".join(map(str, run.config.images.data)) or "sample photos",
        "steps": steps_text(run),
        "checkpoints": checkpoints_text(run),
        "best": best_text(run),
        "evaluation": evaluation_text(run.evaluation_folder, run.evaluation),
        "page": str(page) if page.is_file() else "none yet",
        "trained": session_text(run.environment),
    }
    return {about: text for about, text in facts.items() if text}


def done(run: Run) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    checkpoints = list_checkpoints(run.folder)
    return int(checkpoints[-1].name.removeprefix("step-")) if checkpoints else 0


def steps_text(run: Run) -> str:
    pretraining = run.config.optim.pretrain_steps
    stages = f" ({pretraining:,} of them pre-training)" if pretraining else ""
    rate = run.training[-1].steps_per_second if run.training else float("nan")
    speed = f", of late {rate:.3g} a second" if isfinite(rate) else ""
    return f"{done(run):,} of {run.config.total_steps:,}{stages} are saved{speed}"


def checkpoints_text(run: Run) -> str:
    """Names, oldest first, and the room that they take."""
    found = list_checkpoints(run.folder)
    if not found:
        return "none yet"
    size = sum(file.stat().st_size for folder in found for file in folder.iterdir())
    return f"{listed([folder.name for folder in found])}, {size / 1e6:,.0f} MB in all"


def best_text(run: Run) -> str:
    """The best checkpoint by validation, and bicubic beside it."""
    if not (run.folder / BEST_NAME).is_file():
        images = run.config.images
        expected = run.config.output.keep_best and (images.val or not images.data)
        waiting = expected and not run.validation
        return "none yet" if waiting else "not kept: no validation (--val), or --no-keep-best"
    best = read_best(run.folder)
    at = [row.scores for row in run.validation if row.step == best.step]
    bicubic = at[-1].get("bicubic", {}).get("psnr") if at else None
    beside = f", bicubic {bicubic:.2f} dB" if bicubic is not None else ""
    psnr = "equal images" if best.psnr is None else f"{best.psnr:.2f} dB"
    low = "" if best.low_resolution == "bicubic" else f" (low resolution {best.low_resolution})"
    return f"step {best.step:,}, peer {best.peer}: validation PSNR {psnr}{beside}{low}"


def evaluation_text(folder: Path, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "none yet"
    sets = [f"{one.name} ({counted(one.images, 'image')})" for one in evaluation.sets]
    step = f", at step {evaluation.step:,}" if evaluation.step is not None else ""
    return f"{folder}: {listed(sets)} by {' '.join(evaluation.metrics)}{step}"


def session_text(environment: Mapping[str, Any]) -> str:
    """The time and machine of the last training; empty where nobody has noted it."""
    if not environment:
        return ""
    gpus = [str(name) for name in environment.get("gpus") or ()]
    machine = listed(gpus) if gpus else str(environment.get("processor"))
    versions = [f"{name} {environment.get(name)}" for name in ("fastsr", "torch")]
    sessions = environment.get("sessions")
    again = f"; sessions: {sessions}" if sessions else ""
    moment = str(environment.get("time", "")).replace("T", " ").replace("+00:00", " UTC")
    return f"{moment} on {machine}, {listed(versions)}{again}"


def runs_table(runs: tuple[Run, ...] | list[Run]) -> Table:
    """One row a run."""
    table = Table("run", "recipe", box=None, padding=(0, 2, 0, 0))
    table.add_column("steps", justify="right")
    table.add_column("best PSNR", justify="right")
    for run in runs:
        config = run.config
        best = read_best(run.folder).psnr if (run.folder / BEST_NAME).is_file() else None
        table.add_row(
            Text(str(run.folder), overflow="fold"),
            f"{config.recipe} x{config.model.scale}, {config.cohort.variant}",
            f"{done(run):,} of {config.total_steps:,}",
            f"{best:.2f} dB" if best is not None else "",
        )
    return table


def file_facts(file: Path) -> Facts:
    """The facts in the header of a safetensors file."""
    known = read_facts(file)
    facts = {
        "file": f"{file}, {known.bytes / 1e6:,.2f} MB",
        "architecture": known.architecture or "none is stated, as in files of others",
        "scale": "" if known.scale is None else str(known.scale),
        "channels": "" if known.channels is None else str(known.channels),
        **{about: text for about, text in sorted(known.about.items()) if about != "training"},
        "training": training_text(known.about.get("training", "")),
        "weights": f"{known.parameters:,} parameters, {listed(known.dtypes) or 'none'}",
    }
    return {about: text for about, text in facts.items() if text}


def training_text(summary: str) -> str:
    """The summary of a training that a file holds, in words; as it is where it is none of ours."""
    try:
        about = json.loads(summary)
        return (
            f"step {about['step']:,} of {about['steps']:,}, peer {about['peer']} of {about['peers']} "
            f"({about['variant']}), recipe {about['recipe']}, content {about['content']}, seed {about['seed']}, "
            f"fastsr {about['fastsr']}"
        )
    except (ValueError, KeyError, TypeError):
        return summary
