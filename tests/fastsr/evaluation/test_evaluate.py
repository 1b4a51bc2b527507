"""`fastsr eval`: what is measured, what is written, and that nothing is half-written."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from scipy.io import savemat

from fastsr.config.mixing import variants
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.config.toml import to_toml
from fastsr.data.bicubic import upscale
from fastsr.errors import UserError
from fastsr.evaluation.evaluate import Request, evaluate_models
from fastsr.evaluation.pairs import load_pair
from fastsr.evaluation.perceptual import Perceptual
from fastsr.evaluation.psnr_ssim import psnr_y, ssim_y
from fastsr.evaluation.results import Scoreboard
from fastsr.models import SRResNet
from fastsr.models.weights import save_generator
from tests.images import random_image

CPU = torch.device("cpu")
QUIET = Console(quiet=True)


def write_images(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    folder.mkdir(parents=True)
    for k, (height, width) in enumerate(sizes):
        Image.fromarray(random_image(height, width, k)).save(folder / f"{k}.png")
    return folder


def save_model(file: Path, scale: int = 2, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_generator(SRResNet(scale, blocks=1, filters=4).eval(), file)
    return file


def save_run(folder: Path, config: TrainConfig) -> Path:
    """A run as far as evaluation looks at it."""
    for k in range(config.cohort.peers):
        for kind in ("ema", "generator"):
            save_model(folder / f"checkpoints/step-00000012/peer-{k}-{kind}.safetensors", seed=2 * k + (kind == "ema"))
    (folder / "config.toml").write_text(to_toml(config))
    return folder


@pytest.fixture
def request_for(tmp_path: Path) -> Any:
    """A request for one small model on one set of two images, changed as wanted."""
    write_images(tmp_path / "mine", [(40, 52), (44, 48)])
    save_model(tmp_path / "model.safetensors")
    base = Request(
        models=(tmp_path / "model.safetensors",), sets=("mine",), data_root=tmp_path, out=tmp_path / "evaluation",
        metrics=("psnr", "ssim"),
    )  # fmt: skip
    return lambda **changes: replace(base, **changes)


def run(request: Request) -> tuple[Scoreboard, dict[str, Any]]:
    board = evaluate_models(request, CPU, QUIET)
    return board, json.loads((request.out / "evaluation.json").read_text())


def test_every_number_can_be_had_again_from_the_pictures(request_for: Any, tmp_path: Path) -> None:
    _, written = run(request_for())
    assert [row["image"] for row in written["pictures"]] == ["0", "1"]
    scores = {(row["image"], row["model"]): row for row in written["images"]}
    assert len(scores) == 4
    for row in written["pictures"]:
        images = {
            name: torch.from_numpy(np.array(Image.open(tmp_path / "evaluation" / file)))
            for name, file in row["files"].items()
        }
        assert list(images) == ["bicubic", "model", "HR"]
        for model in ("bicubic", "model"):
            assert scores[row["image"], model]["psnr"] == pytest.approx(psnr_y(images[model], images["HR"], 2))
            assert scores[row["image"], model]["ssim"] == pytest.approx(ssim_y(images[model], images["HR"], 2))


def test_means_are_over_images_and_equal_in_all_files(request_for: Any, tmp_path: Path) -> None:
    board, written = run(request_for())
    with (tmp_path / "evaluation/images.csv").open() as file:
        rows = list(csv.DictReader(file))
    for model in ("bicubic", "model"):
        values = [float(row["psnr"]) for row in rows if row["model"] == model]
        assert written["means"]["mine"][model]["psnr"] == pytest.approx(sum(values) / 2)
        assert board.means()["mine"][model]["psnr"] == pytest.approx(sum(values) / 2)
    with (tmp_path / "evaluation/means.csv").open() as file:
        assert [float(row["psnr"]) for row in csv.DictReader(file)] == [
            values["psnr"] for values in written["means"]["mine"].values()
        ]


def test_the_protocol_is_written_down(request_for: Any) -> None:
    _, written = run(request_for(border="mirror"))
    assert written["protocol"] == {
        "psnr": "PSNR (dB) on BT.601 studio-range luma of 8-bit images (grey originals: on grey), "
        "2 pixels cut from each side",
        "ssim": "SSIM on the same luma and crop, Gaussian window 11x11",
        "low_resolution": "MATLAB's bicubic, border mirror",
        "precision": "fp32",
    }  # fmt: skip
    assert written["environment"]["torch"] == torch.__version__


def test_a_run_is_scored_by_peer_raw_and_averaged(request_for: Any, tmp_path: Path) -> None:
    config = TrainConfig(cohort=CohortConfig(peers=2, variant="ml-star"))
    folder = save_run(tmp_path / "run", config)
    _, written = run(request_for(models=(folder,)))
    assert list(written["models"]) == ["bicubic", "peer 0", "peer 1", "peer 0 raw", "peer 1 raw"]
    assert written["models"]["peer 1 raw"] == {
        "file": str(folder / "checkpoints/step-00000012/peer-1-generator.safetensors"),
        "weights": "raw", "variant": "ML*",
    }  # fmt: skip
    assert written["step"] == 12
    assert written["means"]["mine"]["peer 0"] != written["means"]["mine"]["peer 0 raw"]
    _, averaged = run(request_for(models=(folder,), weights=("ema",)))
    assert list(averaged["models"]) == ["bicubic", "peer 0", "peer 1"]


def test_variants_of_block_diagonal_cohorts() -> None:
    matrix = ((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 0.0))
    cohort = CohortConfig(peers=4, mixing_matrix=matrix, temperature=(1, 1, 1, 4))
    assert variants(cohort) == ["Independent", "Independent", "ML", "ML*"]


def test_models_of_one_name_are_told_apart(request_for: Any, tmp_path: Path) -> None:
    models = (save_model(tmp_path / "a/g.safetensors"), save_model(tmp_path / "b/g.safetensors", seed=1))
    _, written = run(request_for(models=models))
    assert list(written["models"]) == ["bicubic", *map(str, models)]


def test_given_low_resolution_is_used(request_for: Any, tmp_path: Path) -> None:
    hr, lr = random_image(40, 40), random_image(20, 20, 9)
    for name, image in (("pairs/HR/a.png", hr), ("pairs/LR_bicubic/X2/ax2.png", lr)):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / name)
    _, given = run(request_for(sets=("pairs",), lr="given"))
    _, ours = run(request_for(sets=("pairs",)))
    assert given["protocol"]["low_resolution"] == "as given with the test sets"
    assert given["means"]["pairs"]["bicubic"]["psnr"] < ours["means"]["pairs"]["bicubic"]["psnr"] - 5


@pytest.mark.parametrize(
    ("height", "width", "fits"), [(40, 40, True), (41, 40, True), (42, 40, False), (38, 40, False)]
)
def test_sizes_of_given_pairs_must_belong_together(tmp_path: Path, height: int, width: int, fits: bool) -> None:
    write_images(tmp_path / "hr", [(height, width)])
    write_images(tmp_path / "lr", [(20, 20)])
    paths = tmp_path / "hr/0.png", tmp_path / "lr/0.png"
    if fits:
        pair = load_pair(paths[0], 2, lr_path=paths[1])
        assert (tuple(pair.hr.shape), pair.cropped) == ((40, 40, 3), height != 40)
        return
    with pytest.raises(UserError, match=rf"is 40x{height}, and its low resolution is 20x20, which at x2 is 40x40"):
        load_pair(paths[0], 2, lr_path=paths[1])


def test_cropping_is_said_once(request_for: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(tmp_path / "odd", [(41, 52), (44, 49), (44, 48)])
    board = evaluate_models(request_for(sets=("odd",)), CPU, Console(width=200))
    note = "2 of 3 images are cropped to a multiple of 2 pixels"
    assert board.sets["odd"]["notes"] == [note]
    assert capsys.readouterr().out.count(note) == 1


def test_an_earlier_evaluation_is_replaced_and_nothing_else(request_for: Any, tmp_path: Path) -> None:
    run(request_for(pictures=2))
    run(request_for(pictures=0))
    assert not (tmp_path / "evaluation/pictures").exists()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("keep me")
    with pytest.raises(UserError, match=r"letters exists and is no evaluation; give another folder"):
        run(request_for(out=tmp_path / "letters"))
    assert (tmp_path / "letters/dear.txt").read_text() == "keep me"
    assert not list(tmp_path.glob(".evaluating-*"))


def test_nothing_is_left_of_an_evaluation_that_fails(request_for: Any, tmp_path: Path) -> None:
    run(request_for())
    before = (tmp_path / "evaluation/evaluation.json").read_text()
    (tmp_path / "mine/broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"(?s)1 test images cannot be used.*broken\.png: is not an image"):
        run(request_for())
    assert (tmp_path / "evaluation/evaluation.json").read_text() == before
    assert not list(tmp_path.glob(".evaluating-*"))


def test_an_image_equal_to_its_original_has_no_psnr(request_for: Any, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "plain/grey.png")
    board, written = run(request_for(sets=("plain",)))
    assert written["images"][0]["psnr"] is None  # JSON has no infinity
    assert board.means()["plain"]["bicubic"]["psnr"] is None
    assert written["means"]["plain"]["bicubic"]["ssim"] == pytest.approx(1)


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
    savemat(file, {"model": {"linear": np.array([[1.0], [1 / 3], [1 / 3], [1 / 3]]), "rf": forests}})


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights of the person who runs the tests are found, and no network is reached."""
    pytest.importorskip("pyiqa", reason="pyiqa comes with the extra `eval`")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "pyiqa"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    save_niqe(folder / "niqe_modelparameters.mat")
    save_forest(folder / "NRQM_model.mat", threshold=-1e9)
    return folder


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
    niqe = pyiqa.create_metric("niqe", pretrained_model_path=str(weights / "niqe_modelparameters.mat"), **options)
    values = Perceptual(["niqe"], 4, CPU, weights).measure(image, image)
    assert values["niqe"] == pytest.approx(float(niqe(image.permute(2, 0, 1)[None].float() / 255)), rel=1e-4)


def test_niqe_with_the_published_parameters(shared_data: Path) -> None:
    """In the range that the literature gives for originals and for bicubic enlargements of Set5's butterfly."""
    pytest.importorskip("pyiqa", reason="pyiqa comes with the extra `eval`")
    weights = shared_data.parent / "weights"
    if not (weights / "niqe_modelparameters.mat").is_file():
        pytest.skip(f"no NIQE parameters in {weights}")
    pair = load_pair(shared_data / "matlab_bicubic/Set5/x4/img_003_HR.png", 4)
    metric = Perceptual(["niqe"], 4, CPU, weights)
    original, enlarged = metric.measure(pair.hr, pair.hr), metric.measure(upscale(pair.lr, 4), pair.hr)
    assert original["niqe"] is not None and enlarged["niqe"] is not None
    assert 2 < original["niqe"] < enlarged["niqe"] < 12


@pytest.mark.usefixtures("offline")
def test_images_too_small_for_niqe_have_none(request_for: Any, weights: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "sizes", [(60, 60), (110, 110)])
    board, _ = run(request_for(sets=("sizes",), metrics=("psnr", "niqe", "pi"), metric_weights=weights))
    small, large = (row for row in board.images if row["model"] == "bicubic")
    assert (small["niqe"], small["pi"]) == (None, None)
    assert board.means()["sizes"]["bicubic"]["niqe"] is None
    assert large["niqe"] > 0 and large["pi"] is not None


@pytest.mark.usefixtures("offline")
def test_perceptual_metrics_of_some_sets_alone(request_for: Any, weights: Path, tmp_path: Path) -> None:
    for name in ("fast", "slow"):
        write_images(tmp_path / name, [(110, 110)])
    chosen = request_for(
        sets=("fast", "slow"), metrics=("psnr_rgb", "niqe"), metric_weights=weights, perceptual_sets=("fast",)
    )
    _, written = run(chosen)
    assert written["means"]["fast"]["bicubic"]["niqe"] > 0 and written["means"]["slow"]["bicubic"]["niqe"] is None
    assert written["means"]["slow"]["bicubic"]["psnr_rgb"] > 0
    assert [facts["perceptual"] for facts in written["sets"].values()] == [True, False]


@pytest.mark.usefixtures("offline")
def test_metrics_without_weights_are_named_and_left_out(
    request_for: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    board = evaluate_models(request_for(metrics=()), CPU, Console(width=400))
    assert board.protocol.metrics == ("psnr", "psnr_rgb", "ssim")
    assert board.missing.keys() == {"niqe", "pi"}
    assert "put niqe_modelparameters.mat into a folder and give --metric-weights FOLDER" in board.missing["niqe"]
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
def test_lpips_by_networks_of_random_weights(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyiqa's and torchvision's real code, on files of their formats."""
    from torchvision.models import alexnet

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot be fetched .*put alexnet-owt-7be5be79\.pth from torchvision into "):
        Perceptual(["lpips"], 2, CPU, weights)
    trunk = tmp_path / "hub/checkpoints/alexnet-owt-7be5be79.pth"
    trunk.parent.mkdir(parents=True, exist_ok=True)
    torch.save(alexnet().state_dict(), trunk)
    linear = {f"lin{k}.model.1.weight": torch.rand(1, c, 1, 1) for k, c in enumerate((64, 192, 384, 256, 256))}
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


def test_without_pyiqa_the_remedy_and_its_licence_are_named(request_for: Any, tmp_path: Path) -> None:
    """In a process of its own, in which pyiqa cannot be found."""
    code = (
        "import sys, importlib.machinery as m; find = m.PathFinder.find_spec;"
        "m.PathFinder.find_spec = classmethod(lambda c, n, *a: None if n == 'pyiqa' else find(n, *a));"
        "from fastsr.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [str(tmp_path / "model.safetensors"), "--sets", "mine", "--data-root", str(tmp_path), "--device", "cpu"]
    request_for()
    done = subprocess.run([sys.executable, "-c", code, "eval", *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "NIQE is not measured: niqe needs pyiqa: pip install 'fastsr[eval]' (pyiqa; its licence is" in done.stdout
    assert "PSNR" in done.stdout
    asked = subprocess.run(
        [sys.executable, "-c", code, "eval", *words, "--metrics", "pi"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (asked.returncode, asked.stderr.count("\n")) == (2, 1)
    assert "non-commercial" in asked.stderr
