"""The plan of a reproduction: which runs, from which images, measured by what."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from fastsr.checkpoints import checkpoint_name
from fastsr.config.mixing import ML_STAR_TEMPERATURE, require
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.console import say
from fastsr.data.formats import PixelFormat, format_of
from fastsr.data.images import find_images
from fastsr.errors import UserError
from fastsr.evaluation.evaluate import open_metrics, open_sets
from fastsr.evaluation.metrics import MEASURES, PROTOCOLS, USUAL
from fastsr.evaluation.protocol import Protocol
from fastsr.evaluation.reading import check_images
from fastsr.evaluation.request import Request
from fastsr.evaluation.results import JSON_NAME, Evaluation
from fastsr.evaluation.test_sets import find_set
from fastsr.files import OtherFormatError, default_cache
from fastsr.reproduction.averaging import averaged_steps, earlier_folder, saved_by_steps
from fastsr.reproduction.controls import Control, with_controls
from fastsr.reproduction.paper import three_pairs
from fastsr.reproduction.seeds import LEVEL
from fastsr.training.run import Run

VALIDATION_IMAGES = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One reproduction: its runs, their images and test sets, and the folder for everything."""

    config: TrainConfig
    """Settings of every run but its scale, seed and folder."""
    scales: tuple[int, ...]
    seeds: tuple[int, ...]
    sets: tuple[str, ...]
    data_root: Path
    metrics: tuple[str, ...]
    """Empty: all that papers of this kind report."""
    perceptual_sets: tuple[str, ...]
    metric_weights: Path | None
    out: Path
    pi_images: int = 0
    """Images of each set that perceptual metrics are measured on; 0: all."""
    average_checkpoints: int = 1
    """Checkpoints, the last ones, that every score is averaged over."""
    level: float = LEVEL
    """Family-wise, of what several seeds decide."""

    def runs(self) -> Iterator[TrainConfig]:
        """The configuration of each run, in the order in which they are trained."""
        for seed in self.seeds:
            for scale in self.scales:
                config = self.config
                run = Run(self.out / f"x{scale}-seed{seed}")
                output = replace(config.output, out=run.folder, resume=run.latest() is not None)
                model, machine = (
                    replace(config.model, scale=scale),
                    replace(config.machine, seed=seed),
                )
                yield replace(config, model=model, machine=machine, output=output)

    @property
    def form(self) -> PixelFormat:
        """Channels and bits of all images."""
        return format_of(self.config)

    def request(self, config: TrainConfig, step: int | None = None) -> Request:
        """The evaluation of a run, or of an earlier checkpoint of it."""
        run = Run(folder_of(config))
        earlier = step not in (None, config.total_steps)
        return Request(
            models=(run.checkpoints / checkpoint_name(step) if step and earlier else run.folder,), sets=self.sets,
            data_root=self.data_root, metrics=self.metrics, perceptual_sets=self.perceptual_sets, weights=("ema",),
            out=earlier_folder(run.folder, step) if step and earlier else run.folder / "evaluation",
            perceptual_images=self.pi_images, metric_weights=self.metric_weights,
            cache=config.images.cache or default_cache(), overwrite=True, pictures=0 if earlier else 2,
            border=config.images.border,
        )  # fmt: skip


def plan_reproduction(
    config: TrainConfig,
    *,
    scales: tuple[int, ...],
    seeds: tuple[int, ...],
    sets: tuple[str, ...],
    data_root: Path,
    metrics: tuple[str, ...],
    perceptual_sets: tuple[str, ...],
    metric_weights: Path | None,
    pi_images: int = 0,
    average_checkpoints: int = 1,
    controls: tuple[Control, ...] = (),
    level: float = LEVEL,
) -> Plan:
    """The paper's experiment with the settings of `config`: its six peers, and DIV2K where no images are named.

    Raises UserError where there are no images, more than one temperature is given, or peers have settings of their own.
    """
    data = config.images.data or (data_root / "DIV2K" / "DIV2K_train_HR",)
    if not config.images.data and not data[0].is_dir():
        raise UserError(
            f"--data names no training images, and {data[0]} does not exist: fastsr data fetch div2k"
        )
    cohort = with_controls(papers_cohort(config.cohort), controls)
    require(pi_images >= 0, "pi_images", pi_images, "use 0, for all, or more")
    require(average_checkpoints >= 1, "average_checkpoints", average_checkpoints, "use 1 or more")
    output = replace(config.output, keep=max(config.output.keep, average_checkpoints))
    output = saved_by_steps(output) if average_checkpoints > 1 else output
    averaged_steps(config, average_checkpoints)
    return Plan(
        config=replace(
            config,
            cohort=cohort,
            images=replace(config.images, data=data),
            output=output,
        ),
        scales=scales,
        seeds=seeds,
        sets=sets,
        data_root=data_root,
        metrics=metrics,
        perceptual_sets=perceptual_sets,
        pi_images=pi_images,
        average_checkpoints=average_checkpoints,
        metric_weights=metric_weights,
        level=level,
        out=config.output.out or Path("reproduction"),
    )


def papers_cohort(chosen: CohortConfig) -> CohortConfig:
    """The paper's six peers, by what is chosen of their losses. Raises UserError for what would make them unlike."""
    if chosen.peer:
        raise UserError(
            "[[cohort.peer]] makes peers unlike each other, and reproduce compares peers that differ by their "
            "teachers alone; leave its tables out of --config"
        )
    if len(chosen.temperature) > 1:
        raise UserError("--temperature is that of the ML* pair here; give one number")
    return replace(
        three_pairs(chosen.temperature[0] if chosen.temperature else ML_STAR_TEMPERATURE),
        kl_weight=chosen.kl_weight,
        kl=chosen.kl,
        distillation_scale=chosen.distillation_scale,
        exchange=chosen.exchange,
    )


def folder_of(config: TrainConfig) -> Path:
    assert config.output.out is not None
    return config.output.out


def with_validation(plan: Plan) -> Plan:
    """The plan with the first test set for validation along the way, where it is small and no other is wanted."""
    if plan.config.images.val or not plan.sets:
        return plan
    first, suffixes = plan.sets[0], plan.form.suffixes
    images = find_set(first, plan.data_root, plan.scales[0], suffixes=suffixes).images
    files = tuple(files.hr for files in images) if len(images) <= VALIDATION_IMAGES else ()
    return replace(plan, config=replace(plan.config, images=replace(plan.config.images, val=files)))


def check_sets(plan: Plan, device: torch.device, console: Console) -> tuple[str, ...]:
    """Finds fault with test sets and metrics before hours are spent. Returns the metrics that can be measured.

    Raises UserError.
    """
    form = plan.form
    find_images(plan.config.images.data, suffixes=form.suffixes)
    request = plan.request(next(plan.runs()))
    perceptual, missing = open_metrics(request, plan.scales[0], device, form.channels)
    for name, reason in missing.items():
        say(console, f"{MEASURES[name].name} will be left out: {reason}")
    own = [name for name in USUAL if name not in PROTOCOLS and name in (plan.metrics or USUAL)]
    metrics = (*own, *perceptual.names)
    for scale in plan.scales:
        protocol = Protocol(scale=scale, metrics=metrics, border=request.border, form=form)
        check_images(open_sets(request, scale, form), protocol)
    return metrics


def steps_done(folder: Path) -> int:
    """Steps of the latest checkpoint of a run; of its evaluation where a record of the run is all that was kept."""
    latest, evaluation = Run(folder).latest(), folder / "evaluation" / JSON_NAME
    if latest:
        return int(latest.name.removeprefix("step-"))
    if evaluation.is_file():
        with suppress(OtherFormatError):
            return Evaluation.read(evaluation).step or 0
    return 0


def describe(plan: Plan) -> dict[str, Any]:
    """The settings of a reproduction that its tables name."""
    config = plan.config
    return {
        "scales": list(plan.scales),
        "seeds": list(plan.seeds),
        "level": plan.level,
        "checkpoints": plan.average_checkpoints,
        "steps": config.optim.steps,
        "pretrain_steps": config.optim.pretrain_steps,
        "data": ", ".join(map(str, config.images.data)),
        "networks": f"{config.model.blocks} blocks, {config.model.filters} filters",
        "patches": f"{config.images.batch} of {config.images.patch} pixels",
        "content": config.loss.content,
    }
