"""Times the step with one thing changed at a time: `python -m bench.variants [--scale 4] [--record]`.

On a GPU the paper's recipe, captured and not compiled; elsewhere a small one, whose times mean little. The step as it
is comes first and last: how far these two are apart is what the machine's own changes amount to.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional

from bench.ladder import Contestant, Rung, rungs, uncompiled
from bench.rows import append_row, circumstances
from bench.setups import paper_recipe, small_recipe
from bench.timing import synchronise
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.models import shuffle
from fastsr.models.tail import train_by_rows
from fastsr.system.device import choose_device, free_unused

ROUNDS, SECONDS = 4, 0.5
AS_IT_IS = "as it is"


def nothing(cohort: Cohort) -> None:
    """Changes nothing."""


@dataclass(frozen=True)
class Variant:
    """The step with one thing changed."""

    name: str
    rung: Rung
    change: Callable[[], AbstractContextManager[Any]] = nullcontext
    """In force while the step is built, and while it is captured or computed."""
    prepare: Callable[[Cohort], None] = nothing
    """Changes the cohort."""


def variants() -> list[Variant]:
    """All of them; they compute the same but for rounding, and order of sums."""
    base = uncompiled()
    return [
        Variant(AS_IT_IS, base),
        Variant("compiled", rungs()[-1]),
        Variant("peers one after the other", replace(base, streams=1)),
        Variant("channels first", replace(base, channels_last=False)),
        Variant("last convolution by rows", base, prepare=by_rows),
        Variant("batch norm by torch", base, prepare=unfused),
        Variant("batch norm in up to 128 chunks", base, change=more_chunks),
        Variant("pixel shuffle by torch", base, change=torchs_shuffle),
        Variant(AS_IT_IS, base),
    ]


def by_rows(cohort: Cohort) -> None:
    for peer in cohort.peers:
        train_by_rows(peer.generator, True)


def unfused(cohort: Cohort) -> None:
    for peer in cohort.peers:
        peer.fuse_norms(False)


def more_chunks() -> AbstractContextManager[Any]:
    if find_spec("triton") is None:
        return nullcontext()  # there are no kernels
    from fastsr_kernels.batch_norm import kernel

    return patch.object(kernel.tiling, "__defaults__", (kernel.TILE, 2 * kernel.CHUNKS))


def torchs_shuffle() -> AbstractContextManager[Any]:
    return patch.object(shuffle, "shuffled_last", functional.pixel_shuffle)


class Varied(Contestant):
    """A contestant whose cohort is changed before its step is built."""

    def __init__(self, variant: Variant, config: TrainConfig, device: torch.device) -> None:
        self.prepare = variant.prepare
        super().__init__(variant.rung, config, device)

    def cohort_body(self) -> Step:
        body = super().cohort_body()
        self.prepare(body.cohort)
        return body


def milliseconds(call: Callable[[], Any]) -> list[float]:
    """Of each round, for one of its calls, which are queued without waiting in between."""
    for _ in range(3):
        call()
    synchronise()
    began = time.perf_counter()
    call()
    synchronise()
    count = max(1, round(SECONDS / (time.perf_counter() - began)))
    found: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(count):
            call()
        synchronise()
        found.append(1e3 * (time.perf_counter() - began) / count)
    return found


def measured(
    chosen: Iterable[Variant], config: TrainConfig, device: torch.device
) -> Iterable[dict[str, Any]]:
    """A row for each variant, one after the other: their memory is freed in between."""
    for variant in chosen:
        with variant.change(), Varied(variant, config, device) as contestant:
            times = milliseconds(contestant)
        del contestant
        free_unused()
        yield {
            "recipe": config.recipe, "scale": config.model.scale, "peers": config.cohort.peers,
            "batch": config.images.batch, "variant": variant.name, "milliseconds": round(median(times), 3),
            "fastest": round(min(times), 3), "slowest": round(max(times), 3),
            "steps_per_second": round(1e3 / median(times), 2),
        }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(dict.fromkeys(one.name for one in variants()))
    parser.add_argument("--scale", type=int, choices=(2, 4), default=4)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--record", action="store_true", help="append rows to bench/results")
    options = parser.parse_args(arguments)
    device, about = choose_device("auto"), circumstances()
    recipe = paper_recipe() if device.type == "cuda" else small_recipe()
    config = replace(recipe, model=replace(recipe.model, scale=options.scale))
    chosen = [one for one in variants() if one.name in options.only]
    for row in measured(chosen, config, device):
        print(
            f"{row['milliseconds']:9.3f} ms ({row['fastest']:.3f} to {row['slowest']:.3f})  {row['variant']}",
            flush=True,
        )
        if options.record:
            append_row("variant", row, about)


if __name__ == "__main__":
    main()
