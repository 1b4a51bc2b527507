"""Perceptual metrics: NIQE, PI, LPIPS and DISTS, measured by pyiqa, whose licence is non-commercial (extra `eval`).

PI = ((10 - Ma) + NIQE) / 2, lower is better. Source: Blau et al., "The 2018 PIRM challenge on perceptual image
super-resolution", ECCV Workshops 2018; NIQE: Mittal et al., 2012; Ma (NRQM): Ma et al., 2017.
"""

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor

from fastsr.errors import UserError
from fastsr.evaluation.psnr_ssim import luma, on_255
from fastsr.files import sha256_of

FILES = {
    "niqe": "niqe_modelparameters.mat",
    "nrqm": "NRQM_model.mat",
    "lpips": "LPIPS_v0.1_alex-df73285e.pth",
    "dists": "DISTS_weights-f5e65c96.pth",
}
"""Names of pyiqa's weight files."""
TRUNKS = {"lpips": "alexnet-owt-7be5be79.pth", "dists": "vgg16-397923af.pth"}
"""Networks of torchvision's below some metrics, which torch looks for in its own cache."""
PARTS = {"niqe": ("niqe",), "pi": ("niqe", "nrqm"), "lpips": ("lpips",), "dists": ("dists",)}
"""Measurements that each metric is made of."""
NIQE_BLOCK = 96
INSTALL = "pip install 'fastsr[eval]' (pyiqa; its licence is non-commercial)"


class Perceptual:
    """Some perceptual metrics at one scale, ready to measure.

    Args:
        names: of niqe, pi, lpips, dists. scale: as many pixels are cut from each side. weights: a folder with files
            as in `FILES`; those that are not there, and all without it, are fetched by pyiqa.
    Raises:
        UserError: pyiqa is not installed, or weights are damaged, cannot be fetched, or their folder does not exist.
    """

    def __init__(
        self, names: Iterable[str], scale: int, device: torch.device, weights: Path | None = None
    ) -> None:
        if weights and not weights.is_dir():
            raise UserError(f"--metric-weights {weights} is no folder; give the one with the files")
        self.names: list[str] = []
        self.scale, self.device, self.weights = scale, device, weights
        self.metrics: dict[str, Any] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Measures one metric more. Raises UserError, and then measures what it did before."""
        missing = [part for part in PARTS[name] if part not in self.metrics]
        self.metrics |= {
            part: open_metric(part, self.scale, self.device, self.weights) for part in missing
        }
        self.names.append(name)

    def identity(self, name: str) -> str:
        """A metric's name, with all that its values depend on: pyiqa, its weights, the kind of device."""
        if name not in self.names:
            return name
        files = [self.weights / FILES[part] for part in PARTS[name]] if self.weights else []
        digests = [sha256_of(file) for file in files if file.is_file()]
        return " ".join((name, version("pyiqa"), self.device.type, *digests))

    def measure(
        self, sr_HWC: Tensor, hr_HWC: Tensor, grey: bool = False
    ) -> dict[str, float | None]:
        """Scores of an image `[H, W, C]`, C 1 or 3; None where it is too small for a metric, or that yields no number.

        Grey counts as three equal channels where a metric sees colours.
        """
        y = (luma(sr_HWC, grey).round() / 255)[None, None].float().to(self.device)
        sr, hr = (
            on_255(x).permute(2, 0, 1)[None].float().to(self.device).expand(-1, 3, -1, -1) / 255
            for x in (sr_HWC, hr_HWC)
        )
        values: dict[str, float] = {}
        for part, metric in self.metrics.items():
            if part == "niqe" and min(y.shape[2:]) - 2 * self.scale < NIQE_BLOCK:
                values[part] = math.nan
            elif part == "niqe":
                values[part] = fitted(metric, y)
            elif part == "nrqm":
                values[part] = (
                    fitted(metric.net, y * 255) if math.isfinite(values["niqe"]) else math.nan
                )
            else:
                values[part] = float(metric(sr, hr))
        values["pi"] = (10 - values.get("nrqm", math.nan) + values.get("niqe", math.nan)) / 2
        return {name: values[name] if math.isfinite(values[name]) else None for name in self.names}


def fitted(metric: Callable[[Tensor], Any], y_NCHW: Tensor) -> float:
    """The score of an image to which a metric fits distributions; NaN where it has none, as one of a single colour."""
    try:
        return float(metric(y_NCHW))
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
        return math.nan


def open_metric(part: str, scale: int, device: torch.device, weights: Path | None) -> Any:
    """pyiqa's metric. Raises UserError."""
    if find_spec("pyiqa") is None:
        raise UserError(f"{part} needs pyiqa: {INSTALL}")
    file = weights / FILES[part] if weights else None
    options: dict[str, Any] = (
        {"pretrained_model_path": str(file)} if file and file.is_file() else {}
    )
    if part in ("niqe", "nrqm"):
        options |= {"crop_border": scale, "color_space": "ycbcr"}
    logging.getLogger("pyiqa").setLevel(logging.WARNING)  # it announces every metric
    try:
        with redirect_stdout(StringIO()):  # it announces downloads twice, and that on stdout
            from pyiqa import create_metric

            return create_metric(part, device=device, **options)
    except (
        Exception
    ) as error:  # other people's code reading other people's files: whatever the bytes provoke
        raise UserError(
            explained(error, part, file if options.get("pretrained_model_path") else None)
        ) from error


def explained(error: Exception, part: str, file: Path | None) -> str:
    """Message on the weights of a metric, read from `file` or fetched: the fault and the remedy."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if file and not isinstance(error, URLError):
        return f"{file} cannot be read as weights of {part} ({reason}); replace or remove it"
    remedy = f"put {FILES[part]} into a folder and give --metric-weights FOLDER"
    if part in TRUNKS:
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        remedy = (
            f"put {TRUNKS[part]} from torchvision into {cache}, and {remedy.removeprefix('put ')}"
        )
    return f"the weights of {part} cannot be fetched ({reason}); {remedy}"
