"""The tables of a reproduction in words: Markdown, and what differs from the paper."""

from collections.abc import Iterator
from typing import Any

from fastsr.evaluation.metrics import MEASURES
from fastsr.reproduction.comparison import verdict
from fastsr.reproduction.paper import PSNR_PROTOCOL, VARIANTS

DIGITS = 3
"""As the paper has them; SSIM has one more."""


def markdown(facts: dict[str, Any]) -> Iterator[str]:
    """tables.json as Markdown, line by line."""
    yield "# Reproduction"
    yield ""
    yield "Each cell: both peers, their mean, and the paper's number. Differences: variant minus Independent, mean over"
    yield "images, with the 95 % confidence interval of a paired t-test."
    yield ""
    yield PSNR_PROTOCOL
    for one in facts["tables"]:
        direction = "higher" if one["higher_is_better"] else "lower"
        yield f"\n## x{one['scale']}, {MEASURES[one['metric']].title}, {direction} is better\n"
        yield f"| set | bicubic | {' | '.join(VARIANTS)} | {' | '.join(f'{v} - Independent' for v in VARIANTS[1:])} |"
        yield "|---" * (2 + len(VARIANTS) + len(VARIANTS) - 1) + "|"
        yield from (markdown_row(row, max(DIGITS, MEASURES[one["metric"]].digits)) for row in one["rows"])
        yield ""
        yield from (f"* {verdict(one, variant)}" for variant in VARIANTS[1:])
    yield "\n## What differs from the paper\n"
    yield from (f"* {note}" for note in facts["notes"] or ["Nothing that the paper states."])


def markdown_row(row: dict[str, Any], digits: int) -> str:
    cells = [row["set"], number(row["bicubic"], digits)]
    for variant in VARIANTS:
        values = row["variants"][variant]
        peers = " / ".join(number(value, digits) for value in values["peers"]) or "none"
        printed = f", paper {values['paper']:.3f}" if values["paper"] is not None else ""
        cells.append(f"{peers}; **{number(values['mean'], digits)}**{printed}")
    cells += [interval(row["differences"][variant], digits) for variant in VARIANTS[1:]]
    return "| " + " | ".join(cells) + " |"


def number(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def interval(difference: dict[str, Any] | None, digits: int) -> str:
    if difference is None:
        return "n/a"
    text = f"{difference['mean']:+.{digits}f}"
    low, high = difference["low"], difference["high"]
    return text if low is None else f"{text} [{low:+.{digits}f}, {high:+.{digits}f}]"
