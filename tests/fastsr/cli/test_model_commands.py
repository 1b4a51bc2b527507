"""`fastsr eval` and `fastsr upscale`: models, images and devices, and where results go."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fastsr.checkpoints import Best, write_best
from fastsr.models import SRResNet
from fastsr.models.model_file import save_generator
from tests.fastsr.cli.command_line import (
    Fastsr,
    Outcome,
    Trained,
    assert_one_line,
    checkpoint,
    generator,
    save_images,
    write_nothing,
    write_text,
)


def cut_generator(file: Path) -> None:
    os.truncate(generator(file), 4000)


def cut_header(file: Path) -> None:
    os.truncate(generator(file), 20)


def foreign_weights(file: Path) -> None:
    save_file({"conv.weight": torch.zeros(3)}, file)


def pickled_weights(file: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, file)


def not_finite(file: Path) -> None:
    network = SRResNet(2, blocks=1, filters=4)
    torch.nn.init.constant_(network.trunk_conv.weight, float("nan"))
    save_generator(network, file)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "text": write_text,
    "empty": write_nothing,
    "pickle": pickled_weights,
    "cut": cut_generator,
    "header cut": cut_header,
    "foreign": foreign_weights,
    "other architecture": lambda file: generator(file, header={"architecture": "ESRGAN"}),
    "header without blocks": lambda file: generator(file, header={"blocks": None}),
    "blocks in words": lambda file: generator(file, header={"blocks": "one"}),
    "blocks that do not fit": lambda file: generator(file, header={"blocks": "2"}),
    "filters that do not fit": lambda file: generator(file, header={"filters": "8"}),
    "filters below one": lambda file: generator(file, header={"filters": "-1"}),
    "weights that are not finite": not_finite,
    "unknown scale": lambda file: generator(file, header={"scale": "7"}),
}


@pytest.mark.parametrize("command", ["eval", "upscale"])
@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN.keys())
def test_models_that_are_damaged_or_none(
    fastsr: Fastsr, data: Path, tmp_path: Path, command: str, write: Callable[[Path], object]
) -> None:
    file = tmp_path / "model.safetensors"
    write(file)
    outcome = fastsr(command, file, *(("--sets", data) if command == "eval" else (data,)))
    assert_one_line(outcome, file)
    assert not Path("upscaled").exists()


@pytest.mark.parametrize("command", ["eval", "upscale"])
def test_models_that_are_missing(fastsr: Fastsr, data: Path, command: str) -> None:
    rest = ("--sets", data) if command == "eval" else (data,)
    remedy = "give a run, a checkpoint, or a generator's .safetensors file"
    assert_one_line(fastsr(command, "gone", *rest), f"gone does not exist; {remedy}")
    assert_one_line(fastsr(command, data, *rest), f"{data} holds no checkpoint; {remedy}")


def test_eval_without_a_model(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("eval", "--sets", data)
    assert outcome.code == 2
    assert "model" in outcome.err.lower()


def test_eval_of_two_scales(fastsr: Fastsr, data: Path, tmp_path: Path) -> None:
    models = [generator(tmp_path / f"x{scale}.safetensors", scale) for scale in (2, 4)]
    outcome = fastsr("eval", *models, "--sets", data)
    assert_one_line(
        outcome, "the models have different scales (x2 x2, x4 x4); evaluate one scale at a time"
    )


def test_eval_on_images_that_cannot_be_used(
    fastsr: Fastsr, trained: Trained, tmp_path: Path
) -> None:
    small = save_images(tmp_path / "small", 2, height=14)
    (small / "text.png").write_text("no image")
    outcome = fastsr("eval", trained.folder, "--sets", small, "--metrics", "psnr")
    assert outcome.code == 2
    assert outcome.err.startswith("fastsr: 3 test images cannot be used; mend or remove them:\n")
    assert [line.strip().partition(": ")[0] for line in outcome.err.splitlines()[1:]] == [
        f"{small}/{name}.png" for name in ("0", "1", "text")
    ]


@pytest.mark.parametrize("command", ["eval", "upscale"])
def test_missing_images_of_eval_and_upscale(
    fastsr: Fastsr, trained: Trained, tmp_path: Path, command: str
) -> None:
    (tmp_path / "empty").mkdir()
    flag = ["--sets"] if command == "eval" else []
    assert_one_line(fastsr(command, trained.folder, *flag, "gone"), "gone")
    assert_one_line(fastsr(command, trained.folder, *flag, "empty"), "empty holds no")


@pytest.mark.parametrize("command", ["eval", "upscale"])
@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "cuda:-1", "meta"])
def test_devices_of_eval_and_upscale(
    fastsr: Fastsr, trained: Trained, command: str, device: str
) -> None:
    flag = ["--sets"] if command == "eval" else []
    outcome = fastsr(command, trained.folder, *flag, trained.data, "--device", device)
    assert_one_line(outcome, f"--device {device} ")


def test_upscale_writes_larger_images_and_names_them(fastsr: Fastsr, trained: Trained) -> None:
    outcome = fastsr("upscale", trained.folder, trained.data, "--out", "large", "--device", "cpu")
    assert (outcome.code, outcome.err) == (0, "")
    *paths, last = outcome.out.splitlines()
    assert paths == [f"large/{k}-x2.png" for k in range(3)]
    assert last.startswith("3 images, 0.0 megapixels in ") and last.endswith(" megapixels/s)")
    for k in range(3):
        with Image.open(f"large/{k}-x2.png") as image:
            assert (image.size, image.mode, image.format) == ((88, 80), "RGB", "PNG")


def test_upscale_overwrites_nothing_unasked(fastsr: Fastsr, trained: Trained, tmp_path: Path) -> None:  # fmt: skip
    existing = tmp_path / "large/1-x2.png"
    existing.parent.mkdir()
    existing.write_text("precious")
    words = ("upscale", trained.folder, trained.data, "--out", "large")
    outcome = fastsr(*words)
    assert outcome.code == 0 and existing.read_text() == "precious"
    kept = "; 1 were there already and are kept (--overwrite replaces them)\n"
    assert outcome.out.endswith(kept) and "2 images" in outcome.out
    assert fastsr(*words, "--overwrite").out.count("-x2.png") == 3
    assert Image.open(existing).size == (88, 80)


def test_upscale_by_the_peer_that_is_asked_for(fastsr: Fastsr, run: Path, data: Path) -> None:
    image = data / "0.png"
    assert_one_line(fastsr("upscale", run, image, "--peer", "best"), "keeps no best checkpoint")
    assert_one_line(fastsr("upscale", run, image, "--peer", 2), f"{run} has no peer 2")
    write_best(run, Best(step=3, peer=1, psnr=20.0))
    made: dict[str, bytes] = {}
    for peer in ("0", "1", "best"):
        assert fastsr("upscale", run, image, "--peer", peer, "--out", peer).code == 0
        made[peer] = Image.open(Path(peer) / "0-x2.png").tobytes()
    assert fastsr("upscale", run, image, "--out", "default").code == 0
    assert made["best"] == made["1"] != made["0"]
    assert Image.open("default/0-x2.png").tobytes() == made["0"]


def test_upscale_of_two_images_to_one_name(fastsr: Fastsr, trained: Trained, data: Path) -> None:
    shutil.copy(data / "0.png", data / "0.bmp")
    words = ("upscale", trained.folder, data, "--out", "large")
    outcome = fastsr(*words, "--format", "png")
    assert_one_line(outcome, "0.png and", "0.bmp would both be written to large/0-x2.png")
    assert not Path("large").exists()
    assert fastsr(*words).code == 0 and Path("large/0-x2.bmp").is_file()


def test_upscale_lists_what_it_could_not_enlarge(fastsr: Fastsr, trained: Trained, data: Path) -> None:  # fmt: skip
    (data / "1.png").write_text("no image")
    outcome = fastsr("upscale", trained.folder, data, "--out", "large")
    assert outcome.code == 2 and Path("large/2-x2.png").is_file()
    assert outcome.err == (
        "fastsr: 1 of 3 images could not be enlarged:\n"
        f"  {data}/1.png: is not an image, or is damaged\n"
    )
    assert_one_line(fastsr("upscale", trained.folder, data, "--quality", 0), "--quality 0 cannot")
    assert_one_line(fastsr("upscale", trained.folder, data, "--tile", 0), "--tile 0 cannot be used")


def test_upscale_of_an_unreadable_image(fastsr: Fastsr, trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    outcome = fastsr("upscale", trained.folder, tmp_path / "text.png", "--out", "large")
    assert_one_line(outcome, f"{tmp_path}/text.png: is not an image, or is damaged")


def test_upscale_without_images(fastsr: Fastsr, trained: Trained) -> None:
    outcome = fastsr("upscale", trained.folder)
    assert outcome.code == 2
    assert "image" in outcome.err.lower()


@pytest.mark.parametrize("out", ["file", "file/large"])
def test_upscale_with_a_file_in_the_way(
    fastsr: Fastsr, trained: Trained, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("precious")
    outcome = fastsr("upscale", trained.folder, trained.data, "--out", tmp_path / out)
    assert_one_line(outcome, f"--out {tmp_path / out}")
    assert (tmp_path / "file").read_text() == "precious"


def evaluate(fastsr: Fastsr, *models: Path, sets: Path, more: tuple[object, ...] = ()) -> Outcome:
    outcome = fastsr("eval", *models, "--sets", sets, "--metrics", "psnr", "--device", "cpu", *more)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome


def test_results_of_one_run_are_kept_in_it(fastsr: Fastsr, run: Path, data: Path) -> None:
    outcome = evaluate(fastsr, run, sets=data)
    assert outcome.out.endswith(
        f"per image: {run}/evaluation/images.csv; everything: {run}/evaluation/evaluation.json\n"
    )
    written = sorted(path.name for path in (run / "evaluation").iterdir())
    assert written == ["evaluation.json", "images.csv", "means.csv", "pictures"]
    assert not Path("evaluation").exists()


def test_results_of_two_models_are_kept_here(
    fastsr: Fastsr, run: Path, trained: Trained, data: Path
) -> None:
    outcome = evaluate(fastsr, run, trained.folder, sets=data)
    assert outcome.out.endswith("everything: evaluation/evaluation.json\n")
    assert all(f"│ {name} peer 1 (ML) " in outcome.out for name in ("run", "run[v2]"))
    assert Path("evaluation/evaluation.json").is_file()
    assert not (run / "evaluation").exists() and not (trained.folder / "evaluation").exists()


def test_results_of_anything_but_a_run_are_kept_here(
    fastsr: Fastsr, run: Path, data: Path, tmp_path: Path
) -> None:
    for model in (checkpoint(run), generator(tmp_path / "model.safetensors")):
        evaluate(fastsr, model, sets=data)
        shutil.rmtree("evaluation")
    assert not (run / "evaluation").exists()


def test_results_go_where_they_are_asked_for_and_replace_earlier_ones_only(
    fastsr: Fastsr, run: Path, data: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        evaluate(fastsr, run, sets=data, more=("--out", "results[v2]"))
    assert Path("results[v2]/evaluation.json").is_file() and not (run / "evaluation").exists()
    outcome = fastsr("eval", run, "--sets", data, "--metrics", "psnr", "--out", data)
    assert_one_line(outcome, f"--out {data} exists and is no evaluation; give another folder")
    assert len(list(data.iterdir())) == 3


def test_eval_finds_test_sets_where_they_are_fetched_to(
    fastsr: Fastsr, run: Path, tmp_path: Path
) -> None:
    save_images(tmp_path / "cache/fastsr/data/Set5/HR", 5)
    assert "Set5, x2, 5 images" in evaluate(fastsr, run, sets=Path("set5")).out


def test_brackets_in_the_name_of_a_set_are_text(
    fastsr: Fastsr, run: Path, trained: Trained
) -> None:
    assert "images[v2], x2, 3 images" in evaluate(fastsr, run, sets=trained.data).out


def test_metrics_that_cannot_be_measured_are_refused_where_they_are_asked_for(
    fastsr: Fastsr, run: Path, data: Path
) -> None:
    pytest.importorskip("pyiqa", reason="pyiqa comes with the extra `eval`")
    outcome = fastsr("eval", run, "--sets", data, "--metrics", "niqe", "--device", "cpu")
    assert_one_line(outcome, "the weights of niqe cannot be fetched (", "--metric-weights FOLDER")
    assert not (run / "evaluation").exists()
