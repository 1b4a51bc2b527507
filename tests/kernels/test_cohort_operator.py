"""The cohort loss as an operator of torch: differentiable, compiled, traced, and particular about what it is given."""

import pytest
import torch
from cohort_cases import Inputs, assert_close, assert_equal, by_autograd, drawn
from devices import INTERPRETED, on_every_device
from fastsr_kernels.backend import backend
from fastsr_kernels.cohort_loss import CohortLoss, cohort_loss
from fastsr_kernels.cohort_loss.op import operator
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

FLOATS = [torch.float32, torch.bfloat16, torch.float16]


def differentiable(inputs: Inputs) -> Inputs:
    """With logits that ask for gradients."""
    return inputs._replace(
        z_real_PE=inputs.z_real_PE.detach().requires_grad_(),
        z_fake_PE=inputs.z_fake_PE.detach().requires_grad_(),
    )


def test_the_kernel_runs_where_it_is_interpreted() -> None:
    assert backend("cpu") == ("triton" if INTERPRETED else "torch")


@on_every_device
@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64], ids=str)
@pytest.mark.parametrize("one_outcome", [False, True], ids=["both outcomes", "one outcome"])
def test_backward_gives_the_returned_gradients(
    dtype: torch.dtype, one_outcome: bool, device: str
) -> None:
    """Each scaled by what arrives from above, and rounded to the dtype of the logits."""
    inputs = differentiable(drawn(3, 63, 2.0).of(dtype).to(device))
    loss = cohort_loss(*inputs, one_outcome)
    above_D, above_A = torch.tensor([[1.0, 0.5, -2.0], [3.0, 0.0, 1.0]], device=device).to(
        loss.discriminator_P.dtype
    )
    objective = (above_D * loss.discriminator_P + above_A * loss.adversarial_P).sum()
    grad_real, grad_fake = torch.autograd.grad(objective, [inputs.z_real_PE, inputs.z_fake_PE])
    want_fake = above_D[:, None] * loss.grad_fake_PE + above_A[:, None] * loss.grad_adversarial_PE
    assert torch.equal(grad_real, (above_D[:, None] * loss.grad_real_PE).to(dtype))
    assert torch.equal(grad_fake, want_fake.to(dtype))


@on_every_device
def test_adversarial_alone_leaves_real_logits_alone(device: str) -> None:
    inputs = differentiable(drawn(2, 16, 2.0).to(device))
    loss = cohort_loss(*inputs)
    loss.adversarial_P.sum().backward()
    assert torch.equal(inputs.z_fake_PE.grad, loss.grad_adversarial_PE)
    assert not inputs.z_real_PE.grad.any()


@on_every_device
@pytest.mark.parametrize(
    "name", ["terms_P4", "grad_real_PE", "grad_fake_PE", "grad_adversarial_PE"]
)
def test_nothing_else_is_differentiable(name: str, device: str) -> None:
    loss = cohort_loss(*differentiable(drawn(2, 16, 2.0).to(device)))
    assert loss.discriminator_P.requires_grad
    assert loss.adversarial_P.requires_grad
    assert not getattr(loss, name).requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        getattr(loss, name).sum().backward()


@on_every_device
def test_inputs_stay_as_they_are(device: str) -> None:
    inputs = drawn(3, 63, 2.0).to(device)
    before = Inputs(*(x.clone() for x in inputs))
    cohort_loss(*inputs)
    for name, a, b in zip(Inputs._fields, inputs, before, strict=True):
        assert torch.equal(a, b), name


@on_every_device
@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64], ids=str)
def test_registration(dtype: torch.dtype, device: str) -> None:
    """Schema, autograd, fake tensors and AOTAutograd with static and dynamic shapes, all by torch's own check."""
    inputs = differentiable(drawn(3, 16, 2.0, fake_logits=7).of(dtype).to(device))
    torch.library.opcheck(operator, tuple(inputs))
    torch.library.opcheck(operator, (*inputs, True))


@on_every_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_compiles_into_one_graph_with_one_operator(dtype: torch.dtype, device: str) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def record(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    inputs = drawn(3, 63, 2.0).of(dtype).to(device)
    assert_equal(
        torch.compile(cohort_loss, fullgraph=True, backend=record)(*inputs), cohort_loss(*inputs)
    )
    calls = [
        node.target for graph in graphs for node in graph.graph.nodes if node.op == "call_function"
    ]
    assert [str(call) for call in calls if "fastsr" in str(call)] == ["fastsr.cohort_loss.default"]


@on_every_device
def test_compiled_step_gives_the_same_gradients(device: str) -> None:
    def step(inputs: Inputs) -> Tensor:
        loss = cohort_loss(*inputs)
        return (loss.discriminator_P + 0.1 * loss.adversarial_P).sum()

    inputs = differentiable(drawn(2, 16, 2.0).to(device))
    leaves = [inputs.z_real_PE, inputs.z_fake_PE]
    want = torch.autograd.grad(step(inputs), leaves)
    got = torch.autograd.grad(
        torch.compile(step, fullgraph=True, backend="aot_eager")(inputs), leaves
    )
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64], ids=str)
def test_traced_for_a_gpu_without_one(dtype: torch.dtype) -> None:
    """Shapes, dtypes and strides of the branch for GPUs are those of the real thing on a CPU."""
    inputs = drawn(3, 16, 2.0, fake_logits=7).of(dtype)
    with FakeTensorMode():
        there = Inputs(
            *(
                torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="cuda")
                for x in inputs
            )
        )
        traced = cohort_loss(*there)
    for name, a, b in zip(CohortLoss._fields, traced, cohort_loss(*inputs), strict=True):
        assert a.device.type == "cuda", name
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride()), name


@on_every_device
def test_strides_follow_no_input(device: str) -> None:
    """Gradients are contiguous whatever the logits are, as the traced operator promises."""
    inputs = drawn(3, 16, 2.0).to(device)
    loss = cohort_loss(*inputs._replace(z_real_PE=inputs.z_real_PE.t().contiguous().t()))
    assert all(x.is_contiguous() for x in loss)


@on_every_device
def test_mixed_precision_of_weights(device: str) -> None:
    """Weights may be of any floating dtype beside logits of another."""
    inputs = drawn(2, 16, 2.0).of(torch.bfloat16)
    half = inputs._replace(
        mixing_PP=inputs.mixing_PP.half(), temperature_P=inputs.temperature_P.double()
    )
    assert_close(cohort_loss(*half.to(device)), by_autograd(half))


EYE, ONES = torch.eye(2), torch.ones(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z_real_PE": torch.zeros(3, 4)}, "z_real_PE and z_fake_PE must be"),
        ({"z_real_PE": torch.zeros(2, 0)}, "z_real_PE and z_fake_PE must hold"),
        ({"z_fake_PE": torch.zeros(2)}, "z_real_PE and z_fake_PE must be"),
        ({"mixing_PP": torch.zeros(3, 3)}, r"mixing_PP must have shape \(2, 2\)"),
        ({"temperature_P": torch.ones(3)}, r"temperature_P must have shape \(2,\)"),
        ({"kl_weight_P": torch.ones(1)}, r"kl_weight_P must have shape \(2,\)"),
        ({"z_fake_PE": torch.zeros(2, 4, dtype=torch.float16)}, "of one dtype.*float32 and torch.float16"),
        ({"z_real_PE": torch.zeros(2, 4, dtype=torch.int64)}, "of one dtype.*int64"),
        ({"mixing_PP": torch.zeros(2, 2, dtype=torch.int64)}, "mixing_PP must hold floating point.*int64"),
        ({"temperature_P": torch.ones(2, dtype=torch.bool)}, "temperature_P must hold floating point.*bool"),
        ({"z_fake_PE": torch.zeros(2, 4, device="meta")}, "z_fake_PE is on meta and z_real_PE on cpu"),
        ({"mixing_PP": torch.zeros(2, 2, device="meta")}, "mixing_PP is on meta"),
        ({"temperature_P": torch.ones(2, device="meta")}, "temperature_P is on meta"),
        ({"kl_weight_P": torch.ones(2, device="meta")}, "kl_weight_P is on meta"),
        ({"mixing_PP": EYE - 1}, "mixing_PP must be 0 or more"),
        ({"mixing_PP": EYE}, "mixing_PP must be 0 or more, and 0 on its diagonal"),
        ({"temperature_P": torch.tensor([1.0, 0.0])}, r"temperature_P must be above 0, got \[1.0, 0.0\]"),
        ({"temperature_P": -ONES}, "temperature_P must be above 0"),
        ({"temperature_P": torch.nan * ONES}, "temperature_P must be above 0"),
        ({"kl_weight_P": -ONES}, "kl_weight_P must be 0 or more"),
        ({"kl_weight_P": torch.nan * ONES}, "kl_weight_P must be 0 or more"),
        ({"mixing_PP": torch.nan * (1 - EYE)}, "mixing_PP must be 0 or more"),
    ],
    ids=[
        "peers differ", "no logits", "one axis", "mixing", "temperature", "weight", "dtypes differ", "integer logits",
        "integer mixing", "boolean temperature", "fake elsewhere", "mixing elsewhere", "temperature elsewhere",
        "weight elsewhere", "negative mixing", "peers teach themselves", "zero temperature", "negative temperature",
        "temperature nan", "negative weight", "weight nan", "mixing nan",
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change: dict[str, Tensor], message: str) -> None:
    inputs = Inputs(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2, 2), ONES, ONES)
    with pytest.raises(ValueError, match=message):
        cohort_loss(*inputs._replace(**change))


@pytest.mark.gpu
def test_a_tensor_on_the_wrong_device_is_named() -> None:
    inputs = drawn(2, 4, 1.0).to("cuda")
    with pytest.raises(
        ValueError, match="temperature_P is on cpu and z_real_PE on cuda:0; move it there"
    ):
        cohort_loss(*inputs._replace(temperature_P=torch.ones(2)))
