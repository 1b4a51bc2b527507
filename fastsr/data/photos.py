"""The demonstration data: eight photos that come with fastsr. Sources and licences stand beside them."""

from pathlib import Path

FOLDER = Path(__file__).with_name("sample_photos")
TRAIN = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
)
VAL = ("chelsea.png", "rocket.jpg")


def sample_photos(names: tuple[str, ...]) -> tuple[Path, ...]:
    """Files of the installed package, all CC0 or in the public domain; nothing is downloaded."""
    return tuple(FOLDER / name for name in names)
