"""A generator as ONNX, for any height and width, compared with torch before it is called done.

Axes: N images, C channels, h w low resolution, H W high resolution.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fastsr.errors import UserError
from fastsr.export.written import written
from fastsr.models import Generator
from fastsr.models.architecture import header_of
from fastsr.models.enlarge import Enlarge
from fastsr.models.fold import folded
from fastsr.models.tail import always_plain

SIZES = ((1, 1), (7, 13), (64, 64), (333, 500))
"""Heights and widths that are compared."""
LARGEST_DIFFERENCE = {False: 1e-3, True: 2e-2}
"""Between torch in fp32 and ONNX with weights in fp32, or fp16, of values in [0, 1]: a quarter of a level of 8 bits,
and five of them."""
OPSET = 18
REMEDY = "pip install 'fastsr[export]'"


class Portable(nn.Module):
    """A generator as other programs call it: fp32 `[N, C, h, w]` in and `[N, C, H, W]` out, both in [0, 1].

    What it folds into cells of pixels is filled up to whole ones here, by an index that needs no branch.
    """

    def __init__(self, generator: Generator, half: bool) -> None:
        super().__init__()
        self.scale, self.cell = generator.scale, generator.tile_multiple
        self.channels = generator.channels
        self.generator = generator.half() if half else generator
        self.dtype = torch.float16 if half else torch.float32
        always_plain(generator)
        for part in generator.modules():
            if isinstance(part, Enlarge):
                part.float()  # its filter stays in fp32, in which it computes

    def forward(self, image: Tensor) -> Tensor:
        x = image.to(self.dtype)
        if self.cell == 1:
            return self.generator(x).float().clamp(0, 1)
        h, w = x.shape[2:]
        rows, columns = (mirrored(side, h, w, self.cell) for side in (h, w))
        sr = self.generator(x[:, :, rows][:, :, :, columns]).float().clamp(0, 1)
        return sr[:, :, : h * self.scale, : w * self.scale]


def mirrored(side: int, h: int, w: int, cell: int) -> Tensor:
    """Places to read along an axis, up to whole cells: mirrored at the end, or that of the last where the image is
    smaller than a cell. The sides may be symbols."""
    place = torch.arange((side + cell - 1) // cell * cell)
    # Tensors, of which a comparison is traced; of symbols it would be decided here and now.
    smallest = torch.minimum(torch.full((1,), h), torch.full((1,), w))
    beyond = torch.where(smallest >= cell, 2 * (side - 1) - place, side - 1)
    return torch.where(place < side, place, beyond)


def export_onnx(
    generator: Generator,
    file: Path,
    *,
    half: bool = False,
    notes: Mapping[str, str] | None = None,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> float:
    """Writes a generator as ONNX. Returns its largest difference to torch, which is in the file's metadata, too.

    Args:
        half: weights and arithmetic in fp16; what goes in and comes out stays fp32.
        notes: for the metadata, beside the architecture.
        tell: gets a line on each size that is compared.
    Raises:
        UserError: onnx or onnxruntime is missing, results differ, or the file cannot be written; nothing is written.
    """
    onnx, runtime = packages()
    plain = folded(generator).cpu()
    program = traced(Portable(folded(plain), half).eval())
    found = difference(program.SerializeToString(), plain, runtime, tell)
    if not found <= LARGEST_DIFFERENCE[half]:
        raise UserError(
            f"{file} is not written: ONNX and torch differ by {found:.2g} of [0, 1]"
            + (
                "; export without --half"
                if half
                else ", which is a fault of fastsr or of onnxruntime"
            )
        )
    metadata = {
        **(notes or {}), **header_of(generator.architecture), "precision": "fp16" if half else "fp32",
        "max_difference_to_torch": f"{found:.3g}", "compared_sizes": json.dumps(SIZES),
    }  # fmt: skip
    onnx.helper.set_model_props(program, metadata)
    with written(file, overwrite) as temporary:
        temporary.write_bytes(program.SerializeToString())
    return found


def packages() -> tuple[Any, Any]:
    """onnx and onnxruntime. Raises UserError where one is missing."""
    try:
        import onnx
        import onnxruntime

        import_module("onnxscript")  # with which torch exports
    except ImportError as error:
        raise UserError(f"--format onnx needs {error.name}; {REMEDY}") from None
    return onnx, onnxruntime


def traced(portable: Portable) -> Any:
    """The program as ONNX has it, with any batch, height and width."""
    axes = {0: "batch", 2: "height", 3: "width"}
    example = torch.zeros(2, portable.channels, 16, 24)
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # it tells its progress
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            portable, (example,), dynamo=True, dynamic_shapes={"image": axes}, opset_version=OPSET,
            input_names=["image"], output_names=["enlarged"], verbose=False,
        )  # fmt: skip
    assert program is not None
    return program.model_proto


def difference(
    program: bytes, generator: Generator, runtime: Any, tell: Callable[[str], None]
) -> float:
    """The largest difference between ONNX and torch in fp32, over all sizes, of noise."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
    random, largest = torch.Generator().manual_seed(0), 0.0
    for h, w in SIZES:
        image = torch.rand(1, generator.channels, h, w, generator=random)
        with torch.no_grad():
            want = generator(image).clamp(0, 1)
        got = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
        assert got.shape == want.shape, f"{got.shape} instead of {want.shape} at {h}x{w}"
        found = float((got - want).abs().max())
        tell(f"{h}x{w}: largest difference to torch {found:.2g}")
        largest = max(largest, found) if found == found else found
    return largest
