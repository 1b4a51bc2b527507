"""Predicted efficiency of 2 to 1,024 GPUs, on paper: `python -m bench.scaling [--gpu NAME | --step-ms N]`.

A step of two peers on one GPU at a batch of 16 takes what the ladder's rows in bench/results have for `--gpu`, or
`--step-ms`; without either 4.26 ms, as bench.roofline has it for x4 on an H200 at 40 % of the matrix peak. Messages
have the sizes that `bench.ranks` counts, links the latency and bandwidth below. Nothing is taken to overlap but where
it is said.

* cohort-parallel: one peer a GPU, as many peers as GPUs. A step gathers 2 x P x E logits of 4 bytes, all at once.
  The loss grows with the square of the number of peers: on every GPU 2 x P x P x E terms of `FLOP_OF_A_TERM` each.
* sent ahead: the same with --exchange-every, large enough to hide every latency; a peer looks at each patch once more.
* data-parallel: one peer on all GPUs, each with 16 patches of its own (weak scaling). A step sums 4 bytes for every
  parameter of G and D by an all-reduce of each, and exchanges two numbers a channel in every BN, forward and back.

An all-gather takes log2(GPUs) latencies and the bytes of all others; an all-reduce twice that and twice its bytes.
Efficiency is the time of a step on a GPU alone over that on a GPU among others.
"""

import argparse
import math
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from bench.plot import MARGIN, STYLE, text
from bench.rows import RESULTS, Row, ladder_rows, sessions
from fastsr.config.recipes import paper
from fastsr.config.settings import TrainConfig
from fastsr.prediction.duration import work_of_steps
from fastsr.prediction.size import discriminator_parameters, generator_parameters

SIZES = tuple(2**k for k in range(1, 11))
BYTES = 4
FLOP_OF_A_TERM, FLOPS = 100, 30e12
"""Operations of one term of the divergence in fp32, and of a GPU in a second outside its matrix units: guesses."""


@dataclass(frozen=True)
class Link:
    """A way between GPUs."""

    name: str
    latency: float
    """Seconds from one GPU to another, the start of a collective included."""
    bandwidth: float
    """Bytes a second in and out of each GPU."""


LINKS = (
    Link("NVLink", 5e-6, 300e9),
    Link("PCIe 4.0 x16", 10e-6, 20e9),
    Link("10 GbE", 40e-6, 1.1e9),
    Link("open internet (50 ms there and back, 100 Mbit/s)", 25e-3, 12.5e6),
)


@dataclass(frozen=True)
class StepTime:
    """Duration of a step of two peers on one GPU, and in words where it is from."""

    milliseconds: float
    source: str


ASSUMED = StepTime(4.26, "assumed (x4 on an H200 at 40 % of its matrix peak)")


def measured(gpu: str, rows: list[Row]) -> StepTime:
    """The fastest rung of the newest session of the paper's recipe (x4, two peers) on a GPU whose name has `gpu` in it.

    Raises ValueError where none was measured.
    """
    setting = {"recipe": "paper", "scale": 4, "peers": 2, "batch": 16}
    of_gpu = [
        row
        for row in rows
        if setting.items() <= row.items() and gpu.lower() in (row["gpu"] or "CPU").lower()
    ]
    if not of_gpu:
        names = sorted({row["gpu"] or "CPU" for row in rows})
        held = ", ".join(names) or "no GPU"
        raise ValueError(f"--gpu {gpu}: no row of the ladder; there are rows of {held}")
    best = min(sessions(of_gpu)[-1], key=lambda row: row["milliseconds"])
    where = f"{best['gpu'] or 'CPU'}, {best['date'][:10]}, {best['rung']}"
    return StepTime(best["milliseconds"], f"measured ({where})")


def all_gather_seconds(link: Link, gpus: int, total: float) -> float:
    """Until each of the GPUs has all `total` bytes, of which it has its part already."""
    return math.ceil(math.log2(gpus)) * link.latency + total * (gpus - 1) / gpus / link.bandwidth


def all_reduce_seconds(link: Link, gpus: int, each: float) -> float:
    """Until each of the GPUs has the sum of `each` bytes of all: they are scattered, then gathered."""
    return 2 * all_gather_seconds(link, gpus, each)


def loss_seconds(gpus: int, config: TrainConfig) -> float:
    return gpus**2 * 2 * config.images.batch * FLOP_OF_A_TERM / FLOPS


def cohort_seconds(link: Link, gpus: int, config: TrainConfig, step: float) -> float:
    """Seconds by which a step takes longer with one peer on every GPU."""
    logits = 2 * gpus * config.images.batch * BYTES
    return all_gather_seconds(link, gpus, logits) + loss_seconds(gpus, config)


def ahead_seconds(link: Link, gpus: int, config: TrainConfig, step: float) -> float:
    """The same with logits sent ahead: what is left is to look ahead, and bytes that take longer than a step."""
    looking = look_share(config) * step
    logits = 2 * gpus * config.images.batch * BYTES
    computing = step + looking + loss_seconds(gpus, config)
    return max(computing, logits / link.bandwidth) - step


def look_share(config: TrainConfig) -> float:
    """Forward passes of G, and of D on both images, as a part of a peer's step."""
    pixels = replace(config, loss=replace(config.loss, content="pixel"))
    peers, work = config.cohort.peers, work_of_steps(pixels)
    generator = work.generating / peers
    discriminator = (work.training / peers - 3 * generator) / 7
    return (generator + 2 * discriminator) / (work_of_steps(config).training / peers)


def data_seconds(link: Link, gpus: int, config: TrainConfig, step: float) -> float:
    """Seconds by which a step takes longer with one peer on all GPUs, each with a batch of its own."""
    model = config.model
    networks = generator_parameters(model), discriminator_parameters(model, config.images.patch)
    gradients = sum(all_reduce_seconds(link, gpus, BYTES * count) for count in networks)
    # D normalises real and generated images; it goes back once for each, and once more towards the generated one.
    exchanges = 2 * (2 * model.blocks + 1) + 7 * (2 + 3)
    of_norms = all_gather_seconds(link, gpus, gpus * 2 * model.filters * BYTES)
    return gradients + exchanges * of_norms


def efficiencies(step: float, config: TrainConfig) -> dict[str, dict[str, list[float]]]:
    """By way of dealing and by link: the share of a GPU's speed alone that each of 2, 4, ... GPUs keeps.

    Args:
        step: seconds of one peer's step on a GPU that is alone.
    """
    ways = {
        "cohort-parallel": cohort_seconds,
        "cohort-parallel, sent ahead": ahead_seconds,
        "data-parallel": data_seconds,
    }
    return {
        way: {
            link.name: [step / (step + extra(link, gpus, config, step)) for gpus in SIZES]
            for link in LINKS
        }
        for way, extra in ways.items()
    }


COLOURS = ("#2f6fb5", "#2a8a5f", "#b0742a", "#a8324a")
WIDTH, HEIGHT, TOP = 280, 220, 90


def plot(found: dict[str, dict[str, list[float]]], step: StepTime) -> str:
    """The efficiencies as an SVG of three panels, with what they rest on."""
    total = 3 * WIDTH + 6 * MARGIN + 90
    notes = [
        f"Predicted. A step of two peers on one GPU: {step.milliseconds:.4g} ms, {step.source}. Nothing overlaps.",
        "Cohort-parallel: a peer a GPU, 2 x P x E logits a step. Sent ahead: for later steps, while computing.",
        "Data-parallel: one peer, 16 patches a GPU, all gradients, BN over all patches.",
    ]
    parts = [
        text(MARGIN, 28, "Efficiency of 2 to 1,024 GPUs", 17, bold=True),
        *(text(MARGIN, 46 + 14 * k, note, 11, muted=True) for k, note in enumerate(notes)),
    ]
    for index, (way, lines) in enumerate(found.items()):
        parts += panel(way, lines, MARGIN + 34 + index * (WIDTH + 2 * MARGIN + 28))
    for k, link in enumerate(LINKS):
        y = TOP + HEIGHT + 62 + 16 * k
        parts.append(f'<rect x="{MARGIN}" y="{y - 9}" width="18" height="4" fill="{COLOURS[k]}"/>')
        numbers = f"{link.latency * 1e6:g} us, {link.bandwidth / 1e9:g} GB/s"
        parts.append(text(MARGIN + 26, y, f"{link.name}: {numbers}", 11))
    height = TOP + HEIGHT + 62 + 16 * len(LINKS) + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{height}" '
        f'viewBox="0 0 {total} {height}" role="img"><style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def panel(way: str, lines: dict[str, list[float]], left: float) -> list[str]:
    """One way of dealing: a line for every link, over the number of GPUs by powers of two."""
    bottom = TOP + 20 + HEIGHT

    def place(index: int, value: float) -> tuple[float, float]:
        return left + index * WIDTH / (len(SIZES) - 1), bottom - value * HEIGHT

    parts = [text(left, TOP + 12, way, bold=True)]
    for value in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - value * HEIGHT
        parts.append(
            f'<line class="axis" stroke-opacity="0.3" x1="{left}" y1="{y}" x2="{left + WIDTH}" y2="{y}"/>'
        )
        parts.append(text(left - 6, y + 4, f"{value * 100:.0f} %", 11, "end", muted=True))
    for index in range(0, len(SIZES), 3):
        x, _ = place(index, 0)
        parts.append(text(x, bottom + 16, f"{SIZES[index]:,}", 11, "middle", muted=True))
    for colour, (name, values) in zip(COLOURS, lines.items(), strict=True):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, range(len(values)), values))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return parts


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: a row for every way and link."""
    lines = [
        "| | " + " | ".join(f"{size:,}" for size in SIZES) + " |",
        "|---" * (len(SIZES) + 1) + "|",
    ]
    for way, links in found.items():
        for name, values in links.items():
            lines.append(
                f"| {way}, {name} | " + " | ".join(f"{100 * v:.1f} %" for v in values) + " |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    of_step = parser.add_mutually_exclusive_group()
    of_step.add_argument("--gpu", help="take the step's time from this GPU's rows of the ladder")
    of_step.add_argument("--step-ms", type=float, help="time of a step of two peers on one GPU")
    parser.add_argument("--plot", type=Path, help="write the picture here, an SVG")
    options = parser.parse_args()
    step = ASSUMED
    if options.step_ms:
        step = StepTime(options.step_ms, "given (--step-ms)")
    if options.gpu:
        try:
            step = measured(options.gpu, ladder_rows(RESULTS, "uncompiled"))
        except ValueError as error:
            parser.error(str(error))
    found = efficiencies(step.milliseconds / 2 / 1e3, paper())
    print(f"A step of two peers on one GPU: {step.milliseconds:.4g} ms, {step.source}\n")
    print(table(found))
    if options.plot:
        options.plot.write_text(plot(found, step))
        print(options.plot)


if __name__ == "__main__":
    main()
