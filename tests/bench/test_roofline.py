"""bench.roofline and bench.traffic: FLOPs and bytes against counts by hand, and what rows of the ladder change."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import roofline
from bench.roofline import Card, Count, bound, measured, predict
from bench.traffic import Operation, fuse, record, step_operations

CARD = Card("made", teraflops=2e-6, gigabytes=1e-3)  # 2 FLOP and 1 byte a microsecond
MATRIX = Operation("matrix", 4_000_000, {1: 500_000}, {2: 500_000})
ELEMENTWISE = Operation("elementwise", 0, {2: 500_000}, {3: 250_000})
CONV_FLOP = 2 * (2 * 4 * 8 * 8) * (3 * 3 * 3)  # a multiply-add per output and weight of its channel
CONV_READ, CONV_WRITTEN = 4 * (2 * 3 * 8 * 8 + 4 * 3 * 3 * 3), 4 * (2 * 4 * 8 * 8)


def moved(operations: list[Operation]) -> list[tuple[int, int]]:
    return [
        (sum(operation.reads.values()), sum(operation.writes.values())) for operation in operations
    ]


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    return nn.functional.conv2d(x, weight, padding=1)


def test_a_convolution_counts_as_by_hand() -> None:
    x, weight = torch.zeros(2, 3, 8, 8), torch.zeros(4, 3, 3, 3)
    (operation,) = record(lambda: convolve(x, weight))
    assert (operation.flop, moved([operation])) == (CONV_FLOP, [(CONV_READ, CONV_WRITTEN)])
    assert CONV_FLOP == 27_648


def test_its_backward_counts_both_gradients() -> None:
    x, weight = (
        torch.zeros(2, 3, 8, 8, requires_grad=True),
        torch.zeros(4, 3, 3, 3, requires_grad=True),
    )
    y, seed = convolve(x, weight), torch.zeros(2, 4, 8, 8)
    operations = record(lambda: torch.autograd.grad(y, (x, weight), seed))
    (backward,) = [operation for operation in operations if operation.is_matrix]
    assert backward.flop == 2 * CONV_FLOP
    assert moved([backward]) == [(CONV_READ + CONV_WRITTEN, CONV_READ)]


def test_views_and_allocations_move_nothing() -> None:
    x = torch.zeros(8, 8)
    assert (
        record(lambda: (x.view(64), x.t(), x.detach(), x[2], torch.empty(5), torch.empty_like(x)))
        == []
    )


@pytest.mark.parametrize(
    ("function", "read", "written"),
    [
        (lambda x: x.add_(1), 256, 256),
        (lambda x: x * x, 256, 256),
        (lambda x: x + x[:1].expand(8, 8), 256 + 32, 256),
        (lambda x: x.to(torch.bfloat16), 256, 128),
    ],
    ids=["in-place", "same-twice", "expanded", "cast"],
)
def test_elementwise_bytes(function: Any, read: int, written: int) -> None:
    x = torch.zeros(8, 8)
    assert moved(record(lambda: function(x))) == [(read, written)]


def test_fused_adam_reads_four_tensors_and_writes_three() -> None:
    weight = torch.zeros(1000, requires_grad=True)
    weight.grad = torch.zeros(1000)
    optimizer = torch.optim.Adam([weight], fused=True)
    optimizer.step()
    adam = [operation for operation in record(optimizer.step) if "adam" in operation.name]
    steps = 4  # the count of steps, one number, read only here
    assert moved(adam) == [(4 * 4000 + steps, 3 * 4000)]


def test_fusion_keeps_what_is_read_later_and_drops_the_rest() -> None:
    """relu and times 2 between two convolutions, relu's result being read once more behind the second."""
    x, weight = torch.zeros(2, 4, 8, 8), torch.zeros(4, 4, 3, 3)

    def function() -> Tensor:
        active = convolve(x, weight).relu()
        return convolve(active * 2, weight) + active

    size = 4 * 2 * 4 * 8 * 8
    first, run, second, last = fuse(record(function))
    assert (first.is_matrix, run.is_matrix, second.is_matrix, last.is_matrix) == (
        True,
        False,
        True,
        False,
    )
    assert moved([run]) == [(size, 2 * size)]  # unfused: 2 reads, 2 writes
    assert moved([last]) == [(2 * size, 0)]  # the result is nobody's


def test_fusion_writes_what_outlives_the_step() -> None:
    state = torch.zeros(100)
    (run,) = fuse(record(lambda: state.add_(1).mul_(2)))
    assert moved([run]) == [(400, 400)]


def test_time_is_the_longer_of_flop_and_bytes() -> None:
    seconds = bound([MATRIX, ELEMENTWISE], CARD)
    assert seconds == pytest.approx((2.0, 0.75))
    assert seconds.rate == pytest.approx(1 / 2.75)
    heavy = MATRIX._replace(reads={1: 5_500_000})
    assert bound([heavy], CARD) == pytest.approx((6.0, 0.0))


@pytest.mark.parametrize(
    ("longest", "worst", "best", "limiter"),
    [
        (
            0,
            1 / 5.75,
            1 / 2.75,
            "matrix operations",
        ),  # 2 s of matrix operations are 5 s at 40 % of peak
        (
            1_000_000,
            1 / 12.75,
            1 / 2.75,
            "launches",
        ),  # at best 2 s hide behind 2.75 s of work
        (2_000_000, 1 / 19.75, 1 / 4, "launches"),
    ],
)
def test_a_prediction_takes_launches_in(
    longest: int, worst: float, best: float, limiter: str
) -> None:
    predicted = predict(Count([MATRIX, ELEMENTWISE], [MATRIX, ELEMENTWISE], longest), CARD)
    assert (predicted.worst, predicted.best) == pytest.approx((worst, best))
    assert predicted.limiter == limiter


def test_a_prediction_knows_memory_as_the_limit() -> None:
    assert (
        predict(Count([MATRIX, ELEMENTWISE, *[ELEMENTWISE] * 9], [MATRIX], 1), CARD).limiter
        == "memory"
    )


def test_flop_of_the_papers_step() -> None:
    """1.3426 is what a real step counted on a CPU, in bench/results/cpu.jsonl."""
    operations = step_operations(roofline.recipe(scale=4, peers=2, batch=16))
    assert sum(operation.flop for operation in operations) / 1e12 == pytest.approx(1.3426, abs=5e-5)
    fused = fuse(operations)
    assert sum(operation.flop for operation in fused) == sum(
        operation.flop for operation in operations
    )
    assert sum(operation.bytes for operation in fused) < sum(
        operation.bytes for operation in operations
    )


def ladder_row(gpu: str | None, steps_per_second: float, **values: Any) -> dict[str, Any]:
    row = {"name": "ladder", "rung": "graph", "recipe": "paper", "scale": 4, "peers": 2, "gpu": gpu}
    return (
        row
        | {"commit": "abc", "date": "2026-11-22T10:00:00", "steps_per_second": steps_per_second}
        | values
    )


@pytest.fixture
def made_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting counts one made operation, whose bound on an H200 is one step/s."""
    operation = Operation("matrix", int(790e12), {}, {})
    monkeypatch.setattr(roofline, "count", lambda *_: Count([operation], [operation]))


@pytest.mark.usefixtures("made_count")
def test_the_fastest_row_of_the_setting_is_compared_with_the_bound() -> None:
    rows = [
        ladder_row("NVIDIA H200", 0.9, commit="old", date="2026-11-21T10:00:00"),
        ladder_row("NVIDIA H200", 0.3),
        ladder_row("NVIDIA H200", 0.5),
        ladder_row("NVIDIA H200", 0.9, scale=2),
        ladder_row("NVIDIA H200", 0.9, peers=4),
        ladder_row("NVIDIA H200", 0.8, recipe="small"),
        ladder_row("NVIDIA GeForce RTX 4070 Ti", 0.7),
        ladder_row(None, 0.6),
    ]
    known = measured(rows, scale=4, peers=2, batch=16)
    assert {name: each.efficiency for name, each in known.items()} == {"H200": pytest.approx(0.5)}


@pytest.mark.usefixtures("made_count")
@pytest.mark.parametrize("is_measured", [False, True], ids=["nothing-measured", "measured"])
def test_output(tmp_path: Path, capsys: pytest.CaptureFixture[str], is_measured: bool) -> None:
    if is_measured:
        (tmp_path / "h200.jsonl").write_text(json.dumps(ladder_row("NVIDIA H200", 0.5)))
    roofline.main(["--results", str(tmp_path)])
    printed = capsys.readouterr().out
    h200 = next(line for line in printed.splitlines() if "H200" in line).split("│")[1:-1]
    rates = [cell.strip() for cell in h200[6:]]
    assert rates == ["1.0", "1.0", "0.4", "0.5" if is_measured else ""]
    assert ("Nothing was measured" in printed) == (not is_measured)
    assert ("50% of the fused bound" in printed) == is_measured
    assert all(card.name in printed for card in roofline.CARDS)
    assert "H200: 0.4 to 1.0 steps/s, limited by matrix operations." in printed


def test_a_bad_setting_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        roofline.main(["--peers", "0", "--results", str(tmp_path)])
    assert "--peers 0" in capsys.readouterr().err
