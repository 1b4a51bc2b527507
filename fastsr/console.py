"""Sentences, and saying them on a terminal."""

from collections.abc import Sequence

from rich.console import Console


def say(console: Console, text: str) -> None:
    """Prints text as it is: no markup, so that brackets in paths stay, and no line breaks of our own."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def listed(items: Sequence[str]) -> str:
    """a, b and c. There must be one at least."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def counted(count: int, noun: str) -> str:
    """1 image, 2,000 images."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
