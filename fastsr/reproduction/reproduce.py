"""`fastsr reproduce`: the paper's experiment. For each scale six peers on the same patches: Independent, ML, ML*.

Everything is a folder: a run for each scale and seed with its evaluation, the tables, one page. The same command
continues wherever it was stopped.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import torch
from rich.console import Console

from fastsr.config.check import check
from fastsr.config.settings import TrainConfig
from fastsr.console import say
from fastsr.errors import UserError
from fastsr.evaluation.evaluate import evaluate_models, is_perceptual, open_sets
from fastsr.evaluation.metrics import USUAL
from fastsr.evaluation.output import JSON_NAME
from fastsr.files import write_text
from fastsr.reproduction.comparison import table, verdict
from fastsr.reproduction.markdown import markdown
from fastsr.reproduction.paper import VARIANTS
from fastsr.reproduction.plan import (
    Plan,
    check_sets,
    describe,
    deviations,
    folder_of,
    print_plan,
    steps_done,
    with_validation,
)
from fastsr.system.device import choose_device
from fastsr.system.memory import out_of_memory
from fastsr.training.train import train

FORMAT = 1


def reproduce(plan: Plan, console: Console) -> None:
    """Trains what is not trained yet, evaluates what is not evaluated yet, and writes the tables.

    Raises UserError for everything that the user can mend, before training where that is possible.
    """
    if not plan.scales or not plan.seeds:
        raise UserError("--scales and --seeds need at least one number each")
    plan = with_validation(plan)
    for config in plan.runs():
        check(config)
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
