"""The generator's 9x9 tail (64 channels to 3) as it is, and as a 9x1 convolution to 27 channels whose nine columns are
added, each shifted: `python -m bench.tail [--record]`. Equal but for rounding; which is faster depends on the device.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bench.rows import append_row, circumstances
from bench.timing import synchronise
from fastsr.system.device import choose_device, set_up

ROUNDS = 6
Tail = Callable[[Tensor], Tensor]


def by_columns(conv: nn.Conv2d, x_NCHW: Tensor) -> Tensor:
    """The convolution's result, its weights used as they are."""
    assert conv.bias is not None
    out, channels, rows, columns = conv.weight.shape
    weight = conv.weight.permute(3, 0, 1, 2).reshape(columns * out, channels, rows, 1)
    y = conv2d(x_NCHW, weight, padding=(rows // 2, columns // 2))
    y = y.contiguous(memory_format=torch.channels_last)
    n, c, h, w = y.stride()
    width = x_NCHW.shape[3]
    # Column j of the result of filter column j lies j places further on.
    shifted = y.as_strided((len(y), columns, out, y.shape[2], width), (n, out * c + w, c, h, w))
    return shifted.sum(1) + conv.bias[:, None, None]


def trained(tail: Tail, x_NCHW: Tensor, gradient_NCHW: Tensor) -> Callable[[], None]:
    """One call forward and backward."""
    leaf = x_NCHW.requires_grad_()

    def step() -> None:
        leaf.grad = None
        tail(leaf).backward(gradient_NCHW)

    return step


def enlarged(tail: Tail, x_NCHW: Tensor) -> Callable[[], None]:
    def step() -> None:
        with torch.no_grad():
            tail(x_NCHW)

    return step


def compare(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median seconds of each, in turn: of processors on a CPU, which others hardly change, else of the clock."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, step in ways.items():
            synchronise()
            began = clock()
            step()
            synchronise()
            seconds[name].append(clock() - began)
    found = {name: round(median(each[1:]), 5) for name, each in seconds.items()}
    plain, columns = found.values()
    return {**found, "ratio": round(columns / plain, 3)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="append rows to bench/results")
    record = parser.parse_args(arguments).record
    device, about = choose_device("auto"), circumstances()
    set_up(device)
    torch.manual_seed(0)
    layout = torch.channels_last
    conv = nn.Conv2d(64, 3, 9, padding=4).to(device=device, memory_format=layout)  # type: ignore[call-overload]
    tails: dict[str, Tail] = {"convolution": conv, "columns": lambda x: by_columns(conv, x)}
    patches, image = (
        torch.randn(shape, device=device).contiguous(memory_format=layout)
        for shape in ((16, 64, 96, 96), (1, 64, 680, 1024))
    )
    with torch.no_grad():
        error = float((by_columns(conv, patches) - conv(patches)).abs().max())
    gradient = torch.randn(16, 3, 96, 96, device=device)
    cases = {
        "training, batch 16, 96 px": {n: trained(t, patches, gradient) for n, t in tails.items()},
        "inference, 680x1024": {n: enlarged(t, image) for n, t in tails.items()},
    }
    for case, ways in cases.items():
        row = {"case": case, "dtype": "float32", **compare(ways), "largest_difference": error}
        print(row)
        if record:
            append_row("tail", row, about)


if __name__ == "__main__":
    main()
