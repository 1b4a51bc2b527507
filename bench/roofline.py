"""Predicts steps/s of the paper's recipe on GPUs from counted FLOPs and bytes: `python -m bench.roofline --scale 4`.

Nothing is computed and no GPU is needed: one step runs on tensors without contents. What was measured on a GPU stands
beside its bounds.
"""

import argparse
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.rows import RESULTS, Row, grouped, ladder_rows, sessions
from bench.setups import paper_recipe
from bench.step_nodes import count_nodes
from bench.traffic import Operation, fuse, step_operations
from fastsr.config.check import check
from fastsr.config.settings import SCALES, TrainConfig
from fastsr.errors import UserError

SHARE_OF_PEAK = 0.4
"""Target of the design."""
NODE_SECONDS = (2e-6, 7e-6)
"""From one node of a graph to the next on the same branch, however little they do. At best what a launch takes; at
worst what is left of an H100's step at x4 (13.1 ms) beside its matrix operations at `SHARE_OF_PEAK` and its memory
traffic: a kernel over 1 MB takes it 6 to 10 us."""
WIDTH = 120
"""Characters, also where the output is not a terminal."""


@dataclass(frozen=True)
class Card:
    """A GPU: dense bf16 matrix operations accumulated in fp32, and memory, both per second."""

    name: str
    teraflops: float
    gigabytes: float


# GeForce: tensor cores x boost clock x 128 FLOP, which is half their rate with fp16 accumulation and a quarter of the
# advertised "sparse" one (NVIDIA's whitepapers on Ampere GA102, Ada and RTX Blackwell; memory: NVIDIA's product pages).
# H100 (SXM) and H200: the data sheets say 989, and 3.35 and 4.8 TB/s; their clock falls under load, large bf16 products
# reach about 790.
CARDS = (
    Card("RTX 3060", 25.5, 360),  # 112 x 1.78 GHz; the 12 GB model
    Card("RTX 4070", 58.3, 504),  # 184 x 2.48 GHz
    Card("RTX 4090", 165.2, 1008),  # 512 x 2.52 GHz
    Card("RTX 5090", 209.5, 1792),  # 680 x 2.41 GHz
    Card("H100 80GB HBM3", 790.0, 3350),
    Card("H200", 790.0, 4800),
)


class Seconds(NamedTuple):
    """Least duration of one step's operations, one after the other."""

    matrix: float
    elementwise: float

    @property
    def rate(self) -> float:
        """Steps per second."""
        return 1 / (self.matrix + self.elementwise)


def bound(operations: list[Operation], card: Card) -> Seconds:
    """Each operation takes as long as its FLOPs or its bytes do, whichever is longer."""
    seconds = {True: 0.0, False: 0.0}
    for operation in operations:
        by_flop, by_bytes = (
            operation.flop / (card.teraflops * 1e12),
            operation.bytes / (card.gigabytes * 1e9),
        )
        seconds[operation.is_matrix] += max(by_flop, by_bytes)
    return Seconds(matrix=seconds[True], elementwise=seconds[False])


class Count(NamedTuple):
    """Operations of one step: as executed, and with runs of element-wise operations fused."""

    eager: list[Operation]
    fused: list[Operation]
    longest: int = 0
    """Nodes of the step's graph, eager, that wait for each other: those on its longest branch."""

    @property
    def teraflop(self) -> float:
        return sum(operation.flop for operation in self.eager) / 1e12


class Prediction(NamedTuple):
    """Steps per second, and what takes the longest: "matrix operations", "memory" or "launches"."""

    worst: float
    best: float
    limiter: str


def predict(step: Count, card: Card) -> Prediction:
    """At best launches hide behind fused work, or work behind launches; at worst they add up, at a share of peak."""
    fused, eager = bound(step.fused, card), bound(step.eager, card)
    least, most = (step.longest * seconds for seconds in NODE_SECONDS)
    worst = {
        "matrix operations": eager.matrix / SHARE_OF_PEAK,
        "memory": eager.elementwise,
        "launches": most,
    }
    return Prediction(
        worst=1 / sum(worst.values()),
        best=1 / max(1 / fused.rate, least),
        limiter=max(worst, key=lambda name: worst[name]),
    )


@lru_cache
def count(scale: int, peers: int, batch: int) -> Count:
    """Counts the operations of one step of the paper's recipe with these settings."""
    config = recipe(scale, peers, batch)
    eager = step_operations(config)
    return Count(eager, fuse(eager), count_nodes(config).longest)


def recipe(scale: int, peers: int, batch: int) -> TrainConfig:
    """The paper's recipe with these settings. Raises UserError where one of them cannot be used."""
    paper = paper_recipe()
    changed = replace(
        paper,
        model=replace(paper.model, scale=scale),
        cohort=replace(paper.cohort, peers=peers),
        images=replace(paper.images, batch=batch),
    )
    return check(changed)


class Measured(NamedTuple):
    """A card's fastest rung of this setting in its newest session."""

    row: Row
    efficiency: float
    """Steps/s over the fused bound for the same setting."""


def measured(rows: list[Row], scale: int, peers: int, batch: int) -> dict[str, Measured]:
    """By card. Rows of other recipes, settings and GPUs are left out."""
    wanted = [
        row
        for row in rows
        if row["recipe"] == "paper" and row["gpu"] and setting(row) == (scale, peers, batch)
    ]
    by_gpu = grouped(wanted, "gpu")
    names = {gpu: gpu.removeprefix("NVIDIA ").removeprefix("GeForce ") for (gpu,) in by_gpu}
    return {
        card.name: calibrate(by_gpu[(gpu,)], card)
        for gpu, name in names.items()
        for card in CARDS
        if card.name == name
    }


def calibrate(rows: list[Row], card: Card) -> Measured:
    """The fastest row of one card's newest session, against its bound."""
    best = max(sessions(rows)[-1], key=lambda row: row["steps_per_second"])
    return Measured(best, best["steps_per_second"] / bound(count(*setting(best)).fused, card).rate)


def setting(row: Row) -> tuple[int, int, int]:
    """Scale, peers and batch of a row."""
    return row["scale"], row["peers"], row.get("batch", paper_recipe().images.batch)


def table(step: Count, known: dict[str, Measured], title: str) -> Table:
    """Bounds of every card, and what was measured on it."""
    table = Table(title=title)
    table.add_column("GPU", no_wrap=True)
    columns = (
        "matrix\nTFLOP/s",
        "memory\nGB/s",
        "matrix\nms",
        "other ms\neager",
        "other ms\nfused",
    )
    rates = (
        "bound eager",
        "bound fused",
        f"at {SHARE_OF_PEAK:.0%} peak",
        "measured",
    )
    for heading in (*columns, *(f"steps/s\n{rate}" for rate in rates)):
        table.add_column(heading, justify="right", no_wrap=True)
    for card in CARDS:
        table.add_row(*cells(step, card, known.get(card.name)))
    return table


def cells(step: Count, card: Card, known: Measured | None) -> list[str]:
    """One row of the table."""
    eager, fused = bound(step.eager, card), bound(step.fused, card)
    milliseconds = [f"{1e3 * t:.2f}" for t in (eager.matrix, eager.elementwise, fused.elementwise)]
    rates = [eager.rate, fused.rate, SHARE_OF_PEAK * card.teraflops / step.teraflop]
    return [
        card.name,
        f"{card.teraflops:g}",
        f"{card.gigabytes:g}",
        *milliseconds,
        *(f"{rate:.1f}" for rate in rates),
        f"{known.row['steps_per_second']:.1f}" if known else "",
    ]


def counted(step: Count) -> str:
    """FLOPs, bytes and operations of one step in words."""

    def gigabytes(operations: list[Operation], is_matrix: bool) -> str:
        return f"{sum(operation.bytes for operation in operations if operation.is_matrix == is_matrix) / 1e9:.2f} GB"

    return (
        f"Counted in one step: {step.teraflop:.3f} TFLOP; {gigabytes(step.eager, True)} moved by matrix operations, "
        f"{gigabytes(step.eager, False)} by all others ({gigabytes(step.fused, False)} fused); "
        f"{len(step.eager)} operations ({len(step.fused)} fused)."
    )


def assumptions(step: Count) -> list[str]:
    """Assumptions of the bounds, a line each."""
    return [
        "A matrix operation takes the longer of FLOPs / peak and bytes / bandwidth; any other, bytes / bandwidth.",
        "Peak: dense bf16 accumulated in fp32 by specification; 989 TFLOP/s of Hopper are cut to the 790 it sustains.",
        "Bytes: every tensor read or written once per operation. Caches are left out, although a residual block's",
        "  activations (1.2 MB at x4, batch 16) fit into most; so are second passes for statistics, and workspaces.",
        "eager: every operation pays for its own. fused: each run of others between two matrix operations reads and",
        "  writes once; nothing is fused into a matrix operation.",
        "Operations follow one another: no overlap between peers. Optimisers, averages and casts of weights included.",
        f"Bounds leave launches out. Predictions take {step.longest} nodes on the longest branch (bench.nodes, eager):",
        "  at best 2 us each, hidden behind fused work, or the reverse; at worst 7 us each, fitted to an H100's step,",
        f"  unfused work, and matrix operations at {SHARE_OF_PEAK:.0%} of peak, one after the other. The limiter is",
        "  the longest of these three.",
        "Autocast is the CPU's, and a GPU's may cast a little differently. Patches are drawn for nothing.",
        f"at {SHARE_OF_PEAK:.0%} peak: if a card reaches {SHARE_OF_PEAK:.0%} of its matrix peak, over the whole step.",
    ]


def predictions(step: Count) -> list[str]:
    def line(card: Card) -> str:
        predicted = predict(step, card)
        return f"{card.name}: {predicted.worst:.1f} to {predicted.best:.1f} steps/s, limited by {predicted.limiter}."

    return ["Predicted with launches:", *(f"  {line(card)}" for card in CARDS)]


def calibration(known: dict[str, Measured]) -> list[str]:
    """Measurements, a line each."""
    if not known:
        return ["Nothing was measured with these settings on a GPU of this table."]
    return [
        f"Measured on {name}: {each.row['steps_per_second']:.1f} steps/s (x{each.row['scale']}, {each.row['peers']} "
        f"peers, {each.row['rung']}, {each.row['date'][:10]}), {each.efficiency:.0%} of the fused bound."
        for name, each in known.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=int, choices=SCALES, default=4)
    parser.add_argument("--peers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of measured rows")
    options = parser.parse_args(arguments)
    try:
        step, known = (
            count(options.scale, options.peers, options.batch),
            measured(
                ladder_rows(options.results, "uncompiled"),
                options.scale,
                options.peers,
                options.batch,
            ),
        )
    except (UserError, ValueError) as error:
        parser.error(str(error))
    console = Console(width=WIDTH, soft_wrap=True)
    title = f"Steps/s of the paper's recipe at x{options.scale}, {options.peers} peers, batch {options.batch}"
    console.print(table(step, known, title))
    for line in (
        counted(step),
        *predictions(step),
        *calibration(known),
        "Assumptions:",
        *(f"  {line}" for line in assumptions(step)),
    ):
        console.print(line, highlight=False, markup=False)


if __name__ == "__main__":
    main()
