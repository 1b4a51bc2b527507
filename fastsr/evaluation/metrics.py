"""The metrics: names, units, digits worth printing, which way is better, and how each is measured."""

from dataclasses import dataclass

from fastsr.console import counted


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
    "niqe": "NIQE on the same luma as PSNR, rounded, {cut} cut from each side (pyiqa); lower is better",
    "pi": "PI = ((10 - Ma) + NIQE) / 2 on the same luma and crop (pyiqa); lower is better",
    "lpips": "LPIPS 0.1 with AlexNet on whole RGB images (pyiqa); lower is better",
    "dists": "DISTS on whole RGB images (pyiqa); lower is better",
}

PROTOCOL = {
    "psnr": "PSNR (dB) on {compared}, {cut} cut from each side",
    "psnr_rgb": "PSNR (dB) on {all} of whole {bits}-bit images, nothing cut",
    "ssim": "SSIM{values} and crop, Gaussian window 11x11",
    **PROTOCOLS,
}
RGB = {
    "compared": "BT.601 studio-range luma of {bits}-bit images (grey originals: on grey)",
    "all": "RGB",
    "values": " on the same luma",
}
GREY = {
    "compared": "the grey values of {bits}-bit images",
    "all": "the grey values",
    "values": " on the same values",
}
PLANES = {
    "compared": "all {channels} channels of {bits}-bit images",
    "all": "all {channels} channels",
    "values": ", the mean over channels, on the same samples",
}
"""The values that are compared of images of three, one and other numbers of channels."""
PERCEPTUAL_DEPTH = "; 16 bits are rounded to 8 for it"


def protocol_text(metric: str, scale: int, channels: int = 3, bits: int = 8) -> str:
    """The rule that a metric is measured by, on images of so many channels and bits."""
    words = {1: GREY, 3: RGB}.get(channels, PLANES)
    about = {"cut": counted(scale, "pixel"), "channels": channels, "bits": bits}
    text = PROTOCOL[metric].format(**about, **{k: v.format(**about) for k, v in words.items()})
    return text + (PERCEPTUAL_DEPTH if bits == 16 and metric in ("niqe", "pi") else "")


def is_defined(metric: str, channels: int) -> bool:
    """True for a metric of images of so many channels: perceptual ones know RGB, and grey as three equal channels."""
    return metric not in PROTOCOLS or channels in (1, 3)


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
