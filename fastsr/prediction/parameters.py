"""Parameters of networks, and the numbers that they keep for going backward, by arithmetic.

Axes: N patches of a batch, h w low and H W high resolution. f filters, c channels of images.
"""

from math import prod

from fastsr.config.networks import ModelConfig
from fastsr.config.settings import ImagesConfig

STAGES: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Factors of the upsamplers of srresnet and msrresnet by scale."""
DOUBLINGS, UNSHUFFLE = {1: 2, 2: 2, 4: 2, 8: 3}, {1: 4, 2: 2}
"""Of rrdb by scale."""
SPAN_BLOCKS = 6


def generator_parameters(model: ModelConfig) -> int:
    f, scale, blocks, c = model.filters, model.scale, model.blocks, model.channels
    square = 9 * f**2
    match model.generator:
        case "srresnet":
            upsamplers = sum(square * k**2 + f * k**2 + f for k in STAGES[scale])
            ends = 2 * c * 81 * f + 2 * f + c  # head with its activation, and tail
            return blocks * (2 * square + 5 * f) + square + 2 * f + upsamplers + ends
        case "msrresnet":
            upsamplers = sum(square * k**2 + f * k**2 for k in STAGES[scale])
            ends = 2 * 9 * c * f + f + c
            return ends + blocks * 2 * (square + f) + upsamplers + square + f
        case "rrdb":
            first = 9 * c * f * UNSHUFFLE.get(scale, 1) ** 2 + f
            between = (2 + DOUBLINGS[scale]) * (
                square + f
            )  # after the body, doubling, before the last
            return first + blocks * 3 * dense_parameters(f, model.growth) + between + 9 * c * f + c
        case "compact":
            first = 9 * c * f + 2 * f
            return first + blocks * (square + 2 * f) + (9 * f + 1) * c * scale**2
        case "span":
            convolutions = reparameterised(c, f) + (3 * SPAN_BLOCKS + 1) * reparameterised(f, f)
            return convolutions + 4 * f**2 + f + (9 * f + 1) * c * scale**2


def dense_parameters(f: int, growth: int) -> int:
    """Of one dense block."""
    grown = sum(9 * (f + k * growth) * growth + growth for k in range(4))
    return grown + 9 * (f + 4 * growth) * f + f


def reparameterised(c_in: int, c_out: int) -> int:
    """Of one convolution of span, as it is trained."""
    middle = 2 * c_in**2 + 2 * c_in + 36 * c_in * c_out + 2 * c_out
    return c_in * c_out + c_out + middle + 2 * c_out**2 + c_out


def discriminator_parameters(model: ModelConfig, patch: int) -> int:
    f, c = model.discriminator_filters, model.channels
    match model.discriminator:
        case "vgg":
            widths = discriminator_widths(model)
            convolutions = sum(9 * a * b for a, b in zip([c, *widths[:-1]], widths, strict=True))
            dense = widths[-1] * discriminator_sides(patch)[-1] ** 2 * 1024 + 1024
            return convolutions + widths[0] + sum(2 * width for width in widths[1:]) + dense + 1025
        case "unet":
            halving = 16 * f**2 * (2 + 8 + 32)
            return (9 * c + 1) * f + halving + 9 * f**2 * (32 + 8 + 2 + 1 + 1) + 9 * f + 1
        case "patch":
            return (16 * c + 1) * f + 16 * f**2 * (2 + 8 + 32) + 2 * (2 + 4 + 8) * f + 128 * f + 1


def generator_activations(model: ModelConfig, images: ImagesConfig, recomputed: bool) -> int:
    """Numbers that one forward pass keeps at least: inputs of every convolution, or of every block if `recomputed`."""
    f, scale = model.filters, model.scale
    pixels = images.batch * (images.patch // scale) ** 2
    match model.generator:
        case "srresnet" | "msrresnet":
            factors = STAGES[scale]
            grown = sum(prod(factors[: k + 1]) ** 2 for k in range(len(factors)))
            return pixels * f * (model.blocks * (1 if recomputed else 2) + grown)
        case "rrdb":
            own = pixels // UNSHUFFLE.get(scale, 1) ** 2
            each = f if recomputed else 3 * (5 * f + 10 * model.growth)
            return own * (model.blocks * each + f * sum(4**k for k in range(DOUBLINGS[scale] + 1)))
        case "compact":
            return pixels * f * model.blocks * (1 if recomputed else 2)
        case "span":
            return pixels * f * SPAN_BLOCKS * (1 if recomputed else 3)


def discriminator_activations(model: ModelConfig, images: ImagesConfig) -> int:
    """Numbers that one forward pass keeps at least: the outputs of its convolutions."""
    f, patch = model.discriminator_filters, images.patch
    halves = [(patch // 2**k) ** 2 for k in range(4)]
    match model.discriminator:
        case "vgg":
            layers = zip(discriminator_widths(model), discriminator_sides(patch), strict=True)
            return images.batch * sum(width * side**2 for width, side in layers)
        case "unet":
            widths = (4, 4, 8, 8)  # at each size, going down and up again
            return images.batch * f * sum(w * side for w, side in zip(widths, halves, strict=True))
        case "patch":
            widths = (0, 1, 2, 4)
            return images.batch * f * sum(w * side for w, side in zip(widths, halves, strict=True))


def discriminator_widths(model: ModelConfig) -> list[int]:
    """Channels of each convolution of the vgg discriminator."""
    return [model.discriminator_filters * 2 ** (layer // 2) for layer in range(8)]


def discriminator_sides(patch: int) -> list[int]:
    """Sides of each of those convolutions' outputs; every second one halves."""
    sides: list[int] = []
    for layer in range(8):
        patch = (patch + 1) // 2 if layer % 2 else patch
        sides.append(patch)
    return sides
