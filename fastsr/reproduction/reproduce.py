"""`fastsr reproduce`: the paper's experiment. For each scale six peers on the same patches: Independent, ML, ML*.

Everything is a folder: a run for each scale and seed with its evaluation, the tables, one page. The same command
continues wherever it was stopped.
"""

import json
import shlex
import sys
import time
from collections.abc import Sequence

import torch
from rich.console import Console

from fastsr.config.check import check
from fastsr.config.mixing import require, variants
from fastsr.config.settings import TrainConfig
from fastsr.console import say
from fastsr.data.duplicates import Known
from fastsr.errors import UserError
from fastsr.evaluation.evaluate import evaluate_models, open_sets
from fastsr.evaluation.metrics import MEASURES, USUAL
from fastsr.evaluation.pairs import load_pair
from fastsr.evaluation.results import Evaluation
from fastsr.files import write_text
from fastsr.prediction.size import check_size
from fastsr.reproduction.averaging import averaged, averaged_steps
from fastsr.reproduction.comparison import table, verdict
from fastsr.reproduction.deviations import deviations
from fastsr.reproduction.estimate import print_plan
from fastsr.reproduction.evaluated import covers, is_evaluated, read_evaluation, wanted_sets
from fastsr.reproduction.markdown import markdown
from fastsr.reproduction.mechanism import Mechanism, mechanism, seed_values
from fastsr.reproduction.paper import TAUGHT
from fastsr.reproduction.plan import (
    Plan,
    check_sets,
    describe,
    folder_of,
    steps_done,
    with_validation,
)
from fastsr.reproduction.results import JSON_NAME, Table, Tables
from fastsr.reproduction.seeds import decided, with_contrasts
from fastsr.system.device import choose_device, keep_freed_memory
from fastsr.system.memory import out_of_memory
from fastsr.training.run import Run
from fastsr.training.sources import open_images, warn_of_shared
from fastsr.training.train import train


def reproduce(plan: Plan, console: Console, tables_only: bool = False) -> None:
    """Trains what is not trained yet, evaluates what is not evaluated yet, and writes the tables.

    Args:
        tables_only: the tables of what is evaluated already.
    Raises UserError for everything that the user can mend, before training where that is possible.
    """
    check_numbers(plan)
    tables = evaluated_tables(plan) if tables_only else train_and_evaluate(plan, console)
    for one in tables:
        for variant in TAUGHT:
            say(console, str(verdict(one, variant)))


def check_numbers(plan: Plan) -> None:
    """Raises UserError where scales, seeds or the level cannot be used."""
    if not plan.scales or not plan.seeds:
        raise UserError("--scales and --seeds need at least one number each")
    for option, numbers in (("--scales", plan.scales), ("--seeds", plan.seeds)):
        if len(set(numbers)) < len(numbers):
            given = " ".join(map(str, numbers))
            raise UserError(f"{option} {given} names a run twice; give each number once")
    require(0 < plan.level < 1, "level", plan.level, "use a number between 0 and 1, such as 0.05")


def evaluated_tables(plan: Plan) -> tuple[Table, ...]:
    """Writes the tables of what is evaluated, and returns them. Raises UserError where nothing is."""
    if not any(read_average(plan, config) for config in plan.runs()):
        raise UserError(
            f"nothing in {plan.out} is evaluated with these settings; run again without --tables-only"
        )
    return write_tables(plan)


def train_and_evaluate(plan: Plan, console: Console) -> tuple[Table, ...]:
    """Trains and evaluates what is missing. Returns the tables, which are written after each run.

    Raises UserError, as `reproduce` does.
    """
    device = choose_device(plan.config.machine.device)
    if device.type == "cpu":
        keep_freed_memory()
    for config in plan.runs():
        check_size(check(config), device)
    plan = with_validation(plan)
    metrics = check_sets(plan, device, console)
    outlook = print_plan(plan, metrics, device, console)
    if any(steps_done(folder_of(config)) < config.total_steps for config in plan.runs()):
        warn_of_trained_sets(plan, console)
    tables: tuple[Table, ...] = ()
    try:
        for config in plan.runs():
            began = time.perf_counter()
            train_run(config, console)
            for step in averaged_steps(config, plan.average_checkpoints):
                evaluate_run(plan, config, step, metrics, device, console)
            tables = write_tables(plan)
            seconds = time.perf_counter() - began
            say(console, outlook.after(folder_of(config).name, seconds))
    except KeyboardInterrupt:
        say(console, f"everything goes on with: {shlex.join(['fastsr', *sys.argv[1:]])}")
        raise
    return tables


def warn_of_trained_sets(plan: Plan, console: Console) -> None:
    """Says which test sets are trained on, by their pixels."""
    known, config = Known(open_images(plan.config, console)), next(plan.runs())
    scale = config.model.scale
    for images in open_sets(plan.request(config), scale, plan.form):
        pairs = (load_pair(files.hr, scale, form=plan.form) for files in images.images)
        warn_of_shared(known, pairs, f"the test set {images.name}", scale, console)


def train_run(config: TrainConfig, console: Console) -> None:
    folder = folder_of(config)
    if steps_done(folder) == config.total_steps:
        say(console, f"{folder.name} is trained")
        return
    say(console, f"training {folder.name}")
    train(config, console)


def evaluate_run(
    plan: Plan,
    config: TrainConfig,
    step: int,
    metrics: Sequence[str],
    device: torch.device,
    console: Console,
) -> None:
    """Evaluates a checkpoint of a run, unless that has been done on the same sets, by the same metrics or more."""
    request = plan.request(config, step)
    name = folder_of(config).name + ("" if step == config.total_steps else f" at step {step:,}")
    if is_evaluated(plan, config, step, metrics):
        say(console, f"{name} is evaluated")
        return
    remedy = "with --device cpu" if device.type != "cpu" else "where more memory is free,"
    with out_of_memory(lambda: f"what is trained is kept; run again {remedy} to evaluate it"):
        evaluate_models(request, device, console)


def read_average(plan: Plan, config: TrainConfig) -> Evaluation | None:
    """A run's evaluation, averaged over as many checkpoints as are wanted; None until all are evaluated on the plan's
    sets: those of an earlier call may be on others."""
    steps, sets = averaged_steps(config, plan.average_checkpoints), wanted_sets(plan, config)
    found = [read_evaluation(config, step) for step in steps]
    known = [one for one in found if one and covers(one, sets)]
    return averaged(known) if len(known) == len(steps) else None


def write_tables(plan: Plan) -> tuple[Table, ...]:
    """Writes tables.json and tables.md of all that is evaluated so far. Returns the tables."""
    results = collect_tables(plan)
    try:
        write_text(
            plan.out / JSON_NAME, json.dumps(results.to_json(), indent=1, allow_nan=False) + "\n"
        )
        write_text(plan.out / "tables.md", "\n".join(markdown(results)) + "\n")
    except OSError as error:
        raise UserError(
            f"{plan.out} cannot be written ({error.strerror}); free space, then run again"
        ) from error
    return results.tables


def collect_tables(plan: Plan) -> Tables:
    """The tables of all that is evaluated so far: of each scale, the metrics that all its evaluations share."""
    tables: list[Table] = []
    names: list[str] = []
    mechanisms: list[Mechanism] = []
    for scale in plan.scales:
        runs = [config for config in plan.runs() if config.model.scale == scale]
        found = {folder_of(config).name: read_average(plan, config) for config in runs}
        evaluations = {name: evaluation for name, evaluation in found.items() if evaluation}
        names += evaluations
        values = [
            seed_values(Run(folder_of(config)).read_metrics(), variants(config.cohort))
            for config in runs
            if folder_of(config).name in evaluations
        ]
        adversarial = plan.config.loss.adversarial
        mechanisms += [mechanism(scale, values, adversarial)] if values else []
        shared = [
            m for m in MEASURES if evaluations and all(m in e.metrics for e in evaluations.values())
        ]
        tables += [
            with_contrasts(table([*evaluations.values()], metric), evaluations) for metric in shared
        ]
    missing = [name for name in USUAL if name not in {one.metric for one in tables}]
    notes = [*measuring_notes(plan), *deviations(plan.config, missing)]
    return Tables(
        tables=decided(tables, plan.level),
        mechanisms=tuple(mechanisms),
        plan=describe(plan),
        notes=tuple(notes),
        runs=tuple(names),
    )


def measuring_notes(plan: Plan) -> list[str]:
    """Sentences on how much was measured, where that is not the usual."""
    notes = list[str]()
    if plan.average_checkpoints > 1:
        notes.append(
            f"every score is the mean over the last {plan.average_checkpoints} checkpoints"
        )
    if plan.pi_images:
        notes.append(
            f"NIQE and PI are measured on {plan.pi_images} images of each set, evenly spaced"
        )
    return notes
