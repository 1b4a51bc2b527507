"""Fixtures shared by all tests. Everything is tiny, made here, and needs neither network nor data."""

import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from fastsr.config.settings import (
    CohortConfig,
    ImagesConfig,
    LossConfig,
    MachineConfig,
    ModelConfig,
    OptimConfig,
    OutputConfig,
    TrainConfig,
)
from fastsr.data.pixels import PixelStore
from tests.images import random_image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    # Tiny tensors gain nothing from more, and sums always run in one order.
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


@pytest.fixture(autouse=True)
def hang_up_is_heard() -> Generator[None, None, None]:
    """SIGHUP ends processes, as it does unless tests are run by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def exact_gpu() -> Generator[None, None, None]:
    """cuDNN sums in one order and without TF32, so that two ways to the same result can be compared closely."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = (
        True,
        False,
        False,
        False,
    )
    yield
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests write below their own folder, find no weights of the person who runs them, and reach no network."""
    if "pyiqa" in sys.modules:  # it has settled on a folder already
        monkeypatch.setattr(
            "pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "torch/pyiqa")
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shared_data() -> Path:
    """Benchmark images, where somebody keeps them beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no benchmark images at {SHARED}")
    return SHARED


@pytest.fixture
def store() -> PixelStore:
    """Five images of different, odd sizes."""
    sizes = ((40, 57), (33, 33), (64, 48), (37, 90), (50, 41))
    return PixelStore.from_images([random_image(h, w, seed) for seed, (h, w) in enumerate(sizes)])


@pytest.fixture
def tiny_config(tmp_path: Path) -> TrainConfig:
    """A cohort that trains in a second on one core; give it images and a folder with `replace`."""
    return TrainConfig(
        recipe="tiny",
        images=ImagesConfig(batch=2, patch=16, cache=tmp_path / "cache"),
        model=ModelConfig(scale=2, blocks=1, filters=4, discriminator_filters=2),
        cohort=CohortConfig(peers=2, variant="ml"),
        loss=LossConfig(content="pixel"),
        optim=OptimConfig(steps=6, pretrain_steps=3, lr=1e-3, ema=0.9),
        machine=MachineConfig(device="cpu", seed=3),
        output=OutputConfig(out=tmp_path / "run", log_every=2, save_every=4, val_every=4),
    )
