"""Compiles kernels for GPUs that are not there, and tells what they would occupy on them.

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

from fastsr_kernels.bicubic import Border
from fastsr_kernels.cohort_loss import kernel as loss_kernel
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
    torch.int32: "*i32",
    torch.int64: "*i64",
}
ALIGNED = [["tt.divisibility", 16]]


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel occupies."""

    registers: int
    """Of a thread."""
    stack: int
    """Bytes of a thread in slow local memory, spilled registers included; 0 is what is wanted."""
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
    compiled = triton.compile(specialise(launch), target=GPUTarget("cuda", capability, 32), options=launch.options)
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage, sections = (disassemble(option, cubin) for option in ("-res-usage", "-elf"))
    found = {name: int(value) for name, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    size = re.search(r"^\s*\w+\s+\w+\s+(\w+)\s.*PROGBITS.*\.text\.", sections, re.MULTILINE)
    return Resources(
        registers=found["REG"],
        stack=found["STACK"] + found["LOCAL"],
        shared=compiled.metadata.shared,
        code=int(size[1], 16) if size else 0,
    )


def disassemble(option: str, cubin: Path) -> str:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return subprocess.run([tool, option, cubin], capture_output=True, text=True, check=True).stdout


def loss_launch(peers: int, logits: int, dtype: torch.dtype, transposed: bool = False) -> Launch:
    """The launch of the cohort loss for logits `[peers, logits]`, or for the transposed view of such."""
    shape = (logits, peers) if transposed else (peers, logits)
    z_PE = torch.empty(shape, dtype=dtype, device="meta")
    z_PE = z_PE.t() if transposed else z_PE
    mixing_PP, ones_P = torch.empty((peers, peers), device="meta"), torch.empty(peers, device="meta")
    return loss_kernel.plan(z_PE, z_PE, mixing_PP, ones_P, ones_P)[0]


def sampler_launch(scale: int, border: Border, dtype: torch.dtype, images: int = 800, seed: int = 0) -> Launch:
    """The launch of the patch sampler for the paper's patches: 16 of 96 pixels."""

    def table(dtype: torch.dtype, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    packed = Images(table(torch.uint8, 3 * images), *(table(torch.int64, images) for _ in range(4)))
    crop = Crop(scale=scale, patch=96, batch=16, border=border, augment=True)
    return sampler_kernel.plan(packed, crop, seed, table(torch.int64), dtype)[0]


def configurations() -> Iterator[tuple[str, Launch]]:
    """Launches that occur in training, with names: what the table shows and the tests compile."""
    fp32, bf16, fp16 = torch.float32, torch.bfloat16, torch.float16
    for peers, logits, dtype in ((1, 1, fp32), (2, 16, fp32), (6, 16, bf16), (16, 16, fp16), (3, 1000, fp32),
                                 (2, 147456, bf16), (8, 147456, bf16), (16, 147456, fp32)):  # fmt: skip
        yield f"cohort_loss {peers}x{logits} {name_of(dtype)}", loss_launch(peers, logits, dtype)
    yield "cohort_loss 3x37 float16, transposed", loss_launch(3, 37, fp16, transposed=True)
    crops: list[tuple[int, Border, torch.dtype]] = [
        (2, "replicate", fp32), (3, "replicate", fp16), (4, "replicate", fp32), (4, "mirror", bf16), (8, "mirror", fp32)
    ]  # fmt: skip
    for scale, border, dtype in crops:
        yield f"patch_sampler x{scale} {border} {name_of(dtype)}", sampler_launch(scale, border, dtype)
    yield "patch_sampler x4 of one image, seed 2^40", sampler_launch(4, "replicate", fp32, images=1, seed=2**40)


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def table() -> Iterator[str]:
    """The lines of the table that the module prints."""
    yield f"triton {triton.__version__}"
    yield f"{'launch':44} {'capability':>10} {'registers':>9} {'stack':>5} {'shared':>6} {'code':>6}"
    for name, launch in configurations():
        for capability in CAPABILITIES:
            r = resources(launch, capability)
            row = f"{r.registers:9} {r.stack:5} {r.shared:6} {r.code:6}"
            yield f"{name:44} {capability / 10:10} {row}"


if __name__ == "__main__":
    for line in table():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
