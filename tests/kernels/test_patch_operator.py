"""The patch sampler as an operator of torch: compiled, traced, and particular about what it is given."""

from typing import Any

import pytest
import torch
from devices import INTERPRETED, on_every_device
from fastsr_kernels.backend import backend
from fastsr_kernels.patch_sampler import Crop, Images, patch_sampler
from fastsr_kernels.patch_sampler.op import operator
from patch_cases import FLOATS, at, crop, moved, packed, pictures
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

crops = pytest.mark.parametrize(
    "what",
    [
        Crop(2, 8, 1, "replicate", True),
        Crop(8, 16, 3, "mirror", False),
        Crop(4, 4, 1, "replicate", False),
        Crop(3, 3, 2, "mirror", True),
    ],
    ids=["x2 N1 P8", "x8 N3 P16 upright", "x4 N1 P4 upright", "x3 N2 P3"],
)


def test_the_kernel_runs_where_it_is_interpreted() -> None:
    assert backend("cpu") == ("triton" if INTERPRETED else "torch")


@on_every_device
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_registration(dtype: torch.dtype, device: str) -> None:
    """Schema, fake tensors and AOTAutograd with static and dynamic shapes, all by torch's own check."""
    images = moved(packed(pictures()), device)
    torch.library.opcheck(operator, (*images, at(3, device), 7, dtype, 8, 16, 1, "mirror", True, 3))


@on_every_device
@crops
def test_compiles_into_one_graph_with_one_operator(what: Crop, device: str) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def record(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    arguments = (moved(packed(pictures()), device), what, 7, at(3, device))
    compiled = torch.compile(patch_sampler, fullgraph=True, backend=record)(*arguments)
    for a, b in zip(compiled, patch_sampler(*arguments), strict=True):
        assert torch.equal(a, b)
    calls = [
        node.target for graph in graphs for node in graph.graph.nodes if node.op == "call_function"
    ]
    assert [str(call) for call in calls if "fastsr" in str(call)] == [
        "fastsr.patch_sampler.default"
    ]


@on_every_device
def test_compiled_step_reads_the_counter_of_its_tensor(device: str) -> None:
    """The step is data, not a constant of the graph: no compilation for each step."""

    def advance(images: Images, step: Tensor) -> Tensor:
        lr, hr = patch_sampler(images, Crop(8, 8, 1, "mirror", True), 7, step)
        step += 1
        return lr.mean() + hr.mean()

    images, step = moved(packed(pictures()), device), at(0, device)
    compiled = torch.compile(advance, fullgraph=True, backend="aot_eager")
    got = [float(compiled(images, step))]
    with torch.compiler.set_stance("fail_on_recompile"):
        got += [float(compiled(images, step)) for _ in range(2)]
    assert got == [float(advance(images, at(s, device))) for s in range(3)]
    assert len(set(got)) == 3
    assert int(step) == 3


@crops
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_traced_for_a_gpu_without_one(what: Crop, dtype: torch.dtype) -> None:
    """Shapes, dtypes and strides of the branch for GPUs are those of the real thing on a CPU."""
    images, step = packed(pictures()), at(3)
    with FakeTensorMode():
        there = Images(*(torch.empty(x.shape, dtype=x.dtype, device="cuda") for x in images[:5]))
        traced = patch_sampler(
            there, what, 7, torch.empty((), dtype=torch.int64, device="cuda"), dtype
        )
    for a, b in zip(traced, patch_sampler(images, what, 7, step, dtype), strict=True):
        assert a.device.type == "cuda"
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())


@on_every_device
@crops
def test_channels_last_in_memory(what: Crop, device: str) -> None:
    for x in patch_sampler(moved(packed(pictures()), device), what, 7, at(3, device)):
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert x.permute(0, 2, 3, 1).is_contiguous()


@on_every_device
def test_inputs_stay_as_they_are(device: str) -> None:
    images, step = moved(packed(pictures()), device), at(3, device)
    before = [x.clone() for x in (*images[:5], step)]
    patch_sampler(images, crop(8), 7, step)
    assert all(torch.equal(a, b) for a, b in zip((*images[:5], step), before, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": Crop(0, 24, 1, "mirror", True)}, "multiple of the scale"),
        ({"crop": Crop(9, 27, 1, "mirror", True)}, "multiple of the scale"),
        ({"crop": Crop(2, 25, 1, "mirror", True)}, "multiple of the scale.*patch=25"),
        ({"crop": Crop(2, 0, 1, "mirror", True)}, "multiple of the scale"),
        ({"crop": Crop(2, 24, 0, "mirror", True)}, "batches of at least 1"),
        ({"crop": Crop(2, 24, 1, "wrap", True)}, "border"),
        ({"seed": -1}, "seed must be from 0 to 2.63 - 1, got -1"),
        ({"seed": 2**63}, "seed must be"),
        ({"dtype": torch.float64}, "dtype must be.*float64"),
        ({"step": torch.tensor(3, dtype=torch.int32)}, "step must be an int64 scalar, got torch.int32"),
        ({"step": torch.tensor([3])}, r"step must be an int64 scalar.*\(1,\)"),
        ({"pixels_B": torch.zeros(3)}, "pixels_B must be contiguous uint8"),
        ({"pixels_B": torch.zeros(3, 4, dtype=torch.uint8)}, "pixels_B must be contiguous uint8"),
        ({"pixels_B": torch.zeros(99, dtype=torch.uint8)[::3]}, "pixels_B must be contiguous uint8"),
        ({"pixels_B": torch.zeros(99, dtype=torch.uint8, device="meta")}, "pixels_B must be on cpu"),
        ({"height_I": torch.zeros(4, dtype=torch.int32)}, "height_I must be int64"),
        ({"width_I": torch.zeros(5, dtype=torch.int64)}, "width_I must be int64, one for each image"),
        ({"start_I": torch.zeros(4, 1, dtype=torch.int64)}, "start_I must be int64"),
        ({"height_I": torch.zeros(8, dtype=torch.int64)[::2]}, "height_I must be contiguous"),
        ({"cumulative_I": torch.zeros(4, dtype=torch.int64, device="meta")}, "cumulative_I is on meta and step on cpu"),
    ],
    ids=[
        "scale 0", "scale 9", "odd patch", "no patch", "no batch", "border", "negative seed", "long seed", "dtype",
        "step of 32 bits", "step of one axis", "float pixels", "pixels of two axes", "strided pixels",
        "pixels elsewhere", "short heights", "fewer images than widths", "starts of two axes", "strided heights",
        "weights elsewhere",
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    images = packed(pictures())
    images = images._replace(**{name: x for name, x in change.items() if name in Images._fields})
    arguments = {"crop": crop(2), "seed": 7, "step": at(0), "dtype": torch.float32} | {
        name: x for name, x in change.items() if name not in Images._fields
    }
    with pytest.raises(ValueError, match=message):
        patch_sampler(images, **arguments)


def test_no_images_are_named() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(ValueError, match="start_I must be int64, one for each image"):
        patch_sampler(
            Images(torch.zeros(3, dtype=torch.uint8), nothing, nothing, nothing, nothing),
            crop(2),
            7,
            at(0),
        )
