"""The generator's 9x9 tail (64 channels to 3) as one convolution, and by rows (`fastsr.models.tail`): equal but for
rounding; which is faster depends on the device: `python -m bench.tail [--record]`.
"""

import argparse
import time
from collections.abc import Callable
from itertools import product
from statistics import median

import torch
from torch import Tensor, nn

from bench.rows import append_row, circumstances
from bench.timing import synchronise
from fastsr.models.tail import Tail
from fastsr.system.device import choose_device, set_up

ROUNDS = 6
Way = Callable[[Tensor], Tensor]
DTYPES = (None, torch.bfloat16)
"""Of autocast; None is fp32."""


def trained(tail: Way, x_NCHW: Tensor, gradient_NCHW: Tensor) -> Callable[[], None]:
    """One call forward and backward."""
    leaf = x_NCHW.requires_grad_()

    def step() -> None:
        leaf.grad = None
        y = tail(leaf)
        y.backward(gradient_NCHW.to(y.dtype))

    return step


def enlarged(tail: Way, x_NCHW: Tensor) -> Callable[[], None]:
    def step() -> None:
        with torch.no_grad():
            tail(x_NCHW)

    return step


def compare(ways: dict[str, Callable[[], None]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each, in turn: of processors on a CPU, which others hardly change, else of the clock."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, step in ways.items():
            synchronise()
            began = clock()
            step()
            synchronise()
            seconds[name].append(clock() - began)
    found = {name: round(median(each[1:]), 5) for name, each in seconds.items()}
    plain, rows = found.values()
    return {**found, "ratio": round(rows / plain, 3)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="append rows to bench/results")
    record = parser.parse_args(arguments).record
    device, about = choose_device("auto"), circumstances()
    set_up(device)
    torch.manual_seed(0)
    layout = torch.channels_last
    tail = Tail(64, 3, 9, padding=4).to(device=device, memory_format=layout)  # type: ignore[call-overload]
    ways: dict[str, Way] = {
        "convolution": lambda x: nn.Conv2d.forward(tail, x),
        "rows": tail.sum_of_rows,
    }
    patches, image = (
        torch.randn(shape, device=device).contiguous(memory_format=layout)
        for shape in ((16, 64, 96, 96), (1, 64, 680, 1024))
    )
    with torch.no_grad():
        error = float((ways["rows"](patches) - ways["convolution"](patches)).abs().max())
    gradient = torch.randn(16, 3, 96, 96, device=device)
    cases = {
        "training, batch 16, 96 px": {n: trained(w, patches, gradient) for n, w in ways.items()},
        "inference, 680x1024": {n: enlarged(w, image) for n, w in ways.items()},
    }
    for dtype, (case, compared) in product(DTYPES, cases.items()):
        with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            seconds = compare(compared)
        shown = str(dtype or torch.float32).removeprefix("torch.")
        row = {"case": case, "dtype": shown, **seconds, "largest_difference": error}
        print(row)
        if record:
            append_row("tail", row, about)


if __name__ == "__main__":
    main()
