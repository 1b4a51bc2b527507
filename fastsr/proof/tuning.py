"""The fastest of settings that compute the same, found on the GPU at hand and kept in the cache."""

import copy
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from fastsr.cohort.capture import capture
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.compile import compile_cohort
from fastsr.config.peers import peer_models
from fastsr.config.settings import TrainConfig
from fastsr.models.tail import train_by_rows
from fastsr.proof.choice import NETWORKS, WITH_TEMPLATES, Search, Timed, Varied, Way
from fastsr.proof.known import Kept, combination
from fastsr.proof.prove import any_content, rehearsal
from fastsr.proof.trial import steps_per_second
from fastsr.system.backend import kernels
from fastsr.system.device import free_unused
from fastsr.system.precision import Precision

REPLAYS = 30
LIMIT = 90.0
"""Seconds, without the first trial, which compiles what training needs anyway."""


def default_way(config: TrainConfig) -> Way:
    """The settings as they are given."""
    machine = config.machine
    networks = NETWORKS[:-1] if config.loss.content == "pixel" else NETWORKS
    return Way(
        peer_streams=machine.peer_streams or config.cohort.peers,
        channels_last=machine.channels_last,
        compiled=networks if machine.compile else (),
        templates=given_templates(config),
        fused_norms=machine.fused,
    )


def given_templates(config: TrainConfig) -> tuple[str, ...]:
    """Networks whose templates --autotune has timed."""
    machine = config.machine
    names = WITH_TEMPLATES[:-1] if config.loss.content == "pixel" else WITH_TEMPLATES
    return names if machine.compile and machine.autotune else ()


def applied(config: TrainConfig, way: Way) -> TrainConfig:
    """The configuration that a cohort is built with."""
    machine = replace(
        config.machine, peer_streams=way.peer_streams, channels_last=way.channels_last
    )
    return replace(config, machine=machine)


def settle(cohort: Cohort, way: Way) -> None:
    """Has a cohort that was built compute in that way: blocks compiled, tails by rows, norms fused, or not."""
    for peer in cohort.peers:
        peer.fuse_norms(way.fused_norms and kernels(cohort.device) == "triton")
        train_by_rows(peer.generator, way.tail_by_rows)
    compile_cohort(cohort, way.compiled, way.templates)


def is_tuned(config: TrainConfig, device: torch.device) -> bool:
    """True where there is a choice: of compiled steps that a GPU replays."""
    machine = config.machine
    return machine.tune and machine.compile and machine.graph != "off" and device.type == "cuda"


def key_of(config: TrainConfig, device: torch.device, precision: Precision) -> Mapping[str, Any]:
    """All that the fastest way depends on."""
    machine, images = config.machine, config.images
    return {
        **combination(device),
        "models": [
            asdict(replace(model, init_generator=(), init_discriminator=()))
            for model in peer_models(config)
        ],
        "cohort": asdict(replace(config.cohort, peer=())),
        "loss": asdict(replace(config.loss, vgg=None)),
        "degrade": asdict(config.degrade),
        "patches": [images.batch, images.patch],
        "dtype": str(precision.dtype),
        "machine": [
            machine.fused,
            machine.autotune,
            machine.combine_kernels,
            machine.checkpoint_activations,
            machine.peer_streams,
            machine.channels_last,
        ],
    }


def known_way(config: TrainConfig, device: torch.device, precision: Precision) -> Way | None:
    """The way that was found for this recipe on this combination; None where none was."""
    kept = Kept.of(config.images.cache, "tuned", key_of(config, device, precision)).read()
    try:
        return Way.read(kept["way"])
    except (KeyError, TypeError, ValueError):
        return None


def fastest_way(
    config: TrainConfig,
    device: torch.device,
    precision: Precision,
    show: Callable[[Table], None],
) -> Way:
    """The fastest way that fits the settings: what the user has set stays. From the cache, where it was found before.

    Args:
        show: prints the table of what was tried.
    """
    if known := known_way(config, device, precision):
        return known
    way, rows = find_way(config, Measured(config, device, precision))
    show(table(rows, way))
    if way is None:
        return default_way(config)
    key = key_of(config, device, precision)
    tried = [{"way": asdict(row.way), "ms": row.milliseconds, "note": row.note} for row in rows]
    Kept.of(config.images.cache, "tuned", key).write({"way": asdict(way), "tried": tried}, key)
    return way


def find_way(
    config: TrainConfig,
    measure: Callable[[Way], float],
    now: Callable[[], float] = time.perf_counter,
) -> tuple[Way | None, list[Timed]]:
    """The fastest way, if any works, and all that were tried. Only what is left at its default is varied."""
    machine = config.machine
    models = peer_models(config)
    has_tail = any(model.generator == "srresnet" for model in models)
    has_norms = has_tail or any(model.discriminator != "unet" for model in models)
    varied = Varied(
        streams=tuple(range(1, config.cohort.peers + 1)) if machine.peer_streams == 0 else (),
        tails=(True,) if has_tail else (),
        norms=(False,) if has_norms and machine.fused else (),
        layouts=(False,) if machine.channels_last else (),
        templates=not machine.autotune,
    )
    search = Search(measure, now, LIMIT)
    return search.run(default_way(config), varied), search.rows


class Measured:
    """Milliseconds of a replayed step of a recipe, computed in some way, on images of noise."""

    def __init__(self, config: TrainConfig, device: torch.device, precision: Precision) -> None:
        self.config, self.device, self.precision = config, device, precision
        self.content = any_content(config)

    def __call__(self, way: Way) -> float:
        try:
            return self.time(way)
        finally:  # the next way needs the memory
            free_unused()

    def time(self, way: Way) -> float:
        config, content = applied(self.config, way), copy.deepcopy(self.content)
        trial = rehearsal(config, self.device, self.precision, content)
        settle(trial.cohort, way)
        with closing(capture(trial.body, trial.body.state())) as replay:
            return 1000 / steps_per_second(replay, self.device, REPLAYS)


def table(rows: list[Timed], chosen: Way | None) -> Table:
    """Every way that was tried, the chosen one marked."""
    result = Table(title="settings that compute the same, by time", title_justify="left", box=None)
    result.add_column("ms a step", justify="right", no_wrap=True)
    result.add_column("", overflow="fold")
    for row in rows:
        time = "-" if row.milliseconds is None else f"{row.milliseconds:.2f}"
        mark = "  <- chosen" if row.way == chosen else ""
        result.add_row(time, Text(f"{row.way}{mark}" + (f" ({row.note})" if row.note else "")))
    return result
