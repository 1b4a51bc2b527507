"""What is measured of images: names, units, digits worth printing, and which way is better."""

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
