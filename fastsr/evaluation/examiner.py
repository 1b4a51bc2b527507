"""Every method's version of an image, and its scores."""

from collections.abc import Callable, Mapping

from torch import Tensor

from fastsr.data.bicubic import upscale
from fastsr.evaluation.candidates import Model
from fastsr.evaluation.pairs import Pair
from fastsr.evaluation.perceptual import Perceptual
from fastsr.evaluation.protocol import BICUBIC, Protocol
from fastsr.evaluation.psnr_ssim import compared, finer, psnr, psnr_rgb, ssim
from fastsr.evaluation.results import ORIGINAL, number
from fastsr.evaluation.score_cache import ScoreCache, bicubic_key
from fastsr.models.inference import super_resolve
from fastsr.system.precision import Precision


class Examiner:
    """Scores models on images, one image at a time, and bicubic before them, once for each image.

    Args:
        perceptual: measures those metrics of the protocol that are not measured here.
        precision: what generators run in.
        cache: bicubic's scores of earlier calls.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        protocol: Protocol,
        perceptual: Perceptual,
        precision: Precision,
        cache: ScoreCache,
    ) -> None:
        self.models, self.protocol, self.perceptual = models, protocol, perceptual
        self.precision, self.cache = precision, cache

    @property
    def methods(self) -> int:
        """Number of methods, bicubic included."""
        return 1 + len(self.models)

    def examine(
        self, pair: Pair, perceptual: bool, pictures: bool, advance: Callable[[], None]
    ) -> tuple[dict[str, Tensor], dict[str, dict[str, float]]]:
        """Every method's version of an image, `[height, width, C]`, with the original behind, and scores.

        Args:
            perceptual: measure perceptual metrics too; else they are NaN.
            pictures: return the images; else none, and bicubic's is not even made where its scores are known.
            advance: called behind each method.
        """
        bicubic, known = self.examine_bicubic(pair, perceptual, pictures)
        images, scores = {BICUBIC: bicubic} if bicubic is not None else {}, {BICUBIC: known}
        advance()
        for name, model in self.models.items():
            sr = super_resolve(model.generator, pair.lr, self.precision)
            scores[name] = self.measure(sr, pair, self.wanted(perceptual))
            if pictures:
                images[name] = sr
            advance()
        return {**images, ORIGINAL: pair.hr} if pictures else {}, scores

    def examine_bicubic(
        self, pair: Pair, perceptual: bool, picture: bool
    ) -> tuple[Tensor | None, dict[str, float]]:
        """Bicubic's version, None where nobody needs it, and its scores, of which only unknown ones are measured."""
        protocol = self.protocol
        key = bicubic_key(pair, protocol.scale, protocol.border)
        stored = self.cache.read(key)
        names = {name: self.perceptual.identity(name) for name in protocol.metrics}
        known = {name: stored[names[name]] for name in protocol.metrics if names[name] in stored}
        missing = [name for name in self.wanted(perceptual) if name not in known]
        image = upscale(pair.lr, protocol.scale, protocol.border) if missing or picture else None
        if image is not None and missing:
            measured = self.measure(image, pair, missing)
            known |= {name: measured[name] for name in missing}
            self.cache.write(key, {names[name]: known[name] for name in missing})
        scores = {
            name: known[name] if name in self.wanted(perceptual) else number(None)
            for name in protocol.metrics
        }
        return image, scores

    def wanted(self, perceptual: bool) -> list[str]:
        """The metrics of the protocol, with perceptual ones or without."""
        names = self.protocol.metrics
        return [name for name in names if perceptual or name not in self.perceptual.names]

    def measure(self, sr: Tensor, pair: Pair, names: list[str]) -> dict[str, float]:
        """By metric of the protocol; NaN for those not in `names`, for an equal or too small image."""
        values: dict[str, float | None] = {}
        if "psnr_rgb" in names:
            values["psnr_rgb"] = psnr_rgb(sr, pair.hr)
        if "psnr" in names or "ssim" in names:
            planes = compared(sr, pair.hr, self.protocol.scale, pair.grey)
            values |= {"psnr": psnr(*planes)} if "psnr" in names else {}
            values |= {"ssim": ssim(*planes, finer(pair.hr))} if "ssim" in names else {}
        if any(name in self.perceptual.names for name in names):
            values |= self.perceptual.measure(sr, pair.hr, pair.grey)
        return {name: number(values.get(name)) for name in self.protocol.metrics}
