"""Counts the work of blind degradations, ours beside BasicSR's: `python -m bench.blind --batch 12 --side 400`.

Nothing is computed of ours: launches and the bytes that each reads and writes follow from its tensors. BasicSR's own
`RealESRGANModel.feed_data`, where BasicSR is installed, runs on the CPU and is watched operation by operation, on
smaller pictures (--basicsr-side): the number of its operations depends on what is drawn, hardly on sizes.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import mean
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from fastsr_kernels.degrade import pack, reference
from fastsr_kernels.degrade.kernel import Plan
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from bench.basicsr import import_basicsr
from bench.degrade_work import PROCESSORS, Model, Processor, bytes_of
from bench.roofline import CARDS, Count, predict
from bench.rows import append_row, circumstances
from bench.step_nodes import count_nodes
from bench.timing import Seconds, median_cpu, timed
from bench.traffic import fuse, step_operations
from fastsr.config.check import check
from fastsr.config.degrade import DegradeConfig
from fastsr.config.presets import real_esrgan
from fastsr.config.recipes import real_esrgan as real_esrgan_recipe
from fastsr.config.settings import TrainConfig
from fastsr.data.degrade import degradation

HOST_READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero")
VIEWS = (
    "view", "expand", "slice", "select", "permute", "transpose", "squeeze", "alias", "detach", "t.default",
    "as_strided", "unbind", "split",
)  # fmt: skip


def plan_of(batch: int, side: int) -> Plan:
    """Launches of a step with the published numbers, on tensors without contents."""
    settings = degradation(real_esrgan(), 4)
    hr = torch.empty(batch, 3, side, side, device="meta")
    numbers_F = pack(settings, "meta")
    step = torch.empty((), dtype=torch.int64, device="meta")
    return Plan(hr, settings.frame, numbers_F, 0, step)


class Share(NamedTuple):
    """The degradations of a step on one GPU."""

    microseconds: float
    limiters: dict[str, float]
    """Share of them in launches that each limit holds up."""
    kernels: dict[str, float]
    """Share by kernel."""
    of_step: tuple[float, float]
    """Share of the training step that follows: at a share of the matrix peak that is a target, and at all of it."""


def share_on(gpu: Processor, side: int, batch: int, step: Count) -> Share:
    """Prediction for a GPU, every launch after the other, none beside the training."""
    plan = plan_of(batch, side)
    model = Model(plan, degradation(real_esrgan(), 4))
    limited = [
        (launch.kernel.fn.__name__.removesuffix("_kernel"), model.limited(launch, gpu))
        for launch in plan.launches
    ]
    total = sum(one.seconds for _, one in limited)
    by_limiter, by_kernel = defaultdict[str, float](float), defaultdict[str, float](float)
    for name, one in limited:
        by_limiter[one.limiter] += one.seconds / total
        by_kernel[name] += one.seconds / total
    rates = predict(step, next(card for card in CARDS if card.name == gpu.name))
    own = tuple(total / (total + 1 / rate) for rate in (rates.worst, rates.best))
    return Share(total * 1e6, dict(by_limiter), dict(by_kernel), (own[0], own[1]))


def compact_step(batch: int) -> tuple[TrainConfig, Count]:
    """The step that trains Real-ESRGAN's compact generator at x4 on patches of 256 pixels, its own LR given."""
    recipe = real_esrgan_recipe()
    config = check(
        replace(
            recipe,
            images=replace(recipe.images, batch=batch),
            degrade=DegradeConfig(),
            model=replace(recipe.model, generator="compact", blocks=16),
        )
    )
    eager = step_operations(config)
    return config, Count(eager, fuse(eager), count_nodes(config).longest)


class Watch(TorchDispatchMode):
    """Counts operations that compute, waits for the host, and bytes of what is read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.waits = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func)
        self.waits += any(read in name for read in HOST_READS)
        if not any(f".{view}" in name for view in VIEWS):
            self.operations += 1
            self.bytes += sum(
                x.nbytes for x in tree_iter((args, kwargs, result)) if isinstance(x, Tensor)
            )
        return result


def basicsr_degradation(batch: int, side: int) -> Callable[[int], None]:
    """BasicSR's feed_data on one batch, whose draws follow from a seed. Its data loader's kernels are identities.

    Raises ImportError where BasicSR is not installed.
    """
    import_basicsr()
    from basicsr.models.realesrgan_model import RealESRGANModel
    from basicsr.utils.diffjpeg import DiffJPEG
    from basicsr.utils.img_process_util import USMSharp

    config = real_esrgan()
    names = ("resize_prob", "resize_range", "gaussian_noise_prob", "noise_range", "poisson_scale_range",
             "gray_noise_prob", "jpeg_range")  # fmt: skip
    options = {name + end: getattr(config, name + end) for name in names for end in ("", "2")}
    options |= {"scale": 4, "gt_size": side // 8 * 4, "second_blur_prob": config.blur_prob2}
    model = SimpleNamespace(
        opt=options, is_train=True, device=torch.device("cpu"), usm_sharpener=USMSharp(),
        jpeger=DiffJPEG(differentiable=False), queue_size=batch * 15, _dequeue_and_enqueue=lambda: None,
    )  # fmt: skip
    encode = model.jpeger
    # On a CPU its filter cannot take what its JPEG returns for sides that are multiples of 16.
    model.jpeger = lambda x, quality: encode(x, quality=quality).contiguous()
    kernel = torch.zeros(batch, 21, 21)
    kernel[:, 10, 10] = 1
    kernels = dict.fromkeys(("kernel1", "kernel2", "sinc_kernel"), kernel)

    def degrade_batch(seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        RealESRGANModel.feed_data(model, {"gt": torch.rand(batch, 3, side, side), **kernels})

    return degrade_batch


def theirs(batch: int, side: int, steps: int) -> list[Watch]:
    """Operations of BasicSR's feed_data in some steps."""
    degrade_batch = basicsr_degradation(batch, side)
    seen: list[Watch] = []
    for seed in range(steps):
        with Watch() as watch:
            degrade_batch(seed)
        seen.append(watch)
    return seen


def cpu_seconds(batch: int, side: int, rounds: int) -> dict[str, Any]:
    """Both on this CPU in turn, one batch each a round: ours is the reference, which makes its kernels as well."""
    what = degradation(real_esrgan(), 4)
    numbers_F, hr_NCHW = pack(what), torch.rand(batch, 3, side, side)
    basicsr = basicsr_degradation(batch, side)
    own_seconds: list[Seconds] = []
    basicsr_seconds: list[Seconds] = []
    for k in range(rounds):
        step = torch.tensor(k)
        own = partial(reference.degrade, hr_NCHW, what.frame, numbers_F, 0, step)
        timed(own, own_seconds)()
        timed(partial(basicsr, k), basicsr_seconds)()
    own, other = median_cpu(own_seconds), median_cpu(basicsr_seconds)
    return {
        "batch": batch, "side": side, "rounds": rounds, "cpu_seconds": round(own, 2),
        "basicsr_cpu_seconds": round(other, 2), "images_per_cpu_second": round(batch / own, 3),
        "basicsr_images_per_cpu_second": round(batch / other, 3),
        "cpu_seconds_of_rounds": [round(s.cpu, 2) for s in own_seconds],
        "basicsr_cpu_seconds_of_rounds": [round(s.cpu, 2) for s in basicsr_seconds],
        "machine": "busy with other work: seconds of the process on processors, none of a clock",
    }  # fmt: skip


def rounded(shares: dict[str, float]) -> dict[str, float]:
    return {name: round(share, 2) for name, share in sorted(shares.items(), key=lambda x: -x[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--basicsr-side", type=int, default=96)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--row", action="store_true", help="append to bench/results")
    parser.add_argument("--rounds", type=int, default=0, help="time both on this CPU instead")
    given = parser.parse_args()
    if given.rounds:
        try:
            measured = cpu_seconds(given.batch, given.side, given.rounds)
        except ImportError:
            parser.error("--rounds compares with BasicSR, which is not installed")
        tell("blind degradations, CPU", measured, given.row)
        return
    tell("blind degradations, counted", counts(given), given.row)


def tell(name: str, values: dict[str, Any], record: bool) -> None:
    """Prints values, and appends their row where that is wanted."""
    for key, value in values.items():
        print(f"{key:48} {value}")
    if record:
        append_row(name, values, circumstances())


def counts(given: argparse.Namespace) -> dict[str, Any]:
    """Launches, bytes and predictions of ours, and operations of BasicSR's where it is installed."""
    plan = plan_of(given.batch, given.side)
    values: dict[str, Any] = {
        "batch": given.batch, "side": given.side, "launches": len(plan.launches), "host_waits": 0,
        "gigabytes": round(sum(map(bytes_of, plan.launches)) / 1e9, 4),
    }  # fmt: skip
    config, step = compact_step(given.batch)
    drawn = config.images.patch + real_esrgan().context
    values["side of a training on 256"] = drawn
    for gpu in PROCESSORS:
        for side in (given.side, drawn):
            found = share_on(gpu, side, given.batch, step)
            where = f"{gpu.name}, {side} px"
            values |= {
                f"microseconds on {where}, predicted": round(found.microseconds),
                f"limiters on {where}": rounded(found.limiters),
            }
        values |= {
            f"kernels on {gpu.name}, {drawn} px": rounded(found.kernels),
            f"share of a compact step on {gpu.name}, predicted": [
                round(x, 3) for x in found.of_step
            ],
        }
    try:
        watches = theirs(given.batch, given.basicsr_side, given.steps)
    except ImportError:
        print("BasicSR is not installed; its column is left out")
    else:
        small = plan_of(given.batch, given.basicsr_side // 4 * 4)
        values |= {
            "basicsr_operations": round(mean(w.operations for w in watches)),
            "basicsr_host_waits": round(mean(w.waits for w in watches)),
            "basicsr_side": given.basicsr_side,
            "basicsr_megabytes": round(mean(w.bytes for w in watches) / 1e6, 1),
            "megabytes_at_basicsr_side": round(sum(map(bytes_of, small.launches)) / 1e6, 1),
        }
    return values


if __name__ == "__main__":
    main()
