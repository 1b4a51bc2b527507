"""The choice of implementation: made once, logged once, overridden by a variable, and possible without triton."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from cohort_cases import assert_equal, drawn
from fastsr_kernels.backend import backend, choose
from fastsr_kernels.cohort_loss import cohort_loss, reference


@pytest.fixture
def undecided() -> Iterator[None]:
    """As in a process in which no operator has run yet."""
    backend.cache_clear()
    yield
    backend.cache_clear()


@pytest.mark.parametrize(
    ("device", "asked", "installed", "interpreted", "chosen"),
    [
        ("cuda", "", True, False, "triton"),
        ("cuda", "", True, True, "triton"),
        ("cuda", "", False, False, "torch"),
        ("cuda", "torch", True, False, "torch"),
        ("cuda", "triton", True, False, "triton"),
        ("cpu", "", True, False, "torch"),
        ("cpu", "", True, True, "triton"),
        ("cpu", "", False, True, "torch"),
        ("cpu", "", False, False, "torch"),
        ("cpu", "torch", True, True, "torch"),
        ("cpu", "torch", False, False, "torch"),
        ("cpu", "triton", True, True, "triton"),
        ("mps", "", False, False, "torch"),
    ],
)
def test_choice(device: str, asked: str, installed: bool, interpreted: bool, chosen: str) -> None:
    assert choose(device, asked, installed, interpreted)[0] == chosen


@pytest.mark.parametrize(
    ("device", "asked", "installed", "interpreted", "message"),
    [
        ("cuda", "cuda", True, False, "FASTSR_KERNELS=cuda is not known; use triton or torch"),
        ("cpu", "Torch", True, False, "FASTSR_KERNELS=Torch is not known"),
        ("cuda", "triton", False, False, "triton is not installed"),
        ("cpu", "triton", False, True, "triton is not installed"),
        ("cpu", "triton", True, False, "needs TRITON_INTERPRET=1"),
    ],
)
def test_what_cannot_be_done_is_refused(
    device: str, asked: str, installed: bool, interpreted: bool, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose(device, asked, installed, interpreted)


@pytest.mark.usefixtures("undecided")
def test_the_choice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="fastsr_kernels"):
        for _ in range(3):
            cohort_loss(*drawn(2, 4, 1.0))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "fastsr_kernels"]
    assert line.startswith("operators on cpu run in ")


@pytest.mark.usefixtures("undecided")
def test_the_variable_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSR_KERNELS", "torch")
    inputs = drawn(3, 63, 2.0)
    assert_equal(cohort_loss(*inputs), reference.cohort_loss(*inputs))
    assert backend("cuda") == "torch"
    monkeypatch.setenv("FASTSR_KERNELS", "jax")
    assert backend("cpu") == "torch", "decided once"


@pytest.mark.usefixtures("undecided")
def test_a_wrong_variable_is_refused_when_operators_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSR_KERNELS", "jax")
    with pytest.raises(ValueError, match="FASTSR_KERNELS=jax is not known"):
        cohort_loss(*drawn(2, 4, 1.0))


WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None  # importing it fails, and nobody finds it
import torch
from fastsr_kernels.backend import backend
from fastsr_kernels.cohort_loss import cohort_loss
from fastsr_kernels.patch_sampler import Crop, Images, patch_sampler

z = torch.linspace(-3, 3, 12).view(2, 6).requires_grad_()
loss = cohort_loss(z, z.detach(), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.ones(2), torch.ones(2))
loss.discriminator_P.sum().backward()
assert torch.equal(z.grad, loss.grad_real_PE)
table = torch.tensor([16])
images = Images(torch.arange(768).to(torch.uint8), torch.tensor([0]), table, table, torch.tensor([1]))
lr, hr = patch_sampler(images, Crop(2, 8, 3, "mirror", True), 7, torch.tensor(0))
assert (lr.shape, hr.shape) == ((3, 3, 4, 4), (3, 3, 8, 8))
assert backend("cpu") == backend("cuda") == "torch"
assert not any(name.startswith("triton.") for name in sys.modules)
print("both operators ran")
"""


@pytest.mark.parametrize("asked", ["", "1"], ids=["plain", "TRITON_INTERPRET=1"])
def test_nothing_is_missing_without_triton(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", asked)
    monkeypatch.delenv("FASTSR_KERNELS", raising=False)
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], capture_output=True, text=True)
    assert done.stdout == "both operators ran\n", done.stderr


def test_operators_import_no_triton_until_they_run() -> None:
    code = "import sys, fastsr_kernels.cohort_loss.op, fastsr_kernels.patch_sampler.op as op; print(op.torch.__name__, "
    code += "'fastsr_kernels.cohort_loss.kernel' in sys.modules, 'fastsr_kernels.patch_sampler.kernel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{torch.__name__} False False\n"
