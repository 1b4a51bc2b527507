"""Counts the work of blind degradations, ours beside BasicSR's: `python -m bench.blind --batch 12 --side 400`.

Nothing is computed of ours: launches and the bytes that each reads and writes follow from its tensors. BasicSR's own
`RealESRGANModel.feed_data`, where BasicSR is installed, runs on the CPU and is watched operation by operation, on
smaller pictures (--basicsr-side): the number of its operations depends on what is drawn, hardly on sizes.
"""

import argparse
import random
from statistics import mean
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from fastsr_kernels.degrade import pack
from fastsr_kernels.degrade.kernel import Plan
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from bench.basicsr import import_basicsr
from bench.roofline import CARDS, NODE_SECONDS
from bench.rows import append_row, circumstances
from fastsr.config.presets import real_esrgan
from fastsr.data.degrade import degradation

HOST_READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero")
VIEWS = (
    "view", "expand", "slice", "select", "permute", "transpose", "squeeze", "alias", "detach", "t.default",
    "as_strided", "unbind", "split",
)  # fmt: skip
LOAD_RATES = {"RTX 3060": 28 * 32 * 1.78e9, "H200": 132 * 32 * 1.98e9}
"""Loads of 4 bytes a second that hit the first cache: 32 a clock and multiprocessor."""
MEAN_TAPS = mean(side**2 for side in range(7, 22, 2))


def plan_of(batch: int, side: int) -> Plan:
    """Launches of a step with the published numbers, on tensors without contents."""
    settings = degradation(real_esrgan(), 4)
    hr = torch.empty(batch, 3, side, side, device="meta")
    numbers_F = pack(settings, "meta")
    step = torch.empty((), dtype=torch.int64, device="meta")
    return Plan(hr, settings.frame, numbers_F, 0, step)


def bytes_of(launch: Any) -> int:
    """Every tensor of a launch once: canvases are read and written whole at most."""
    return sum(x.nbytes for x in launch.arguments.values() if isinstance(x, Tensor))


def loads_of(launch: Any) -> float:
    """Loads of pixels that filters make, the mean over what is drawn."""
    name = launch.kernel.fn.__name__
    pixels = launch.arguments["out_NCHW"].numel() if "out_NCHW" in launch.arguments else 0
    return pixels * {"blur_kernel": MEAN_TAPS, "smooth_kernel": 51, "resize_kernel": 16}.get(
        name, 1
    )


def seconds(plan: Plan, bandwidth: float, load_rate: float) -> float:
    """Each launch takes as long as its bytes, its cached loads, or a node of a graph, whichever is longest."""
    return sum(
        max(bytes_of(launch) / bandwidth, loads_of(launch) / load_rate, NODE_SECONDS[0])
        for launch in plan.launches
    )


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


def theirs(batch: int, side: int, steps: int) -> list[Watch]:
    """Operations of BasicSR's feed_data in some steps, its data loader's kernels being identities."""
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
    seen: list[Watch] = []
    for seed in range(steps):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        data = {
            "gt": torch.rand(batch, 3, side, side),
            "kernel1": kernel,
            "kernel2": kernel,
            "sinc_kernel": kernel,
        }
        with Watch() as watch:
            RealESRGANModel.feed_data(model, data)
        seen.append(watch)
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--side", type=int, default=400)
    parser.add_argument("--basicsr-side", type=int, default=96)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--row", action="store_true", help="append to bench/results")
    given = parser.parse_args()
    plan = plan_of(given.batch, given.side)
    values: dict[str, Any] = {
        "batch": given.batch, "side": given.side, "launches": len(plan.launches), "host_waits": 0,
        "gigabytes": round(sum(map(bytes_of, plan.launches)) / 1e9, 4),
    }  # fmt: skip
    for card in CARDS:
        if card.name in LOAD_RATES:
            predicted = seconds(plan, card.gigabytes * 1e9, LOAD_RATES[card.name])
            values[f"microseconds on {card.name}, predicted"] = round(predicted * 1e6)
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
    for name, value in values.items():
        print(f"{name:40} {value}")
    if given.row:
        append_row("blind degradations, counted", values, circumstances())


if __name__ == "__main__":
    main()
