"""The command line: what words mean, and what a person reads who got one of them wrong."""

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, is_dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file

from fastsr import __version__
from fastsr.cli import DoctorArguments, main, train_config
from fastsr.config import TrainConfig
from fastsr.errors import UserError
from fastsr.images import find_images
from fastsr.models import SRResNet
from fastsr.pixels import pack_images
from fastsr.recipes import demo, paper
from fastsr.toml import from_toml
from fastsr.weights import save_generator

COMMANDS = ("train", "eval", "upscale", "doctor")
TINY = (
    "--blocks", "1", "--filters", "4", "--discriminator-filters", "2", "--patch", "16", "--batch", "2", "--scale", "2",
    "--content", "pixel", "--pretrain-steps", "1", "--steps", "2", "--device", "cpu",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Fastsr = Callable[..., Outcome]


@pytest.fixture
def fastsr(capsys: pytest.CaptureFixture[str]) -> Fastsr:
    """Runs a command line in this process, as the installed script does."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests write below their own folder, find no weights of the person who runs them, and reach no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks train many times faster without threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save_images(folder: Path, count: int = 3, height: int = 40, width: int = 44) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for k in range(count):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return save_images(tmp_path / "data")


@dataclass(frozen=True)
class Trained:
    folder: Path
    data: Path
    said: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run: two peers, x2, three steps. Brackets in a name are text, not markup of the terminal."""
    home = tmp_path_factory.mktemp("trained")
    folder, images = home / "run[v2]", save_images(home / "images[v2]")
    with redirect_stdout(StringIO()) as said:
        assert main(["train", "--data", str(images), *TINY, "--cache", str(home / "cache"), "--out", str(folder)]) == 0
    return Trained(folder, images, said.getvalue())


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run, to be harmed."""
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))


def checkpoint(run: Path) -> Path:
    (found,) = (run / "checkpoints").iterdir()
    return found


def assert_one_line(outcome: Outcome, *parts: object) -> None:
    """Exit status 2, and one line on stderr that holds the parts."""
    assert outcome.code == 2
    assert outcome.err.startswith("fastsr: ")
    assert outcome.err.count("\n") == 1 and outcome.err.endswith("\n")
    for part in parts:
        assert str(part) in outcome.err


def test_help_without_words(fastsr: Fastsr) -> None:
    outcome = fastsr()
    assert (outcome.code, outcome.err) == (0, "")
    assert re.findall(r"^  (\w+) ", outcome.out, re.MULTILINE) == list(COMMANDS)
    assert fastsr("--help") == fastsr("-h") == outcome


def test_version(fastsr: Fastsr) -> None:
    assert fastsr("--version") == Outcome(0, f"fastsr {__version__}\n", "")


@pytest.mark.parametrize("word", ["trian", "--data", ""])
def test_an_unknown_command_is_named_beside_the_known_ones(fastsr: Fastsr, word: str) -> None:
    outcome = fastsr(word)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[0] == f"fastsr: no command '{word}'"
    assert all(f"  {command} " in outcome.err for command in COMMANDS)


def test_the_exit_status_reaches_the_shell() -> None:
    process = subprocess.run([sys.executable, "-m", "fastsr", "trian"], capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith("fastsr: no command 'trian'\n")


def options_of(config: TrainConfig) -> list[str]:
    groups = [getattr(config, group.name) for group in fields(config)]
    names = [field.name for group in groups if is_dataclass(group) for field in fields(group)]
    return [f"--{name.replace('_', '-')}" for name in names if name != "mixing_matrix"]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("train", ["--config", "--recipe", *options_of(TrainConfig())]),
        ("doctor", ["--config", "--recipe", *options_of(TrainConfig())]),
        ("eval", ["Runs, checkpoints", "--sets", "--data-root", "--metrics", "--lr", "--border", "--device"]),
        ("upscale", ["A run or checkpoint", "Image files", "--out", "--device"]),
    ],
)
def test_help_lists_every_option(fastsr: Fastsr, command: str, options: list[str]) -> None:
    outcome = fastsr(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"usage: fastsr {command} ")
    assert [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", outcome.out)] == []


def test_help_is_quick_because_torch_is_not_imported() -> None:
    program = """if True:
        import sys
        from fastsr.cli import main
        try:
            main(["train", "--help"])
        except SystemExit:
            sys.exit("torch" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


UNPARSED: list[tuple[str, str]] = [
    ("train --nonsense 3", "--nonsense"),
    ("train stray", "stray"),
    ("train --batch x", "--batch"),
    ("train --batch", "--batch"),
    ("train --lr fast", "--lr"),
    ("train --scale 5", "--scale"),
    ("train --border wrap", "--border"),
    ("train --variant dml", "--variant"),
    ("train --mixing-matrix 0 1", "--mixing-matrix"),
    ("train --recipe quick", "--recipe"),
    ("train --config", "--config"),
    ("train --out", "--out"),
    ("doctor --recipe quick", "--recipe"),
    ("doctor --nonsense", "--nonsense"),
    ("eval model", "--data"),
    ("eval model --data set --border wrap", "--border"),
    ("eval model --data set --nonsense", "--nonsense"),
    ("upscale", "A run or checkpoint"),
    ("upscale model image --scale 2", "--scale"),
]


@pytest.mark.parametrize(("words", "part"), UNPARSED, ids=[words for words, _ in UNPARSED])
def test_words_that_cannot_be_parsed(fastsr: Fastsr, words: str, part: str) -> None:
    outcome = fastsr(*words.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert part in outcome.err
    assert f"fastsr {words.split()[0]}" in outcome.err  # where to find help
    assert "Traceback" not in outcome.err


UNUSABLE: list[tuple[str, str]] = [
    ("--batch 1", "--batch 1 cannot be used; use 2 or more"),
    ("--patch 17", "--patch 17 cannot be used; use a multiple of the scale, such as 16"),
    ("--lr nan", "--lr nan cannot be used; use a number between 0 and 1"),
    ("--lr -1", "--lr -1.0 cannot be used"),
    ("--steps 0 --pretrain-steps 0", "--steps 0 cannot be used; train for at least one step"),
    ("--seed -1", "--seed -1 cannot be used; use 0 or more"),
    ("--ema 1", "--ema 1.0 cannot be used"),
    ("--temperature 2", "--temperature 2.0 softens; --variant ml has none. Use --variant ml-star"),
    ("--peers 3 --mixing pairs", "--mixing pairs needs an even number of peers, not --peers 3; use 4"),
    ("--variant independent --mixing ring", "--mixing ring contradicts --variant independent"),
    ("--device nonsense", "--device nonsense is no device; use auto, cpu, cuda or cuda:N"),
    ("--device meta", "--device meta is not supported; use auto, cpu, cuda or cuda:N"),
    ("--device cuda:99", "--device cuda:99 does not exist"),
    ("--device cuda:-1", "--device cuda:-1 is no device"),
]


@pytest.mark.parametrize(("words", "message"), UNUSABLE, ids=[words for words, _ in UNUSABLE])
@pytest.mark.parametrize("command", ["train", "doctor"])
def test_values_that_cannot_be_used(fastsr: Fastsr, data: Path, command: str, words: str, message: str) -> None:
    outcome = fastsr(command, "--data", data, *TINY, "--out", "run", *words.split())
    assert_one_line(outcome, message)
    assert outcome.out == ""
    assert not Path("run").exists()


def test_every_seed_that_is_allowed_can_be_used(fastsr: Fastsr, data: Path) -> None:
    assert fastsr("train", "--data", data, *TINY, "--out", "run", "--seed", 2**63 - 1).code == 0


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_a_missing_data_folder(fastsr: Fastsr, command: str) -> None:
    outcome = fastsr(command, *TINY, "--data", "gone")
    assert_one_line(outcome, "gone does not exist; give a folder of images, or an image file")


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_a_data_folder_without_images(fastsr: Fastsr, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    assert_one_line(fastsr(command, *TINY, "--data", "empty"), "empty holds no image", "give another folder")


@pytest.mark.parametrize("words", ["train --data", "eval {run} --data", "train --data {data} --val"])
def test_an_option_for_folders_without_any(fastsr: Fastsr, trained: Trained, words: str) -> None:
    """An empty list, such as a shell's unset variable leaves: not a wish for a demonstration."""
    given = [word.format(run=trained.folder, data=trained.data) for word in words.split()]
    outcome = fastsr(*given, *(TINY if given[0] == "train" else ()))
    assert outcome.code == 2
    assert given[-1] in outcome.err


def test_one_error_lists_all_unusable_images(fastsr: Fastsr, data: Path) -> None:
    (data / "text.png").write_text("no image")
    whole = (data / "0.png").read_bytes()
    (data / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (40, 15)).save(data / "small.png")
    outcome = fastsr("train", "--data", data, *TINY, "--out", "run")
    assert outcome.code == 2
    first, *lines = outcome.err.splitlines()
    assert first == "fastsr: 3 of 6 images cannot be used; mend them or pass --skip-bad:"
    assert [line.strip().partition(": ")[0] for line in lines] == [
        str(data / name) for name in ("cut.png", "text.png", "small.png")
    ]
    assert not Path("run").exists()


def test_doctor_lists_the_images_that_training_would_refuse(fastsr: Fastsr, data: Path) -> None:
    (data / "text.png").write_text("no image")
    Image.new("RGB", (40, 15)).save(data / "small.png")
    outcome = fastsr("doctor", "--data", data, *TINY)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{data}/text.png: is not an image, or is damaged" in outcome.out
    assert f"{data}/small.png: is 40x15, smaller than --patch 16" in outcome.out
    assert "5 images" in outcome.out


def test_doctor_says_what_is_missing_for_training(fastsr: Fastsr) -> None:
    outcome = fastsr("doctor", *TINY)
    assert (outcome.code, outcome.err) == (0, "")
    assert "recipe demo: x2, 2 peers (ml), 1 blocks of 4 filters, batch 2 of 16x16, 3 steps" in re.sub(
        r" +", " ", outcome.out
    )


def test_no_image_is_left(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--patch", "48", "--skip-bad")
    assert_one_line(outcome, "no image is left to train on; give another folder or a smaller --patch")


def test_images_smaller_than_a_patch(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--patch", "48")
    assert outcome.code == 2
    assert outcome.err.startswith("fastsr: 3 of 3 images cannot be used")
    assert outcome.err.count("is 44x40, smaller than the 48 pixels that a patch needs") == 3


def test_validation_images_too_small_or_unreadable(fastsr: Fastsr, data: Path, tmp_path: Path) -> None:
    val = save_images(tmp_path / "val", 2, height=14)
    (val / "text.png").write_text("no image")
    outcome = fastsr("train", "--data", data, "--val", val, *TINY, "--out", "run")
    assert outcome.code == 2
    first, *lines = outcome.err.splitlines()
    assert first == "fastsr: 3 test images cannot be used; mend or remove them:"
    assert lines[:2] == [f"  {val}/{k}.png: is 44x14, too small to compare at x2" for k in range(2)]
    assert lines[2] == f"  {val}/text.png: is not an image, or is damaged"
    assert not Path("run").exists()


def test_a_missing_validation_folder(fastsr: Fastsr, data: Path) -> None:
    assert_one_line(fastsr("train", "--data", data, "--val", "gone", *TINY), "gone does not exist")


def test_a_cache_that_cannot_be_written(fastsr: Fastsr, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = fastsr("train", "--data", data, *TINY, "--cache", tmp_path / "file")
    assert_one_line(outcome, f"cannot write the pack in {tmp_path}/file/packs", "give another --cache folder")


def test_a_damaged_pack(fastsr: Fastsr, data: Path, tmp_path: Path) -> None:
    pack_images(find_images((data,)), minimum_side=16, cache=tmp_path / "packed")
    (pixels,) = (tmp_path / "packed").rglob("pixels.bin")
    os.truncate(pixels, 100)
    outcome = fastsr("train", "--data", data, *TINY, "--cache", tmp_path / "packed")
    assert_one_line(outcome, f"the pack {pixels.parent} is damaged (100 bytes", "delete that folder and run again")


def write_text(file: Path) -> None:
    file.write_text("no weights\n")


def write_nothing(file: Path) -> None:
    file.write_bytes(b"")


def write_cut_archive(file: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, file)
    os.truncate(file, file.stat().st_size // 2)


def write_tensor(file: Path) -> None:
    torch.save(torch.zeros(3), file)


def write_other_weights(file: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, file)


def write_other_shapes(file: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(3)}, file)


def write_numbers(file: Path) -> None:
    torch.save({"features.0.weight": 3}, file)


@pytest.mark.parametrize("name", ["vgg.pth", "vgg.safetensors"])
@pytest.mark.parametrize(
    "write",
    [
        write_text,
        write_nothing,
        write_cut_archive,
        write_tensor,
        write_other_weights,
        write_other_shapes,
        write_numbers,
    ],
    ids=["text", "empty", "cut", "tensor", "other weights", "other shapes", "numbers"],
)
def test_vgg_weights_that_are_none(
    fastsr: Fastsr, data: Path, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg22", "--vgg", tmp_path / name, "--out", "run")
    assert_one_line(outcome, tmp_path / name, "pass --vgg FILE", "--content random-vgg")
    assert not Path("run").exists()


def test_missing_vgg_weights(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg54", "--vgg", "gone.pth")
    assert_one_line(outcome, "--vgg gone.pth does not exist", "--content random-vgg")


class Mischief:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("archive", [False, True], ids=["pickle", "archive of torch"])
def test_code_in_a_weight_file_is_not_run(fastsr: Fastsr, data: Path, tmp_path: Path, archive: bool) -> None:
    weights, folder = tmp_path / "vgg.pth", tmp_path / "made"
    if archive:
        torch.save({"features.0.weight": Mischief(folder)}, weights)
        torch.load(weights, weights_only=False)
    else:
        weights.write_bytes(pickle.dumps(Mischief(folder), protocol=2))
        pickle.loads(weights.read_bytes())
    folder.rmdir()  # it was made: the file does run code where it is let to
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg22", "--vgg", weights)
    assert_one_line(outcome, f"--vgg {weights} cannot be read as weights")
    assert not folder.exists()


def test_vgg_weights_without_a_network(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg54", "--out", "run")
    assert outcome.code == 2
    last = outcome.err.splitlines()[-1]
    assert last.startswith("fastsr: the VGG19 weights cannot be fetched (")
    assert all(remedy in last for remedy in ("pass --vgg FILE", "connect to the network", "--content random-vgg"))
    assert not Path("run").exists()


def test_damaged_vgg_weights_in_the_cache_of_torch(fastsr: Fastsr, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "torch/hub/checkpoints/vgg19-dcbb9e9d.pth"
    file.parent.mkdir(parents=True)
    file.write_text("half a download")
    assert_one_line(fastsr("train", "--data", data, *TINY, "--content", "vgg54"), file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "--config {file} does not exist"),
        ("[images\n", "--config {file} cannot be read: "),
        ("[images]\nbatch = 'x'\n", '{file}: [images] batch = "x" is not a int'),
        ("[images]\nbach = 4\n", "{file}: [images] has no setting 'bach'; it has data, val"),
        ("[pictures]\n", "{file}: unknown section or key 'pictures'; sections are [images]"),
        ("batch = 4\n", "{file}: unknown section or key 'batch'; it belongs in [images]"),
        ("[images]\nbatch = 1\n", "--batch 1 cannot be used; use 2 or more"),
        ("[cohort]\nmixing_matrix = [[0, 1]]\n", "mixing_matrix must have 2 rows of 2 numbers"),
    ],
    ids=["missing", "malformed", "type", "unknown key", "unknown section", "no section", "value", "matrix"],
)
@pytest.mark.parametrize("command", ["train", "doctor"])
def test_config_files_that_cannot_be_used(
    fastsr: Fastsr, tmp_path: Path, command: str, text: str | None, message: str
) -> None:
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)
    assert_one_line(fastsr(command, "--config", file), message.format(file=file))


def test_out_that_holds_a_run(fastsr: Fastsr, trained: Trained, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    outcome = fastsr("train", "--data", trained.data, *TINY, "--out", run)
    assert_one_line(outcome, f"{run} holds a run already; add --resume to continue it, or give another --out")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_out_with_a_file_in_the_way(fastsr: Fastsr, data: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("precious")
    outcome = fastsr("train", "--data", data, *TINY, "--out", tmp_path / out)
    assert_one_line(outcome, f"--out {tmp_path / out} cannot be written", "give another folder")
    assert (tmp_path / "file").read_text() == "precious"


UNLIKE: list[tuple[str, str]] = [
    ("--lr 3e-4", "--lr was 0.0001 in {run} and is 0.0003 now"),
    ("--batch 4", "--batch was 2 in {run} and is 4 now"),
    ("--peers 3", "--peers was 2 in {run} and is 3 now"),
    ("--no-augment", "--augment was True in {run} and is False now"),
    ("--pretrain-steps 2", "--pretrain-steps was 1 in {run} and is 2 now"),
]


@pytest.mark.parametrize(("words", "message"), UNLIKE, ids=[words for words, _ in UNLIKE])
def test_resume_with_a_changed_setting(fastsr: Fastsr, run: Path, words: str, message: str) -> None:
    outcome = fastsr("train", "--resume", run, *words.split())
    assert_one_line(outcome, message.format(run=run), "leave it as it was, or start a new run with another --out")


def test_resume_with_other_images_of_the_same_sizes(
    fastsr: Fastsr, run: Path, trained: Trained, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in sorted(trained.data.iterdir()):
        with Image.open(path) as image:
            ImageOps.invert(image.convert("RGB")).save(other / path.name)
    outcome = fastsr("train", "--resume", run, "--data", other)
    assert_one_line(outcome, f"the images are not those that {run} was trained on")


def test_resume_with_moved_images_and_again_with_what_was_asked_then(
    fastsr: Fastsr, run: Path, trained: Trained, tmp_path: Path
) -> None:
    """Images are known by their pixels; what is asked for on the first resume holds for the second."""
    moved = Path(shutil.copytree(trained.data, tmp_path / "moved"))
    outcome = fastsr("train", "--resume", run, "--data", moved, "--steps", 6, "--val", moved)
    assert (outcome.code, outcome.err) == (0, "")
    shutil.rmtree(sorted((run / "checkpoints").iterdir())[-1])
    outcome = fastsr("train", "--resume", run)
    assert (outcome.code, outcome.err) == (0, "")
    assert "done: step 7 of 7" in outcome.out
    config = from_toml(run / "config.toml", TrainConfig())
    assert (config.optim.steps, config.images.val, config.images.data) == (6, (moved,), (moved,))


def test_resume_with_a_config_file(fastsr: Fastsr, run: Path, tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text("[optim]\nsteps = 5\n")
    outcome = fastsr("train", "--resume", run, "--config", tmp_path / "more.toml")
    assert (outcome.code, outcome.err) == (0, "")
    assert "done: step 6 of 6" in outcome.out


def test_out_that_holds_a_config_of_something_else(fastsr: Fastsr, data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("precious = true\n")
    outcome = fastsr("train", "--data", data, "--out", tmp_path, *TINY)
    assert_one_line(outcome, f"{tmp_path} holds a config.toml that is no run's; give another --out")
    assert (tmp_path / "config.toml").read_text() == "precious = true\n"


def test_a_generator_that_would_learn_nothing(fastsr: Fastsr, data: Path) -> None:
    words = ("--content-weight", 0, "--adversarial-weight", 0)
    assert_one_line(fastsr("train", "--data", data, *TINY, *words), "generators would learn nothing")


def test_resume_with_other_images_in_the_folder(fastsr: Fastsr, tmp_path: Path, data: Path, trained: Trained) -> None:
    run = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace(str(trained.data), str(data)))
    Image.new("RGB", (50, 50)).save(data / "9.png")
    outcome = fastsr("train", "--resume", run)
    assert_one_line(outcome, f"the images are not those that {run} was trained on; restore them, or start a new run")


def test_resume_without_any_run(fastsr: Fastsr) -> None:
    outcome = fastsr("train", "--resume")
    assert_one_line(outcome, "--resume: there is no run in runs/; name one with --out RUN")


def test_resume_of_a_run_that_is_not_there_trains_no_demonstration() -> None:
    """With images it starts the run, so that a command can be given again and again; a name alone is a slip."""
    with pytest.raises(UserError, match="runs/typo"):
        train_config(["--resume", "runs/typo"])


def test_resume_starts_a_run_where_there_is_none(fastsr: Fastsr, data: Path) -> None:
    words = ["--resume", "--out", "new", "--data", data, *TINY]
    config = train_config([str(word) for word in words])
    assert (config.output.out, config.output.resume) == (Path("new"), True)
    assert (config.recipe, config.images.data, config.model.blocks) == ("paper", (data,), 1)
    outcome = fastsr("train", *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert checkpoint(Path("new")).name == "step-00000003"


def cut_file(name: str) -> Callable[[Path], Path]:
    def cut(run: Path) -> Path:
        os.truncate(checkpoint(run) / name, 20)
        return checkpoint(run)

    return cut


def remove_file(name: str) -> Callable[[Path], Path]:
    def remove(run: Path) -> Path:
        (checkpoint(run) / name).unlink()
        return checkpoint(run)

    return remove


def cut_config(run: Path) -> Path:
    os.truncate(run / "config.toml", 30)
    return run / "config.toml"


def remove_config(run: Path) -> Path:
    (run / "config.toml").unlink()
    return run / "config.toml"


@pytest.mark.parametrize(
    "harm",
    [
        cut_file("state.json"),
        remove_file("state.json"),
        cut_file("peer-1-discriminator.safetensors"),
        remove_file("peer-0-generator-adam.safetensors"),
        cut_file("metrics-ring.safetensors"),
        cut_config,
        remove_config,
    ],
    ids=["state cut", "state gone", "weights cut", "Adam gone", "metrics cut", "config cut", "config gone"],
)
def test_resume_of_a_damaged_run(fastsr: Fastsr, run: Path, harm: Callable[[Path], Path]) -> None:
    named = harm(run)
    outcome = fastsr("train", "--resume", run)
    assert_one_line(outcome, named)
    assert "--config" not in outcome.err  # nobody gave that option


def test_resume_continues_with_more_steps(fastsr: Fastsr, run: Path) -> None:
    outcome = fastsr("train", "--resume", run, "--steps", "3")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"continuing {run} at step 3" in outcome.out
    assert f"done: step 4 of 4. Everything is in {run}" in outcome.out
    assert (run / "checkpoints/step-00000004").is_dir()


def test_resume_with_fewer_steps_than_done_is_no_success_beyond_the_end(fastsr: Fastsr, run: Path) -> None:
    outcome = fastsr("train", "--resume", run, "--steps", "1")
    assert_one_line(outcome, f"{run} is at step 3 already; give more than --steps 1")
    assert "done" not in outcome.out


def test_resume_of_one_run_into_another_folder_is_a_contradiction(trained: Trained) -> None:
    with pytest.raises(UserError, match="--out other"):
        train_config(["--resume", str(trained.folder), "--out", "other"])


def test_what_training_says(trained: Trained) -> None:
    assert f"done: step 3 of 3. Everything is in {trained.folder}\n" in trained.said
    assert "pretraining 1/3" in trained.said
    assert "training 3/3" in trained.said


def test_the_run_keeps_the_configuration(trained: Trained) -> None:
    words = [
        str(w)
        for w in ("--data", trained.data, *TINY, "--cache", trained.folder.parent / "cache", "--out", trained.folder)
    ]
    assert from_toml(trained.folder / "config.toml", TrainConfig()) == train_config(words)


def without_output(config: TrainConfig) -> TrainConfig:
    return replace(config, output=TrainConfig().output)


def test_without_data_the_recipe_is_the_demonstration() -> None:
    assert train_config([]) == demo()


@pytest.mark.parametrize("words", ["--data a b", "--data=a", "--batch 4 --data a"])
def test_with_data_the_recipe_is_the_papers(words: str) -> None:
    config = train_config(words.split())
    images = replace(paper().images, data=config.images.data, batch=config.images.batch)
    assert config == replace(paper(), images=images)
    assert config.images.data[0] == Path("a")
    assert config.images.batch == (4 if "--batch" in words else 16)


def test_a_recipe_may_be_chosen() -> None:
    assert train_config(["--recipe", "demo", "--data", "a"]) == replace(
        demo(), images=replace(demo().images, data=(Path("a"),))
    )
    assert train_config(["--recipe", "paper"]) == paper()


def test_doctor_understands_the_options_of_train() -> None:
    words = ["--data", "a", "--batch", "4", "--recipe", "demo"]
    assert train_config(words, DoctorArguments) == train_config(words)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text("[images]\nbatch = 6\n[optim]\nlr = 5e-4\nema = 0.5\n")
    return file


@pytest.mark.parametrize("recipe", ["paper", "demo"])
def test_a_config_file_goes_before_the_recipe_and_options_before_both(settings: Path, recipe: str) -> None:
    base = paper() if recipe == "paper" else demo()
    config = train_config(["--recipe", recipe, "--config", str(settings), "--lr", "2e-4"])
    assert (config.images.batch, config.optim.lr, config.optim.ema) == (6, 2e-4, 0.5)
    assert config == replace(base, images=replace(base.images, batch=6), optim=replace(base.optim, lr=2e-4, ema=0.5))


def test_the_order_of_options_does_not_matter(settings: Path) -> None:
    words = ["--lr", "2e-4", "--config", str(settings), "--out", "x", "--recipe", "paper"]
    assert train_config(words) == train_config(words[2:] + words[:2])
    assert train_config(words).output.out == Path("x")


def test_data_in_a_config_file_chooses_the_papers_recipe(settings: Path) -> None:
    assert train_config(["--config", str(settings)]).recipe == "demo"
    settings.write_text("[images]\ndata = ['a']\n")
    config = train_config(["--config", str(settings)])
    assert (config.recipe, config.model, config.images.data) == ("paper", paper().model, (Path("a"),))


def test_out_in_a_config_file_is_used_unless_given(settings: Path) -> None:
    settings.write_text("[output]\nout = 'a'\n")
    assert train_config(["--config", str(settings)]).output.out == Path("a")
    assert train_config(["--config", str(settings), "--out", "b"]).output.out == Path("b")


def test_the_config_of_a_run_can_start_another(trained: Trained) -> None:
    words = ["--config", str(trained.folder / "config.toml"), "--out", "again"]
    saved = from_toml(trained.folder / "config.toml", TrainConfig())
    assert train_config(words) == replace(saved, output=replace(saved.output, out=Path("again")))


def test_resume_names_the_run_in_three_ways(trained: Trained) -> None:
    name = str(trained.folder)
    saved = from_toml(trained.folder / "config.toml", TrainConfig())
    expected = replace(saved, output=replace(saved.output, out=trained.folder, resume=True))
    assert train_config(["--resume", name]) == expected
    assert train_config([f"--resume={name}"]) == expected
    assert train_config(["--resume", "--out", name]) == expected
    assert train_config(["--out", name, "--resume"]) == expected


def test_a_resumed_run_goes_before_the_recipe_and_options_before_it(trained: Trained) -> None:
    config = train_config(["--resume", str(trained.folder), "--recipe", "demo", "--steps", "9", "--keep", "1"])
    assert (config.optim.steps, config.output.keep) == (9, 1)
    assert (config.recipe, config.images.data, config.model.blocks) == ("paper", (trained.data,), 1)


def test_a_run_that_was_moved_is_resumed_where_it_is(run: Path) -> None:
    assert train_config(["--resume", str(run)]).output.out == run


def test_resume_without_a_name_takes_the_latest_run(run: Path) -> None:
    for name, time in (("old", 1_000), ("new", 3_000), ("older", 500)):
        copy = Path(shutil.copytree(run, f"runs/{name}"))
        os.utime(checkpoint(copy), (time, time))
    assert train_config(["--resume"]).output.out == Path("runs/new")


@pytest.mark.parametrize("flag", [[], ["--resume"]], ids=["new", "resumed"])
def test_options_read_early_are_found_in_the_configuration(trained: Trained, flag: list[str]) -> None:
    config = train_config(["--out", str(trained.folder), *flag])
    assert config.output.out == trained.folder
    assert config.output.resume == bool(flag)


def generator(file: Path, scale: int = 2, header: dict[str, str | None] | None = None) -> Path:
    """A generator's file, perhaps with other words in its header."""
    save_generator(SRResNet(scale, blocks=1, filters=4), file)
    if header:
        true = {"architecture": "fastsr.SRResNet", "scale": str(scale), "blocks": "1", "filters": "4"}
        save_file(load_file(file), file, {name: value for name, value in (true | header).items() if value is not None})
    return file


def cut_generator(file: Path) -> None:
    os.truncate(generator(file), 4000)


def cut_header(file: Path) -> None:
    os.truncate(generator(file), 20)


def foreign_weights(file: Path) -> None:
    save_file({"conv.weight": torch.zeros(3)}, file)


def pickled_weights(file: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, file)


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
    assert_one_line(outcome, "the models have different scales (x2 x2, x4 x4); evaluate one scale at a time")


def test_eval_on_images_that_cannot_be_used(fastsr: Fastsr, trained: Trained, tmp_path: Path) -> None:
    small = save_images(tmp_path / "small", 2, height=14)
    (small / "text.png").write_text("no image")
    outcome = fastsr("eval", trained.folder, "--sets", small, "--metrics", "psnr")
    assert outcome.code == 2
    assert outcome.err.startswith("fastsr: 3 test images cannot be used; mend or remove them:\n")
    assert [line.strip().partition(": ")[0] for line in outcome.err.splitlines()[1:]] == [
        f"{small}/{name}.png" for name in ("0", "1", "text")
    ]


@pytest.mark.parametrize("command", ["eval", "upscale"])
def test_missing_images_of_eval_and_upscale(fastsr: Fastsr, trained: Trained, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    flag = ["--sets"] if command == "eval" else []
    assert_one_line(fastsr(command, trained.folder, *flag, "gone"), "gone")
    assert_one_line(fastsr(command, trained.folder, *flag, "empty"), "empty holds no")


@pytest.mark.parametrize("command", ["eval", "upscale"])
@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "cuda:-1", "meta"])
def test_devices_of_eval_and_upscale(fastsr: Fastsr, trained: Trained, command: str, device: str) -> None:
    flag = ["--sets"] if command == "eval" else []
    outcome = fastsr(command, trained.folder, *flag, trained.data, "--device", device)
    assert_one_line(outcome, f"--device {device} ")


def test_upscale_writes_larger_images_and_names_them(fastsr: Fastsr, trained: Trained) -> None:
    outcome = fastsr("upscale", trained.folder, trained.data, "--out", "large", "--device", "cpu")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [f"large/{k}-x2.png" for k in range(3)]
    for k in range(3):
        with Image.open(f"large/{k}-x2.png") as image:
            assert (image.size, image.mode, image.format) == ((88, 80), "RGB", "PNG")


def test_upscale_overwrites_nothing(fastsr: Fastsr, trained: Trained, tmp_path: Path) -> None:
    existing = tmp_path / "large/1-x2.png"
    existing.parent.mkdir()
    existing.write_text("precious")
    outcome = fastsr("upscale", trained.folder, trained.data, "--out", "large")
    assert_one_line(outcome, "large/1-x2.png exists already", "give another --out")
    assert existing.read_text() == "precious"
    assert list(existing.parent.iterdir()) == [existing]


def test_upscale_of_two_images_to_one_name(fastsr: Fastsr, trained: Trained, data: Path) -> None:
    shutil.copy(data / "0.png", data / "0.bmp")
    outcome = fastsr("upscale", trained.folder, data, "--out", "large")
    assert_one_line(outcome, "large/0-x2.png", "two images would be written to it")
    assert not Path("large").exists()


def test_upscale_of_an_unreadable_image(fastsr: Fastsr, trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    outcome = fastsr("upscale", trained.folder, tmp_path / "text.png", "--out", "large")
    assert_one_line(outcome, f"{tmp_path}/text.png: is not an image, or is damaged")


def test_upscale_without_images(fastsr: Fastsr, trained: Trained) -> None:
    outcome = fastsr("upscale", trained.folder)
    assert outcome.code == 2
    assert "image" in outcome.err.lower()


@pytest.mark.parametrize("out", ["file", "file/large"])
def test_upscale_with_a_file_in_the_way(fastsr: Fastsr, trained: Trained, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("precious")
    outcome = fastsr("upscale", trained.folder, trained.data, "--out", tmp_path / out)
    assert_one_line(outcome, f"--out {tmp_path / out}")
    assert (tmp_path / "file").read_text() == "precious"
