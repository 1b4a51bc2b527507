"""Lines on a terminal."""

from rich.console import Console


def say(console: Console, text: str) -> None:
    """Prints text as it is: no markup, so that brackets in paths stay, and no line breaks of our own."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)
