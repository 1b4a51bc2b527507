"""The metrics: names, units, digits worth printing, which way is better, and how each is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One metric as people read it."""

    name: str
    digits: int
    higher_is_better: bool
    unit: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


MEASURES = {
    "psnr": Measure("PSNR", 2, True, "dB"),
    "psnr_rgb": Measure("PSNR-RGB", 2, True, "dB"),
    "ssim": Measure("SSIM", 4, True),
    "niqe": Measure("NIQE", 3, False),
    "pi": Measure("PI", 3, False),
    "lpips": Measure("LPIPS", 4, False),
    "dists": Measure("DISTS", 4, False),
}
USUAL = ("psnr", "psnr_rgb", "ssim", "niqe", "pi")
"""Those that papers of this kind report."""
UNKNOWN_DIGITS = 3
"""Of a metric that this version does not measure, in an evaluation by another."""

PROTOCOLS = {
    "niqe": "NIQE on the same luma as PSNR, rounded, {scale} pixels cut from each side (pyiqa); lower is better",
    "pi": "PI = ((10 - Ma) + NIQE) / 2 on the same luma and crop (pyiqa); lower is better",
    "lpips": "LPIPS 0.1 with AlexNet on whole RGB images (pyiqa); lower is better",
    "dists": "DISTS on whole RGB images (pyiqa); lower is better",
}

PROTOCOL = {
    "psnr": "PSNR (dB) on BT.601 studio-range luma of 8-bit images (grey originals: on grey), {scale} pixels cut from "
    "each side",
    "psnr_rgb": "PSNR (dB) on RGB of whole 8-bit images, nothing cut",
    "ssim": "SSIM on the same luma and crop, Gaussian window 11x11",
    **PROTOCOLS,
}


def metric_name(metric: str) -> str:
    """Such as `PSNR`."""
    return MEASURES[metric].name if metric in MEASURES else metric.upper()


def metric_title(metric: str) -> str:
    """Such as `PSNR (dB)`."""
    return MEASURES[metric].title if metric in MEASURES else metric.upper()


def metric_text(metric: str, value: float, sign: bool = False) -> str:
    """A value with as many digits as its metric deserves, and a typographer's minus."""
    digits = MEASURES[metric].digits if metric in MEASURES else UNKNOWN_DIGITS
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def better_direction(metric: str) -> bool | None:
    """True if higher is better; None for a metric that is not known."""
    return MEASURES[metric].higher_is_better if metric in MEASURES else None
