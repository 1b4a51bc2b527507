"""Yardsticks of enlarging, and its peak memory: `python -m bench.upscale MODEL IMAGE OUT GB`.

Prints bytes as JSON: the process's resident set at import, and the most while one image was enlarged.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from fastsr.inference.files import enlarge_files, plan
from fastsr.inference.sources import find_sources
from fastsr.inference.upscaler import Upscaler, load
from fastsr.models import Generator
from fastsr.system.memory import proc_bytes, resident_memory


@torch.no_grad()
def plain_loop(generator: nn.Module, files: list[Path], out: Path) -> None:
    """The usual loop: open, to a tensor, the network in eager fp32, to an image, save; one after the other."""
    device = next(generator.parameters()).device
    out.mkdir(exist_ok=True)
    for file in files:
        image = torch.from_numpy(np.array(Image.open(file).convert("RGB"))).to(device)
        sr = generator(image.permute(2, 0, 1)[None].float() / 255)[0]
        pixels = (sr * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        Image.fromarray(pixels).save(out / f"{file.stem}.png")


def enlarge(upscaler: Upscaler, folder: Path, out: Path) -> None:
    """As `fastsr upscale --overwrite` does."""
    jobs = plan(find_sources([str(folder)]), out, upscaler.scale, "png")
    outcome = enlarge_files(upscaler, jobs, out, overwrite=True)
    assert outcome.images == len(jobs), outcome.bad


def megapixels(files: list[Path], scale: int) -> float:
    """Of all images, enlarged."""
    return (
        sum(Image.open(file).size[0] * Image.open(file).size[1] for file in files) * scale**2 / 1e6
    )


def plain(generator: Generator) -> Generator:
    """In the layout that networks are made in."""
    return generator.to(memory_format=torch.contiguous_format)  # pyright: ignore


def measure(model: Path, image: Path, out: Path, gigabytes: float) -> dict[str, Any]:
    """Bytes at import and at the peak, and what was said of tiles."""
    imported, said = resident_memory(), list[str]()
    upscaler = load(model, device="cpu", memory=gigabytes, tell=said.append)
    enlarge(upscaler, image, out)
    return {"imported": imported, "peak": proc_bytes("/proc/self/status", "VmHWM"), "said": said}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in (("model", Path), ("image", Path), ("out", Path), ("gigabytes", float)):
        parser.add_argument(name, type=kind)
    print(json.dumps(measure(**vars(parser.parse_args()))))
