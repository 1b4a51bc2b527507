"""The rules that scores are measured by."""

from dataclasses import dataclass

from fastsr.config.fixed import FixedDegradation
from fastsr.config.settings import Border
from fastsr.data.formats import RGB8, PixelFormat
from fastsr.evaluation.metrics import protocol_text

BICUBIC, GIVEN = "bicubic", "given"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The rules of one evaluation. Two with equal protocols may be put side by side."""

    scale: int
    metrics: tuple[str, ...]
    lr: str = BICUBIC
    """bicubic: made here, or given: read from the test set. No effect where `degraded` is set."""
    degraded: FixedDegradation | None = None
    """The degradations that low resolution is made by."""
    border: Border = "replicate"
    precision: str = "fp32"
    form: PixelFormat = RGB8
    """Of the images that are compared."""

    def texts(self) -> dict[str, str]:
        """The rules in words: of each metric, of the low resolution, of the precision."""
        low = (
            "as given with the test sets"
            if self.lr == GIVEN
            else f"MATLAB's bicubic, border {self.border}"
        )
        low = self.degraded.rule if self.degraded else low
        if self.scale == 1:
            low += f"; x1: {BICUBIC} is the low resolution itself"
        channels, bits = self.form.channels, self.form.bits
        texts = {name: protocol_text(name, self.scale, channels, bits) for name in self.metrics}
        return {**texts, "low_resolution": low, "precision": self.precision}
