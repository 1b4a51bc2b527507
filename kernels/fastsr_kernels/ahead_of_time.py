"""Compiles kernels for GPUs that are not present, and reports registers, stack, shared memory and code size.

`python -m fastsr_kernels.ahead_of_time` prints the table. Neither a GPU nor a driver is needed: Triton brings NVIDIA's
assembler along.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from fastsr_kernels.batch_norm import kernel as norm_kernel
from fastsr_kernels.bicubic import Border
from fastsr_kernels.cohort_loss import kernel as loss_kernel
from fastsr_kernels.degrade.kernel import Plan
from fastsr_kernels.degrade.settings import NUMBERS, Frame
from fastsr_kernels.launch import Launch
from fastsr_kernels.patch_sampler import Crop, Images
from fastsr_kernels.patch_sampler import kernel as sampler_kernel

CAPABILITIES = (80, 86, 89, 90, 120)
"""A100; RTX 3060 to 3090; RTX 4060 to 4090; H100 and H200; RTX 5060 to 5090."""
POINTERS = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.uint8: "*u8",
    torch.int16: "*i16",
    torch.int32: "*i32",
    torch.int64: "*i64",
}
FP32, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16
ALIGNED = [["tt.divisibility", 16]]


@dataclass(frozen=True)
class Resources:
    """Resources of a compiled kernel."""

    registers: int
    """Of a thread."""
    stack: int
    """Bytes of a thread in slow local memory, spilled registers included; should be 0."""
    shared: int
    """Bytes of a program."""
    code: int
    """Bytes."""


def specialise(launch: Launch) -> ASTSource:
    """The variant of the kernel that this launch would compile: integers of value 1 and multiples of 16 are known."""
    signature: dict[str, str] = {}
    constants: dict[tuple[int], Any] = {}
    attributes: dict[tuple[int], Any] = {}
    for index, parameter in enumerate(launch.kernel.params):
        value = launch.arguments[parameter.name]
        if parameter.is_constexpr or value is None or (isinstance(value, int) and value == 1):
            signature[parameter.name] = "constexpr"
            constants[(index,)] = value
            continue
        if isinstance(value, torch.Tensor):
            signature[parameter.name] = POINTERS[value.dtype]
            attributes[(index,)] = ALIGNED  # torch's allocations are
        elif isinstance(value, float):
            signature[parameter.name] = "fp32"
        else:
            signature[parameter.name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if value % 16 == 0:
                attributes[(index,)] = ALIGNED
    return ASTSource(launch.kernel, signature, constants, attributes)


def resources(launch: Launch, capability: int) -> Resources:
    """Compiles one launch for a compute capability (8.6 is 86). Raises triton's error where that fails."""
    compiled = triton.compile(
        specialise(launch), target=GPUTarget("cuda", capability, 32), options=launch.options
    )
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage, sections = (disassemble(option, cubin) for option in ("-res-usage", "-elf"))
    found = {
        name: int(value) for name, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)
    }
    size = re.search(r"^\s*\w+\s+\w+\s+(\w+)\s.*PROGBITS.*\.text\.", sections, re.MULTILINE)
    return Resources(
        registers=found["REG"],
        stack=found["STACK"] + found["LOCAL"],
        shared=compiled.metadata.shared,
        code=int(size[1], 16) if size else 0,
    )


def disassemble(option: str, cubin: Path) -> str:
    """The output of `cuobjdump OPTION CUBIN`."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return subprocess.run([tool, option, cubin], capture_output=True, text=True, check=True).stdout


def loss_launch(
    peers: int,
    real: int,
    dtype: torch.dtype,
    fake: int | None = None,
    strides: tuple[int, int] | None = None,
    one_outcome: bool = False,
) -> Launch:
    """The launch of the cohort loss for this many logits of each peer, contiguous or with these strides."""

    def logits(count: int) -> torch.Tensor:
        return torch.empty_strided(
            (peers, count), strides or (count, 1), dtype=dtype, device="meta"
        )

    mixing_PP, ones_P = (
        torch.empty((peers, peers), device="meta"),
        torch.empty(peers, device="meta"),
    )
    return loss_kernel.plan(
        logits(real), logits(fake or real), mixing_PP, ones_P, ones_P, one_outcome
    )[0]


def sampler_launch(
    crop: Crop,
    dtype: torch.dtype,
    images: int,
    seed: int,
    sample: torch.dtype = torch.uint8,
    given: bool = False,
) -> Launch:
    """The launch of the patch sampler for this many images, of samples of this type; LR may be given."""
    table_I = torch.empty(images, dtype=torch.int64, device="meta")
    packed = Images(
        pixels_B := torch.empty(3 * images, dtype=sample, device="meta"),
        *[table_I] * 4,
        *((pixels_B, table_I) if given else ()),
    )
    step = torch.empty((), dtype=torch.int64, device="meta")
    return sampler_kernel.plan(packed, crop, seed, step, dtype)[0]


def loss_configurations() -> dict[str, Launch]:
    """Launches of the cohort loss by name: P peers, E logits of each."""
    return {
        "P1 E1 fp32": loss_launch(1, 1, FP32),
        "P1 E147456 bf16": loss_launch(1, 147456, BF16),
        "P2 E16 fp32": loss_launch(2, 16, FP32),
        "P2 E16 bf16": loss_launch(2, 16, BF16),
        "P6 E16 fp32": loss_launch(6, 16, FP32),
        "P16 E16 fp16": loss_launch(16, 16, FP16),
        "P2 E147456 fp32": loss_launch(2, 147456, FP32),
        "P3 E1000 fp16": loss_launch(3, 1000, FP16),
        "P3 E37x41 bf16 transposed": loss_launch(3, 37 * 41, BF16, strides=(1, 3)),
        "P6 E147456 bf16": loss_launch(6, 147456, BF16),
        "P8 E147456 fp32": loss_launch(8, 147456, FP32),
        "P8 E1 and E1000 fp16": loss_launch(8, 1, FP16, fake=1000),
        "P16 E147456 bf16": loss_launch(16, 147456, BF16),
        "P2 E16 bf16 one outcome": loss_launch(2, 16, BF16, one_outcome=True),
        "P6 E147456 bf16 one outcome": loss_launch(6, 147456, BF16, one_outcome=True),
        "P16 E147456 fp32 one outcome": loss_launch(16, 147456, FP32, one_outcome=True),
        "P2 E1000 fp16 2^31 apart": loss_launch(2, 1000, FP16, strides=(2**31 + 16, 2**31 + 3)),
    }


def sampler_configurations() -> dict[str, Launch]:
    """Launches of the patch sampler by name."""

    def crop(scale: int, border: Border, batch: int, patch: int, augment: bool = True) -> Crop:
        return Crop(scale, patch, batch, border, augment)

    return {
        "x2 fp32 one image": sampler_launch(crop(2, "replicate", 1, 96), FP32, 1, seed=1),
        "x2 bf16 mirrored": sampler_launch(crop(2, "mirror", 16, 192), BF16, 800, seed=2**40),
        "x3 fp16": sampler_launch(crop(3, "replicate", 1, 192), FP16, 800, seed=0),
        "x3 bf16 mirrored": sampler_launch(crop(3, "mirror", 16, 96), BF16, 1, seed=1),
        "x4 fp32": sampler_launch(crop(4, "replicate", 16, 96), FP32, 800, seed=0),
        "x4 bf16": sampler_launch(crop(4, "replicate", 16, 96), BF16, 800, seed=0),
        "x4 fp32 mirrored": sampler_launch(crop(4, "mirror", 1, 192), FP32, 1, seed=2**40),
        "x8 fp32 upright": sampler_launch(
            crop(8, "replicate", 16, 192, augment=False), FP32, 800, seed=2**40
        ),
        "x8 fp16 mirrored": sampler_launch(crop(8, "mirror", 1, 96), FP16, 800, seed=1),
        "x8 fp32 16 bits C13": sampler_launch(
            crop(8, "replicate", 16, 96)._replace(channels=13), FP32, 800, 0, torch.int16
        ),
        "x4 bf16 16 bits grey": sampler_launch(
            crop(4, "replicate", 16, 96)._replace(channels=1), BF16, 800, 0, torch.int16
        ),
        "x4 bf16 given": sampler_launch(crop(4, "replicate", 16, 96), BF16, 800, 0, given=True),
        "x1 fp32 C4": sampler_launch(
            crop(1, "replicate", 16, 96)._replace(channels=4), FP32, 800, 0
        ),
    }


def degrade_configurations() -> dict[str, Launch]:
    """Launches of the degradations by name: the first of each kernel, in colour as published, and with 4 channels."""
    published = Frame(4, 32, True, False, 7, 21, 1.5, 1.2)
    shuffled = Frame(2, 0, False, True, 7, 9, 1.5, 1.0)
    found: dict[str, Launch] = {}
    for name, frame, channels, seed in (
        ("C3", published, 3, 0),
        ("C4 shuffled", shuffled, 4, 2**40),
    ):
        hr_NCHW = torch.empty((16, channels, 128, 128), device="meta")
        numbers_F = torch.empty(NUMBERS, device="meta")
        step = torch.empty((), dtype=torch.int64, device="meta")
        for launch in Plan(hr_NCHW, frame, numbers_F, seed, step).launches:
            kernel = launch.kernel.fn.__name__.removesuffix("_kernel")
            variant = f" {launch.arguments['THEN']}" if kernel == "smooth" else ""
            found.setdefault(f"{kernel}{variant} {name}", launch)
    alike = ("draw C4 shuffled", "kernels C4 shuffled", "cut C4 shuffled")
    return {name: launch for name, launch in found.items() if name not in alike}


def norm_launches(
    shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    slopes: int,
    shortcut: bool,
    slope_dtype: torch.dtype = FP32,
) -> list[Launch]:
    """The four launches of batch normalisation for images `[N, C, H, W]`, with so many learnt slopes."""
    images, channels, *sides = shape
    x_NCHW = torch.empty((images, *sides, channels), dtype=dtype, device="meta").permute(0, 3, 1, 2)
    each_C = torch.empty(channels, device="meta")
    slope_S = torch.empty(slopes, dtype=slope_dtype, device="meta") if slopes else None
    forward, (_, statistics_2C) = norm_kernel.plan_forward(
        x_NCHW, each_C, each_C, slope_S, x_NCHW if shortcut else None, each_C, each_C, 0.1, 1e-5, 0.2,
    )  # fmt: skip
    backward, _ = norm_kernel.plan_backward(
        x_NCHW, x_NCHW, each_C, each_C, slope_S, statistics_2C, 0.2
    )
    return [*forward, *backward]


def norm_configurations() -> dict[str, Launch]:
    """Launches of batch normalisation by name: N images of C channels, and their side."""
    of = {
        "N16 C64 24 bf16 PReLU": norm_launches((16, 64, 24, 24), BF16, 64, False, BF16),
        "N16 C512 6 bf16 LeakyReLU shortcut": norm_launches((16, 512, 6, 6), BF16, 0, True),
        "N3 C100 48 fp32 shared shortcut": norm_launches((3, 100, 48, 48), FP32, 1, True),
        "N1 C1 1 fp32 PReLU": norm_launches((1, 1, 1, 1), FP32, 1, True),
    }
    return {
        f"{launch.kernel.fn.__name__.removesuffix('_kernel')} {name}": launch
        for name, launches in of.items()
        for launch in launches
    }


def table() -> Iterator[str]:
    """The lines of the table that the module prints."""
    yield f"triton {triton.__version__}"
    yield f"{'launch':42} {'capability':>10} {'registers':>9} {'stack':>5} {'shared':>6} {'code':>6}"
    for operator, configurations in (
        ("loss", loss_configurations()),
        ("sampler", sampler_configurations()),
        ("degrade", degrade_configurations()),
        ("norm", norm_configurations()),
    ):
        for name, launch in configurations.items():
            for capability in CAPABILITIES:
                r = resources(launch, capability)
                row = f"{r.registers:9} {r.stack:5} {r.shared:6} {r.code:6}"
                yield f"{f'{operator} {name}':42} {capability / 10:10} {row}"


if __name__ == "__main__":
    for line in table():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
