"""Compiles kernels for GPUs that are not there, and tells what they would occupy on them.

`python -m fastsr_kernels.ahead_of_time` prints the table. Neither a GPU nor a driver is needed: Triton brings NVIDIA's
assembler along.
"""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from fastsr_kernels.launch import Launch

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
