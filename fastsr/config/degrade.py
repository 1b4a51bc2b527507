"""Settings of blind degradations: their meaning, their names."""

from dataclasses import dataclass
from typing import Annotated

import tyro

PRESETS = ("bicubic", "real-esrgan", "bsrgan", "light")
GIVEN = "given"
"""Name of degradations whose numbers came from an options file."""
Range = Annotated[tuple[float, float], tyro.conf.Suppress]
Weights = Annotated[tuple[float, ...], tyro.conf.Suppress]
Probability = Annotated[float, tyro.conf.Suppress]
Quality = Annotated[tuple[int, int], tyro.conf.Suppress]
Switch = Annotated[bool, tyro.conf.Suppress]


@dataclass(frozen=True, kw_only=True)
class DegradeConfig:
    """The way from high to low resolution: bicubic, or degradations drawn anew for every patch, on the device."""

    degrade: str = "bicubic"
    """bicubic: MATLAB's, as in the paper. real-esrgan: blur, resize, noise and JPEG twice, with that work's numbers.
    bsrgan: the like in shuffled order. light: for photos that are nearly clean. Or a Real-ESRGAN options file (.yml).
    Its ranges and probabilities are settings in [degrade] of a TOML file, which go before the preset's."""
    context: Annotated[int, tyro.conf.Suppress] = 32
    """HR pixels by which more than a patch is degraded; the patch is cut out of it at random, away from most borders
    and anywhere on JPEG's grid. Rounded down to a multiple of the scale."""
    usm: Switch = True
    """Sharpen HR patches first (unsharp mask), as targets and before they are degraded."""
    shuffle: Switch = False
    """Draw the order of blur, resize and noise in both rounds."""
    blur_taps: Quality = (7, 21)
    """Least and greatest side of blur kernels in pixels, odd."""
    blur_prob: Probability = 1.0
    """Probability of blur in the first round."""
    kernel_prob: Weights = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    """Weights of blur kernels: Gaussian round and long, generalised round and long, plateau round and long."""
    sinc_prob: Probability = 0.1
    """Probability of a sinc filter (ringing) instead of those."""
    blur_sigma: Range = (0.2, 3.0)
    """Width of blur in pixels."""
    betag_range: Range = (0.5, 4.0)
    """Exponent of generalised Gaussians, around 1."""
    betap_range: Range = (1.0, 2.0)
    """Exponent of plateaus, around 1."""
    resize_prob: Weights = (0.2, 0.7, 0.1)
    """Weights of resizing up, down and not at all."""
    resize_range: Range = (0.15, 1.5)
    """Least and greatest factor of the first resize."""
    noise_prob: Probability = 1.0
    """Probability of noise in the first round."""
    gaussian_noise_prob: Probability = 0.5
    """Probability that noise is Gaussian rather than Poisson."""
    noise_range: Range = (1.0, 30.0)
    """Standard deviation of Gaussian noise, in levels of 255."""
    poisson_scale_range: Range = (0.05, 3.0)
    """Factor of Poisson noise, whose variance is 1/256 at white."""
    gray_noise_prob: Probability = 0.4
    """Probability that noise is the same in all channels."""
    jpeg_prob: Probability = 1.0
    """Probability of JPEG in the first round."""
    jpeg_range: Quality = (30, 95)
    """Least and greatest quality of JPEG, from 1 to 100."""
    blur_prob2: Probability = 0.8
    """As blur_prob, in the second round; so are all that end in 2."""
    kernel_prob2: Weights = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    sinc_prob2: Probability = 0.1
    blur_sigma2: Range = (0.2, 1.5)
    betag_range2: Range = (0.5, 4.0)
    betap_range2: Range = (1.0, 2.0)
    resize_prob2: Weights = (0.3, 0.4, 0.3)
    resize_range2: Range = (0.3, 1.2)
    """Factors of the second resize, with regard to the LR size."""
    noise_prob2: Probability = 1.0
    gaussian_noise_prob2: Probability = 0.5
    noise_range2: Range = (1.0, 25.0)
    poisson_scale_range2: Range = (0.05, 2.5)
    gray_noise_prob2: Probability = 0.4
    jpeg_prob2: Probability = 1.0
    jpeg_range2: Quality = (30, 95)
    final_sinc_prob: Probability = 0.8
    """Probability of a sinc filter after the last resize."""

    @property
    def is_bicubic(self) -> bool:
        return self.degrade == "bicubic"

    def context_at(self, scale: int) -> int:
        """HR pixels of context; none where LR is bicubic."""
        return 0 if self.is_bicubic else self.context // scale * scale
