"""`fastsr reproduce`: the paper's experiment. For each scale six peers on the same patches: Independent, ML, ML*.

Everything is a folder: a run for each scale and seed with its evaluation, the tables, one page. The same command
continues wherever it was stopped.
"""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from fastsr.comparison import table, verdict
from fastsr.config import TrainConfig
from fastsr.environment import out_of_memory
from fastsr.errors import UserError
from fastsr.estimate import duration, seconds_per_step
from fastsr.files import write_text
from fastsr.images import find_images
from fastsr.measures import MEASURES, USUAL
from fastsr.memory import GIB, Prediction, predict_memory
from fastsr.paper import VARIANTS
from fastsr.precision import choose_device, choose_precision
from fastsr.report import write_report
from fastsr.run import Run
from fastsr.scoreboard import Protocol, check_images
from fastsr.scores import JSON_NAME, Request, evaluate_models, is_perceptual, open_metrics, open_sets
from fastsr.tables import deviations, markdown
from fastsr.telemetry import say
from fastsr.testsets import find_set
from fastsr.train import train

FORMAT = 1
VALIDATION_IMAGES = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be reproduced, from which images, and where it goes."""

    config: TrainConfig
    """Settings of every run but its scale, seed and folder."""
    scales: tuple[int, ...]
    seeds: tuple[int, ...]
    sets: tuple[str, ...]
    data_root: Path
    metrics: tuple[str, ...]
    """None: all that papers of this kind report."""
    perceptual_sets: tuple[str, ...]
    metric_weights: Path | None
    out: Path

    def runs(self) -> Iterator[TrainConfig]:
        """The configuration of each run, in the order in which they are trained."""
        for seed in self.seeds:
            for scale in self.scales:
                config = self.config
                run = Run(self.out / f"x{scale}-seed{seed}")
                output = replace(config.output, out=run.folder, resume=run.latest() is not None)
                model, machine = replace(config.model, scale=scale), replace(config.machine, seed=seed)
                yield replace(config, model=model, machine=machine, output=output)

    def request(self, config: TrainConfig) -> Request:
        """How a run is evaluated."""
        folder = folder_of(config)
        return Request(
            models=(folder,), sets=self.sets, data_root=self.data_root, out=folder / "evaluation", weights=("ema",),
            metrics=self.metrics, perceptual_sets=self.perceptual_sets, metric_weights=self.metric_weights,
        )  # fmt: skip


def folder_of(config: TrainConfig) -> Path:
    assert config.output.out is not None
    return config.output.out


def reproduce(plan: Plan, console: Console) -> Path:
    """Trains what is not trained yet, evaluates what is not evaluated yet, and writes tables and a page.

    Returns the page. Raises UserError for everything that the user can mend, before training where that is possible.
    """
    if not plan.scales or not plan.seeds:
        raise UserError("--scales and --seeds need at least one number each")
    plan = with_validation(plan)
    for config in plan.runs():
        config.check()
    device = choose_device(plan.config.machine.device)
    metrics = check_sets(plan, device, console)
    print_plan(plan, device, console)
    tables: list[dict[str, Any]] = []
    try:
        for config in plan.runs():
            train_run(config, console)
            evaluate_run(plan, config, metrics, device, console)
            tables = write_tables(plan)
    except KeyboardInterrupt:
        say(console, f"everything goes on with: {shlex.join(['fastsr', *sys.argv[1:]])}")
        raise
    for one in tables:
        for variant in VARIANTS[1:]:
            say(console, verdict(one, variant))
    page = write_report((plan.out,), plan.out / "report.html")
    say(console, f"tables: {plan.out / 'tables.md'}; page: {page}")
    return page


def with_validation(plan: Plan) -> Plan:
    """The plan with the first test set for validation along the way, where it is small and no other is wanted."""
    if plan.config.images.val or not plan.sets:
        return plan
    images = find_set(plan.sets[0], plan.data_root, plan.scales[0]).images
    files = tuple(files.hr for files in images) if len(images) <= VALIDATION_IMAGES else ()
    return replace(plan, config=replace(plan.config, images=replace(plan.config.images, val=files)))


def check_sets(plan: Plan, device: torch.device, console: Console) -> tuple[str, ...]:
    """Finds fault with test sets and metrics before hours are spent. Returns the metrics that can be measured.

    Raises UserError.
    """
    find_images(plan.config.images.data)
    request = plan.request(next(plan.runs()))
    perceptual, missing = open_metrics(request, plan.scales[0], device)
    for name, reason in missing.items():
        say(console, f"{MEASURES[name].name} will be left out: {reason}")
    own = [name for name in ("psnr", "psnr_rgb", "ssim") if name in (plan.metrics or USUAL)]
    metrics = (*own, *perceptual.names)
    for scale in plan.scales:
        check_images(open_sets(request, scale), Protocol(scale=scale, metrics=metrics))
    return metrics


def print_plan(plan: Plan, device: torch.device, console: Console) -> None:
    """What will be done, how long that takes, and how much memory."""
    shown = Table(title="plan", title_justify="left")
    for name in ("run", "steps", "done", "memory", "time left"):
        shown.add_column(name, justify="left" if name == "run" else "right")
    precision, total = choose_precision(plan.config.machine.amp, device), 0.0
    predictions: dict[int, Prediction] = {}
    for config in plan.runs():
        scale = config.model.scale
        if scale not in predictions:
            predictions[scale] = predict_memory(config, precision, on_gpu=device.type == "cuda")
        done = steps_done(folder_of(config))
        left = (config.total_steps - done) * seconds_a_step(config, predictions[scale], device)
        total += left
        memory = f"{predictions[scale].peak / GIB:.1f} GB"
        shown.add_row(folder_of(config).name, f"{config.total_steps:,}", f"{done:,}", memory, duration(left))
    console.print(shown)
    cohort = "six peers each: an Independent, an ML and an ML* pair"
    say(console, f"{cohort}; about {duration(total)} of training in all, then evaluation on {', '.join(plan.sets)}")


def seconds_a_step(config: TrainConfig, prediction: Prediction, device: torch.device) -> float:
    """As measured where the run has begun, else as estimated."""
    rows = [row for row in Run(folder_of(config)).read_metrics() if row["kind"] == "train"]
    rates = [row["wall"]["steps_per_second"] for row in rows if row["stage"] == "training"][-20:]
    return len(rates) / sum(rates) if rates else seconds_per_step(config, prediction, device)


def steps_done(folder: Path) -> int:
    """Steps of the latest checkpoint of a run; 0 where there is none."""
    latest = Run(folder).latest()
    return int(latest.name.removeprefix("step-")) if latest else 0


def train_run(config: TrainConfig, console: Console) -> None:
    folder = folder_of(config)
    if steps_done(folder) == config.total_steps:
        say(console, f"{folder.name} is trained")
        return
    say(console, f"training {folder.name}")
    train(config, console)


def evaluate_run(
    plan: Plan, config: TrainConfig, metrics: Sequence[str], device: torch.device, console: Console
) -> None:
    """Evaluates a trained run, unless that has been done on the same sets, by the same metrics or more."""
    done = read_evaluation(config)
    request = plan.request(config)
    sets = {images.name: is_perceptual(request, images.name) for images in open_sets(request, config.model.scale)}
    if done and covers(done, sets, metrics):
        say(console, f"{folder_of(config).name} is evaluated")
        return
    with out_of_memory(lambda: "what is trained is kept; run again with --device cpu to evaluate it"):
        evaluate_models(request, device, console)


def covers(done: dict[str, Any], sets: dict[str, bool], metrics: Sequence[str]) -> bool:
    """Whether an evaluation has those metrics on those sets, and perceptual ones on each where that is wanted."""
    measured = {name: facts.get("perceptual", True) for name, facts in done["sets"].items()}
    enough = all(measured[name] >= wanted for name, wanted in sets.items()) if list(measured) == list(sets) else False
    return enough and set(metrics) <= set(done["metrics"])


def read_evaluation(config: TrainConfig) -> dict[str, Any] | None:
    """What was measured of a finished run; None where there is nothing. Raises UserError where the file is damaged."""
    file = folder_of(config) / "evaluation" / JSON_NAME
    if not file.is_file():
        return None
    try:
        evaluation = json.loads(file.read_text(encoding="utf-8"))
        return evaluation if (evaluation["format"], evaluation["step"]) == (FORMAT, config.total_steps) else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}); delete its folder to evaluate again") from None


def write_tables(plan: Plan) -> list[dict[str, Any]]:
    """Writes tables.json and tables.md of all that is evaluated so far. Returns the tables."""
    tables: list[dict[str, Any]] = []
    names: list[str] = []
    for scale in plan.scales:
        runs = [config for config in plan.runs() if config.model.scale == scale]
        found = {folder_of(config).name: read_evaluation(config) for config in runs}
        evaluations = [evaluation for evaluation in found.values() if evaluation]
        names += [name for name, evaluation in found.items() if evaluation]
        shared = [m for m in USUAL if evaluations and all(m in e["metrics"] for e in evaluations)]
        tables += [table(evaluations, metric) for metric in shared]
    missing = [name for name in USUAL if name not in {one["metric"] for one in tables}]
    notes = deviations(plan.config, missing)
    facts = {"format": FORMAT, "plan": describe(plan), "tables": tables, "notes": notes, "runs": names}
    try:
        write_text(plan.out / "tables.json", json.dumps(facts, indent=1, allow_nan=False) + "\n")
        write_text(plan.out / "tables.md", "\n".join(markdown(facts)) + "\n")
    except OSError as error:
        raise UserError(f"{plan.out} cannot be written ({error.strerror}); free space, then run again") from error
    return tables


def describe(plan: Plan) -> dict[str, Any]:
    config = plan.config
    return {
        "scales": list(plan.scales),
        "seeds": list(plan.seeds),
        "steps": config.optim.steps,
        "pretrain_steps": config.optim.pretrain_steps,
        "data": ", ".join(map(str, config.images.data)),
        "networks": f"{config.model.blocks} blocks, {config.model.filters} filters",
        "patches": f"{config.images.batch} of {config.images.patch} pixels",
        "content": config.loss.content,
    }
