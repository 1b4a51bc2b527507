"""Perceptual metrics through pyiqa, with small weight files that tests make."""

import subprocess
import sys
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.io import savemat

from fastsr.data.bicubic import upscale
from fastsr.errors import UserError
from fastsr.evaluation.evaluate import evaluate_models
from fastsr.evaluation.pairs import load_pair
from fastsr.evaluation.perceptual import Perceptual
from tests.fastsr.evaluation.small_models import CPU, QUIET, run, write_images
from tests.images import random_image


def save_niqe(file: Path) -> None:
    """Parameters of the right shapes: mean and covariance of 36 features of photos that nobody took."""
    savemat(file, {"mu_prisparam": np.ones((1, 36)), "cov_prisparam": np.eye(36)})


def save_forest(file: Path, threshold: float) -> None:
    """NRQM's format: for each of three groups of features a forest, here of two equal trees of one split each.

    What is up to the threshold in its first feature is worth 4, what is above it 8; Ma = 1 + the groups' mean.
    """
    columns = {
        "ldau": [2, 0, 0], "rdau": [3, 0, 0], "unused1": [0, 0, 0], "unused2": [0, 0, 0],
        "threshold": [threshold, 0, 0], "prediction": [0, 4, 8], "attribute": [1, 1, 1],
    }  # fmt: skip
    whole = ("ldau", "rdau", "attribute")
    tree = {
        name: np.array([values, values], dtype=np.int32 if name in whole else np.float64).T
        for name, values in columns.items()
    }
    forests = np.empty((1, 3), dtype=object)
    forests[0, :] = [tree, tree, tree]
    savemat(
        file, {"model": {"linear": np.array([[1.0], [1 / 3], [1 / 3], [1 / 3]]), "rf": forests}}
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    save_niqe(folder / "niqe_modelparameters.mat")
    save_forest(folder / "NRQM_model.mat", threshold=-1e9)
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights of the person who runs the tests are found, and no network is reached."""
    pytest.importorskip("pyiqa", reason="pyiqa comes with the extra `eval`")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "pyiqa"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("threshold", "ma"), [(1e9, 5.0), (-1e9, 9.0)])
def test_pi_by_a_small_forest(weights: Path, threshold: float, ma: float) -> None:
    save_forest(weights / "NRQM_model.mat", threshold)
    image = torch.from_numpy(random_image(200, 210))
    values = Perceptual(["niqe", "pi"], 2, CPU, weights).measure(image, image)
    assert values["niqe"] is not None and values["niqe"] > 0
    assert values["pi"] == pytest.approx(((10 - ma) + values["niqe"]) / 2, abs=1e-9)


@pytest.mark.usefixtures("offline")
def test_niqe_and_ma_equal_pyiqas_own_on_colour(weights: Path) -> None:
    """pyiqa's metrics are given our luma; by themselves they would make the same of the RGB image."""
    import pyiqa

    image = torch.from_numpy(random_image(200, 210))
    options = {"crop_border": 4, "color_space": "ycbcr", "device": "cpu"}
    niqe = pyiqa.create_metric(
        "niqe", pretrained_model_path=str(weights / "niqe_modelparameters.mat"), **options
    )
    values = Perceptual(["niqe"], 4, CPU, weights).measure(image, image)
    assert values["niqe"] == pytest.approx(
        float(niqe(image.permute(2, 0, 1)[None].float() / 255)), rel=1e-4
    )


def test_niqe_with_the_published_parameters(shared_data: Path) -> None:
    """In the range that the literature gives for originals and for bicubic enlargements of Set5's butterfly."""
    pytest.importorskip("pyiqa", reason="pyiqa comes with the extra `eval`")
    weights = shared_data.parent / "weights"
    if not (weights / "niqe_modelparameters.mat").is_file():
        pytest.skip(f"no NIQE parameters in {weights}")
    pair = load_pair(shared_data / "matlab_bicubic/Set5/x4/img_003_HR.png", 4)
    metric = Perceptual(["niqe"], 4, CPU, weights)
    original, enlarged = (
        metric.measure(pair.hr, pair.hr),
        metric.measure(upscale(pair.lr, 4), pair.hr),
    )
    assert original["niqe"] is not None and enlarged["niqe"] is not None
    assert 2 < original["niqe"] < enlarged["niqe"] < 12


@pytest.mark.usefixtures("offline")
def test_images_too_small_for_niqe_have_none(
    request_for: Any, weights: Path, tmp_path: Path
) -> None:
    write_images(tmp_path / "sizes", [(60, 60), (110, 110)])
    evaluation, _ = run(
        request_for(sets=("sizes",), metrics=("psnr", "niqe", "pi"), metric_weights=weights)
    )
    small, large = (row.values for row in evaluation.images if row.model == "bicubic")
    assert isnan(small["niqe"]) and isnan(small["pi"])
    assert isnan(evaluation.mean("sizes", "bicubic", "niqe"))
    assert large["niqe"] > 0 and isfinite(large["pi"])


@pytest.mark.usefixtures("offline")
def test_an_image_of_a_single_colour_has_no_niqe(weights: Path) -> None:
    """As a generator that has collapsed gives them; pyiqa's algebra raises an error on it."""
    flat, noise = torch.full((210, 200, 3), 128, dtype=torch.uint8), random_image(210, 200)
    metric = Perceptual(["niqe", "pi"], 2, CPU, weights)
    assert metric.measure(flat, flat) == {"niqe": None, "pi": None}
    assert metric.measure(torch.from_numpy(noise), flat)["niqe"] is not None


@pytest.mark.usefixtures("offline")
def test_perceptual_metrics_of_some_sets_alone(
    request_for: Any, weights: Path, tmp_path: Path
) -> None:
    for name in ("fast", "slow"):
        write_images(tmp_path / name, [(110, 110)])
    chosen = request_for(
        sets=("fast", "slow"),
        metrics=("psnr_rgb", "niqe"),
        metric_weights=weights,
        perceptual_sets=("fast",),
    )
    _, written = run(chosen)
    assert (
        written["means"]["fast"]["bicubic"]["niqe"] > 0
        and written["means"]["slow"]["bicubic"]["niqe"] is None
    )
    assert written["means"]["slow"]["bicubic"]["psnr_rgb"] > 0
    assert [facts.get("perceptual", True) for facts in written["sets"].values()] == [True, False]


@pytest.mark.usefixtures("offline")
def test_metrics_without_weights_are_named_and_left_out(
    request_for: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    evaluation = evaluate_models(request_for(metrics=()), CPU, Console(width=400))
    assert evaluation.metrics == ("psnr", "psnr_rgb", "ssim")
    assert evaluation.missing.keys() == {"niqe", "pi"}
    assert (
        "put niqe_modelparameters.mat into a folder and give --metric-weights FOLDER"
        in evaluation.missing["niqe"]
    )
    said = capsys.readouterr().out
    assert said.count("NIQE is not measured: the weights of niqe cannot be fetched") == 1
    with pytest.raises(UserError, match="the weights of niqe cannot be fetched"):
        evaluate_models(request_for(metrics=("psnr", "niqe"), out=tmp_path / "other"), CPU, QUIET)
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["niqe", "pi", "lpips"])
def test_damaged_weights_are_named(weights: Path, name: str) -> None:
    for file in ("niqe_modelparameters.mat", "NRQM_model.mat", "LPIPS_v0.1_alex-df73285e.pth"):
        (weights / file).write_bytes(b"nothing of use")
    with pytest.raises(UserError, match=r"cannot be (read as weights|fetched)") as raised:
        Perceptual([name], 2, CPU, weights)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("offline")
def test_lpips_by_networks_of_random_weights(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyiqa's and torchvision's real code, on files of their formats."""
    from torchvision.models import alexnet

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=r"cannot be fetched .*put alexnet-owt-7be5be79\.pth from torchvision into "
    ):
        Perceptual(["lpips"], 2, CPU, weights)
    trunk = tmp_path / "hub/checkpoints/alexnet-owt-7be5be79.pth"
    trunk.parent.mkdir(parents=True, exist_ok=True)
    torch.save(alexnet().state_dict(), trunk)
    linear = {
        f"lin{k}.model.1.weight": torch.rand(1, c, 1, 1)
        for k, c in enumerate((64, 192, 384, 256, 256))
    }
    torch.save(linear, weights / "LPIPS_v0.1_alex-df73285e.pth")
    metric = Perceptual(["lpips"], 2, CPU, weights)
    trunk.unlink()  # 244 MB
    image = torch.from_numpy(random_image(64, 64))
    assert metric.measure(image, image)["lpips"] == pytest.approx(0, abs=1e-6)
    assert (metric.measure(255 - image, image)["lpips"] or 0) > 0.1


@pytest.mark.usefixtures("offline")
def test_grey_originals_are_measured_on_their_grey(weights: Path) -> None:
    image = torch.from_numpy(random_image(200, 210)[..., :1].repeat(3, axis=2))
    metric = Perceptual(["niqe"], 2, CPU, weights)
    as_grey, as_colour = (metric.measure(image, image, grey)["niqe"] for grey in (True, False))
    assert as_grey != as_colour


def test_without_pyiqa_the_remedy_and_its_licence_are_named(
    request_for: Any, tmp_path: Path
) -> None:
    """In a process of its own, in which pyiqa cannot be found."""
    code = (
        "import sys, importlib.machinery as m; find = m.PathFinder.find_spec;"
        "m.PathFinder.find_spec = classmethod(lambda c, n, *a: None if n == 'pyiqa' else find(n, *a));"
        "from fastsr.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [
        str(tmp_path / "model.safetensors"),
        "--sets",
        "mine",
        "--data-root",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    request_for()
    done = subprocess.run(
        [sys.executable, "-c", code, "eval", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (
        "NIQE is not measured: niqe needs pyiqa: pip install 'fastsr[eval]' (pyiqa; its licence is"
        in done.stdout
    )
    assert "PSNR" in done.stdout
    asked = subprocess.run(
        [sys.executable, "-c", code, "eval", *words, "--metrics", "pi"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (asked.returncode, asked.stderr.count("\n")) == (2, 1)
    assert "non-commercial" in asked.stderr
