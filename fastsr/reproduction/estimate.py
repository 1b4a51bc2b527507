"""Time that a reproduction will take: its training, and its evaluation, which can take longer."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from fastsr.config.settings import TrainConfig
from fastsr.console import counted, say
from fastsr.data.formats import ARRAY, read_array
from fastsr.data.images import open_image
from fastsr.evaluation.evaluate import open_sets
from fastsr.evaluation.request import is_perceptual
from fastsr.evaluation.results import evenly_spaced
from fastsr.prediction.duration import duration, seconds_per_step, training_speed, work_of_steps
from fastsr.prediction.memory import Prediction, predict_memory
from fastsr.reproduction.averaging import averaged_steps
from fastsr.reproduction.evaluated import is_evaluated
from fastsr.reproduction.plan import Plan, folder_of, steps_done
from fastsr.system.memory import gigabytes
from fastsr.system.precision import choose_precision
from fastsr.training.run import Run

SECONDS_A_MEGAPIXEL = {"psnr": 0.06, "ssim": 0.06, "niqe": 0.8, "pi": 76.0}
"""CPU seconds of a metric: as measured on one thread; of PI those of Ma's score, 5 for 256x256 pixels."""


class Outlook:
    """The time that is left, by an estimate for each run, corrected by what runs took.

    Args:
        seconds: estimates by name of run; 0 for what is done.
    """

    def __init__(self, seconds: dict[str, float]) -> None:
        self.waiting, self.runs = dict(seconds), len(seconds)
        self.estimated = self.taken = 0.0

    def after(self, run: str, seconds: float) -> str:
        """A sentence, once a run is done that took so long."""
        self.estimated += self.waiting.pop(run)
        self.taken += seconds
        off = self.taken / self.estimated if self.estimated else 1.0
        done = f"{self.runs - len(self.waiting)} of {counted(self.runs, 'run')} done"
        left = sum(self.waiting.values())
        return f"{done}; about {duration(off * left)} left" if left else done


def print_plan(
    plan: Plan, metrics: Sequence[str], device: torch.device, console: Console
) -> Outlook:
    """Prints the runs to do, with the time and the memory that they take."""
    shown = Table(title="plan", title_justify="left")
    for name in ("run", "steps", "done", "memory", "training", "evaluation"):
        shown.add_column(name, justify="left" if name == "run" else "right")
    precision = choose_precision(plan.config.machine.amp, device)
    predictions: dict[int, Prediction] = {}
    trainings: dict[str, float] = {}
    evaluations: dict[str, float] = {}
    for config in plan.runs():
        scale, name = config.model.scale, folder_of(config).name
        if scale not in predictions:
            predictions[scale] = predict_memory(config, precision, on_gpu=device.type == "cuda")
        done = steps_done(folder_of(config))
        left = (config.total_steps - done) * training_seconds(config, predictions[scale], device)
        trainings[name] = left
        evaluations[name] = evaluation_seconds(plan, config, metrics, device)
        shown.add_row(
            name,
            f"{config.total_steps:,}",
            f"{done:,}",
            gigabytes(predictions[scale].peak),
            *(duration(x) if x else "–" for x in (left, evaluations[name])),
        )
    console.print(shown)
    say(console, summary(plan, sum(trainings.values()), sum(evaluations.values())))
    return Outlook({name: trainings[name] + evaluations[name] for name in trainings})


def summary(plan: Plan, training: float, evaluation: float) -> str:
    """The plan in a sentence; times in seconds."""
    pairs = plan.config.cohort.peers // 2 - 3
    cohort = "six peers each: an Independent, an ML and an ML* pair"
    beside = f", and beside them {counted(pairs, 'control pair')}" if pairs else ""
    images = counted(plan.pi_images, "image")
    some = f", NIQE and PI on {images} of each" if plan.pi_images else ""
    sets = f"{', '.join(plan.sets)}{some}"
    if not training and not evaluation:
        return f"{cohort}{beside}; everything is trained and evaluated on {sets}"
    parts = [f"{duration(training)} of training"] if training else []
    parts += [f"{duration(evaluation)} of evaluation on {sets}"] if evaluation else []
    return f"{cohort}{beside}; about {', and '.join(parts)}"


def training_seconds(config: TrainConfig, prediction: Prediction, device: torch.device) -> float:
    """Of one step, as measured where the run has begun, else as estimated."""
    rates: list[float] = []
    for row in Run(folder_of(config)).read_metrics():
        with suppress(KeyError, TypeError, ValueError):
            if row["kind"] == "train" and row["stage"] == "training":
                rates.append(float(row["wall"]["steps_per_second"]))
    last = sum(rates[-20:])
    return len(rates[-20:]) / last if last > 0 else seconds_per_step(config, prediction, device)


def evaluation_seconds(
    plan: Plan, config: TrainConfig, metrics: Sequence[str], device: torch.device
) -> float:
    """Of one run's peers at the checkpoints that are not evaluated yet, roughly; bicubic, measured once for all runs,
    is left out."""
    steps = averaged_steps(config, plan.average_checkpoints)
    left = sum(not is_evaluated(plan, config, step, metrics) for step in steps)
    return left * seconds_per_checkpoint(plan, config, metrics, device) if left else 0.0


def seconds_per_checkpoint(
    plan: Plan, config: TrainConfig, metrics: Sequence[str], device: torch.device
) -> float:
    """Of evaluating all peers of a run at one checkpoint."""
    request = plan.request(config)
    flop = flop_per_pixel(config) / training_speed(config, device)
    seconds = 0.0
    for images in open_sets(request, config.model.scale, plan.form):
        pixels = [area(files.hr) for files in images.images]
        chosen = evenly_spaced(len(pixels), request.perceptual_images)
        looked_at = sum(pixels[k] for k in chosen) if is_perceptual(request, images.name) else 0
        for metric in metrics:
            size = looked_at if metric in ("niqe", "pi") else sum(pixels)
            seconds += SECONDS_A_MEGAPIXEL.get(metric, 0.0) * size / 1e6 * config.cohort.peers
        seconds += flop * sum(pixels)
    return seconds


def area(file: Path) -> int:
    """Pixels of an image, by its header. Raises UserError where it cannot be read."""
    if file.suffix.lower() == ARRAY:
        height, width, _ = read_array(file).shape
        return height * width
    with open_image(file, stacks=True) as image:
        return image.width * image.height


def flop_per_pixel(config: TrainConfig) -> float:
    """Of all generators, going forward, for each high-resolution pixel."""
    images = config.images
    return work_of_steps(config).generating / (images.batch * images.patch**2)
