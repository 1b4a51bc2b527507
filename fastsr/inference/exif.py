"""EXIF of a picture that was turned upright: as it was, but for the tag that would turn it again."""

import struct

from PIL import Image

from fastsr.data.images import DAMAGE, ORIENTATION

SHORT, PREFIX = 3, b"Exif\0\0"
TEXTS = (270, 271, 272, 305, 306, 315, 33432)
"""Tags of a TIFF that speak of the picture, not of its file: description, maker, model, software, date, artist,
copyright."""


def upright_exif(image: Image.Image) -> bytes | None:
    """EXIF without the prefix that JPEG has for it; None where there is none. The image has been loaded.

    Bytes stay as they are, with odd tags and makers' notes, but for the two that hold the orientation.
    """
    if image.format == "TIFF":
        return tiff_exif(image)
    exif = image.info.get("exif")
    if not isinstance(exif, bytes) or not exif:
        return None
    return without_turn(exif.removeprefix(PREFIX))


def tiff_exif(image: Image.Image) -> bytes | None:
    """The tags of a TIFF that describe the picture, without those that say how it is stored."""
    kept = Image.Exif()
    try:
        tags = image.getexif()
        for tag in TEXTS:
            if tag in tags:
                kept[tag] = tags[tag]
        return kept.tobytes().removeprefix(PREFIX) if len(kept) else None
    except DAMAGE:
        return None


def without_turn(exif: bytes) -> bytes:
    """The same with orientation 1. What is no EXIF is left as it is."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return exif
    changed = bytearray(exif)
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, place)
            if (tag, kind) == (ORIENTATION, SHORT):
                struct.pack_into(f"{order}H", changed, place + 8, 1)
    except struct.error:  # cut short: the tags until there have been seen
        pass
    return bytes(changed)
