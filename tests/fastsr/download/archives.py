"""Archives made in memory, and a disk that fills up: for the tests of downloading and unpacking."""

import io
import resource
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

BODY = np.random.default_rng(0).bytes(300_000)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "png")
    return file.getvalue()


def members_of(*sets: tuple[str, int]) -> dict[str, bytes]:
    """As in EDSR's archive: originals, and one low-resolution image of each."""
    files: dict[str, bytes] = {}
    for name, count in sets:
        for k in range(count):
            files[f"benchmark/{name}/HR/img{k}.png"] = png(k)
            files[f"benchmark/{name}/LR_bicubic/X4/img{k}x4.png"] = png(100 + k)
    return files


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """No file may grow beyond the limit: writing then fails as on a full disk (EFBIG; Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
