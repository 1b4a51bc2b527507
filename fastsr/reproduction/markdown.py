"""The tables of a reproduction in words: Markdown, and what differs from the paper."""

from collections.abc import Iterator
from math import isfinite

from fastsr.console import counted, listed
from fastsr.evaluation.metrics import MEASURES
from fastsr.reproduction.comparison import RESAMPLES, verdict
from fastsr.reproduction.intervals import Difference
from fastsr.reproduction.mechanism import STEPS, Mechanism
from fastsr.reproduction.paper import BASELINE, PSNR_PROTOCOL, TAUGHT, VARIANTS
from fastsr.reproduction.results import Row, Table, Tables

DIGITS = 3
"""As the paper has them; SSIM has one more."""


def markdown(tables: Tables) -> Iterator[str]:
    """A reproduction as Markdown, line by line."""
    yield "# Reproduction"
    yield ""
    yield "Each cell: both peers (their range where several seeds have many), their mean, and the paper's number."
    yield "Differences: variant minus Independent, mean over"
    yield f"images, with its 95 % interval: a percentile bootstrap of {RESAMPLES:,} resamples of the images."
    yield ""
    yield PSNR_PROTOCOL
    for one in tables.tables:
        direction = "higher" if one.higher_is_better else "lower"
        yield f"\n## x{one.scale}, {MEASURES[one.metric].title}, {direction} is better\n"
        variants, compared = columns(one)
        differences = (f"{name} - {BASELINE}" for name in compared)
        yield f"| set | bicubic | {' | '.join(variants)} | {' | '.join(differences)} |"
        yield "|---" * (2 + len(variants) + len(compared)) + "|"
        digits = max(DIGITS, MEASURES[one.metric].digits)
        yield from (markdown_row(row, digits) for row in one.rows if row.has_numbers)
        yield ""
        yield from (f"* {verdict(one, variant)}" for variant in compared)
        yield from seed_rows(one)
    for one in tables.mechanisms:
        yield from mechanism_rows(one)
    yield "\n## What differs from the paper\n"
    yield from (f"* {note}" for note in tables.notes or ["Nothing that the paper states."])


def columns(table: Table) -> tuple[list[str], list[str]]:
    """The variants of a table, controls included, and those that are compared with Independent."""
    row = next(iter(table.rows), None)
    return (list(row.variants), list(row.differences)) if row else ([*VARIANTS], [*TAUGHT])


def seed_rows(table: Table) -> Iterator[str]:
    """The differences of each seed, with their intervals over images."""
    contrasts = [one for one in table.contrasts if len(one.seeds) > 1]
    if not contrasts:
        return
    digits = max(DIGITS, MEASURES[table.metric].digits)
    yield f"\n| run, mean over {listed(contrasts[0].sets)} | " + (
        " | ".join(f"{one.variant} - {BASELINE}" for one in contrasts) + " |"
    )
    yield "|---" * (1 + len(contrasts)) + "|"
    for seeds in zip(*(one.seeds for one in contrasts), strict=True):
        cells = (interval(Difference(one.mean, one.low, one.high), digits) for one in seeds)
        yield f"| {seeds[0].run} | {' | '.join(cells)} |"
    over = (f"**{interval(Difference(one.mean, one.low, one.high), digits)}**" for one in contrasts)
    yield f"| **over seeds** | {' | '.join(over)} |"


def mechanism_rows(one: Mechanism) -> Iterator[str]:
    """Opinions of the discriminators of each variant, and their distance from those of Independent."""
    variants = list(one.opinions[0].values)
    taught = [name for name in variants if name != BASELINE]
    yield f"\n## x{one.scale}, what the discriminators say\n"
    over = f"the peers of a variant and over {counted(one.seeds, 'seed')}"
    yield f"Over the last {STEPS} steps of training: means over {over}, with"
    yield "95 % intervals over seeds (Student's t) where there are several. Probabilities are of being real.\n"
    yield f"| | {' | '.join(variants)} | {' | '.join(f'{v} - {BASELINE}' for v in taught)} |"
    yield "|---" * (1 + len(variants) + len(taught)) + "|"
    for opinion in one.opinions:
        cells = [interval(opinion.values[name], DIGITS, sign="") for name in variants]
        cells += [interval(opinion.differences.get(name, Difference()), DIGITS) for name in taught]
        yield f"| {one.name(opinion.quantity)} | {' | '.join(cells)} |"


def markdown_row(row: Row, digits: int) -> str:
    """A line of a table: bicubic, the peers of each variant with their mean and the paper's, differences."""
    cells = [row.test_set, number(row.bicubic, digits)]
    for variant in row.variants.values():
        peers = variant.peers_in_words(lambda value: number(value, digits), " / ") or "none"
        printed = f", paper {variant.paper:.3f}" if isfinite(variant.paper) else ""
        cells.append(f"{peers}; **{number(variant.mean, digits)}**{printed}")
    cells += [interval(one, digits) for one in row.differences.values()]
    return "| " + " | ".join(cells) + " |"


def number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if isfinite(value) else "n/a"


def interval(difference: Difference, digits: int, sign: str = "+") -> str:
    if not isfinite(difference.mean):
        return "n/a"
    mean, low, high = (
        f"{value:{sign}.{digits}f}" for value in (difference.mean, difference.low, difference.high)
    )
    known = isfinite(difference.low) and isfinite(difference.high)
    return f"{mean} [{low}, {high}]" if known else mean
