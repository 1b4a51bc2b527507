"""The embedded demonstration data: eight public-domain photos that come with scikit-image."""

from importlib.resources import files
from pathlib import Path

TRAIN = ("astronaut.png", "brick.png", "camera.png", "coffee.png", "hubble_deep_field.jpg", "retina.jpg")
VAL = ("chelsea.png", "rocket.jpg")


def sample_photos(names: tuple[str, ...]) -> tuple[Path, ...]:
    """Files of the installed scikit-image package; nothing is downloaded. Licences: CC0 or public domain."""
    return tuple(Path(str(files("skimage.data") / name)) for name in names)
