"""Presets of blind degradations, and those of other trainers' options files."""

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import yaml

from fastsr.config.degrade import GIVEN, PRESETS, DegradeConfig
from fastsr.errors import UserError
from fastsr.files import read_text

OURS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
SUFFIXES = (".yml", ".yaml")


def preset(name: str) -> DegradeConfig:
    """The degradations of a name or of an options file. Raises UserError for others."""
    if name in ("bicubic", GIVEN):
        return DegradeConfig(degrade=name)
    if name == "real-esrgan":
        return real_esrgan()
    if name == "bsrgan":
        return bsrgan()
    if name == "light":
        return light()
    if Path(name).suffix in SUFFIXES:
        return from_options(Path(name))
    raise UserError(f"--degrade {name} is not known; use {', '.join(PRESETS)}, or a .yml file")


def real_esrgan() -> DegradeConfig:
    """The numbers of Real-ESRGAN's options for x4.

    Source: Wang et al., "Real-ESRGAN", ICCVW 2021, and options/train_realesrgan_x4plus.yml of its code. Context is
    ours: there, 256 pixels are cut out of 400.
    """
    return DegradeConfig(degrade="real-esrgan")


def bsrgan() -> DegradeConfig:
    """Shuffled order, Gaussian blur, mostly Gaussian noise, as in BSRGAN; not its camera pipeline.

    Source: Zhang et al., "Designing a practical degradation model for deep blind image super-resolution", ICCV 2021.
    """
    return DegradeConfig(
        degrade="bsrgan", usm=False, shuffle=True,
        kernel_prob=(0.5, 0.5, 0.0, 0.0, 0.0, 0.0), sinc_prob=0.0, blur_sigma=(0.1, 2.8),
        resize_prob=(0.2, 0.55, 0.25), resize_range=(0.25, 1.5),
        gaussian_noise_prob=0.8, noise_range=(2.0, 25.0), jpeg_prob=0.9,
        blur_prob2=1.0, kernel_prob2=(0.5, 0.5, 0.0, 0.0, 0.0, 0.0), sinc_prob2=0.0, blur_sigma2=(0.1, 2.8),
        resize_prob2=(0.2, 0.3, 0.5), gaussian_noise_prob2=0.8, noise_range2=(2.0, 25.0), final_sinc_prob=0.0,
    )  # fmt: skip


def light() -> DegradeConfig:
    """Slight blur, noise and compression, once or not at all: photos of a good camera, saved once or twice."""
    return DegradeConfig(
        degrade="light", usm=False,
        blur_prob=0.7, sinc_prob=0.05, blur_sigma=(0.2, 1.5), resize_prob=(0.1, 0.5, 0.4), resize_range=(0.5, 1.2),
        noise_prob=0.6, noise_range=(1.0, 10.0), poisson_scale_range=(0.05, 1.0), jpeg_prob=0.5, jpeg_range=(60, 95),
        blur_prob2=0.3, sinc_prob2=0.05, blur_sigma2=(0.2, 0.8), resize_prob2=(0.0, 0.0, 1.0),
        resize_range2=(0.5, 1.0), noise_prob2=0.3, noise_range2=(1.0, 5.0), poisson_scale_range2=(0.05, 0.5),
        jpeg_prob2=0.6, jpeg_range2=(70, 95), final_sinc_prob=0.3,
    )  # fmt: skip


def from_options(file: Path) -> DegradeConfig:
    """The degradations of a Real-ESRGAN options file: what its trainer and its data set read of it.

    Raises UserError for a file that cannot be read, and naming the first number that is missing or no number.
    """
    try:
        content: Any = yaml.safe_load(read_text(file))
    except FileNotFoundError:
        raise UserError(f"--degrade {file} does not exist") from None
    except OSError as error:
        raise UserError(f"--degrade {file} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--degrade {file} cannot be read: {reason}") from None
    options = flattened(content) if isinstance(content, dict) else {}
    options["blur_prob2"] = options.get("second_blur_prob")
    found: dict[str, Any] = {}
    for field in fields(DegradeConfig):
        name, default = field.name, field.default
        if name in ("degrade", "context", "usm", "shuffle", "blur_taps", "blur_prob") or (
            name.removesuffix("2") in ("noise_prob", "jpeg_prob")
        ):
            continue
        found[name] = numbers(options.get(name), default, f"--degrade {file}: {name}")
    for suffix in ("", "2"):
        kinds = options.get(f"kernel_list{suffix}", list(OURS))
        weights = found[f"kernel_prob{suffix}"]
        where = f"--degrade {file}: kernel_list{suffix}"
        found[f"kernel_prob{suffix}"] = in_our_order(kinds, weights, where)
    side = int(
        numbers(options.get("blur_kernel_size", 21), 21.0, f"--degrade {file}: blur_kernel_size")
    )
    return replace(
        DegradeConfig(degrade=GIVEN, **found),
        blur_taps=(min(7, side), side),
        usm=bool(options.get("l1_gt_usm", False)),
    )


def flattened(content: dict[Any, Any]) -> dict[str, Any]:
    """Settings of nested sections by their own names."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= flattened(cast("dict[Any, Any]", value))
        else:
            found[str(key)] = value
    return found


def numbers(value: Any, like: Any, where: str) -> Any:
    """A number, or several as a tuple, of the kind of a default. Raises UserError."""
    if isinstance(like, tuple):
        if not isinstance(value, list):
            raise UserError(
                f"{where} is {value}, not a list of numbers; give all that Real-ESRGAN's files have"
            )
        items = cast("list[Any]", value)
        return tuple(numbers(item, cast("tuple[Any]", like)[0], where) for item in items)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) <= sys.float_info.max:  # YAML has infinities, and no number
        raise UserError(f"{where} is {value}, not a number; give all that Real-ESRGAN's files have")
    return int(value) if isinstance(like, int) else float(value)


def in_our_order(kinds: Any, weights: tuple[float, ...], where: str) -> tuple[float, ...]:
    """Weights of blur kernels as `kernel_prob` has them; of one that is named twice, their sum. Raises UserError."""
    names = cast("list[Any]", kinds) if isinstance(kinds, list) else []
    if len(names) != len(weights) or any(name not in OURS for name in names):
        raise UserError(
            f"{where} is {kinds} for {len(weights)} weights; use some of {', '.join(OURS)}"
        )
    pairs = list(zip(names, weights, strict=True))
    return tuple(sum((weight for name, weight in pairs if name == kind), 0.0) for kind in OURS)
