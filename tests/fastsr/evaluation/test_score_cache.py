"""Bicubic's scores are measured once, and whatever happens to their files changes no number."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest
import torch

from fastsr.evaluation.pairs import load_pair
from fastsr.evaluation.perceptual import FILES, Perceptual
from fastsr.evaluation.score_cache import ScoreCache, bicubic_key
from tests.fastsr.evaluation.small_models import run, write_images


def forge(folder: Path, metric: str, value: float) -> None:
    """Puts another value into every file of a cache, as the cache itself would."""
    for file in folder.glob("*.json"):
        ScoreCache(folder).write(file.stem, {metric: value})


def test_known_scores_are_taken_from_the_cache(request_for: Any, tmp_path: Path) -> None:
    _, first = run(request_for())
    cache = tmp_path / "cache/evaluations"
    assert len(list(cache.glob("*.json"))) == 2
    _, again = run(request_for())
    assert again["images"] == first["images"]
    forge(cache, "psnr", 99.0)
    _, forged = run(request_for())
    assert forged["means"]["mine"]["bicubic"]["psnr"] == 99.0
    assert forged["means"]["mine"]["model"] == first["means"]["mine"]["model"]
    assert forged["means"]["mine"]["bicubic"]["ssim"] == first["means"]["mine"]["bicubic"]["ssim"]


def test_only_unknown_metrics_are_measured(request_for: Any, tmp_path: Path) -> None:
    run(request_for(metrics=("psnr",)))
    forge(tmp_path / "cache/evaluations", "psnr", 99.0)
    _, written = run(request_for(metrics=("psnr", "psnr_rgb", "ssim"), overwrite=True))
    _, fresh = run(
        request_for(metrics=("psnr", "psnr_rgb", "ssim"), cache=tmp_path / "b", overwrite=True)
    )
    means, want = (one["means"]["mine"]["bicubic"] for one in (written, fresh))
    assert means == {**want, "psnr": 99.0}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: '{"scores": 3, "crc": 1}',
        lambda text: text.replace('"ssim": 0.', '"ssim": 1.'),
        lambda text: json.dumps({"scores": {"psnr": "high"}, "crc": 0}),
    ],
    ids=["truncated", "empty", "list", "number", "digit", "text"],
)
def test_damaged_files_count_as_unknown(request_for: Any, tmp_path: Path, damage: Any) -> None:
    _, first = run(request_for())
    for file in (tmp_path / "cache/evaluations").glob("*.json"):
        before = file.read_text()
        file.write_text(damage(before))
        assert file.read_text() != before
    _, again = run(request_for())
    assert again["images"] == first["images"]


def test_a_cache_that_cannot_be_written_is_done_without(request_for: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    _, written = run(request_for(cache=tmp_path / "file"))
    assert written["means"]["mine"]["bicubic"]["psnr"] > 0


def test_many_writers_leave_whole_files(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(cache.write, "key", {"psnr": 1.5, "pi": nan}) for _ in range(200)]:
            done.result()
    scores = cache.read("key")
    assert scores["psnr"] == 1.5 and isnan(scores["pi"])
    assert [path.name for path in tmp_path.iterdir()] == ["key.json"]


def test_keys_tell_apart_what_scores_depend_on(tmp_path: Path) -> None:
    write_images(tmp_path / "set", [(40, 40), (40, 40)])
    pair = load_pair(tmp_path / "set/0.png", 2)
    keys = [
        bicubic_key(pair, 2, "replicate"),
        bicubic_key(pair, 2, "mirror"),
        bicubic_key(pair, 4, "replicate"),
        bicubic_key(replace(pair, grey=True), 2, "replicate"),
        bicubic_key(replace(pair, lr=pair.lr.flip(0)), 2, "replicate"),
        bicubic_key(replace(pair, hr=pair.hr.flip(0)), 2, "replicate"),
        bicubic_key(load_pair(tmp_path / "set/1.png", 2), 2, "replicate"),
    ]
    assert len(set(keys)) == len(keys)
    assert bicubic_key(load_pair(tmp_path / "set/0.png", 2), 2, "replicate") == keys[0]


@pytest.mark.skipif(find_spec("pyiqa") is None, reason="pyiqa comes with the extra `eval`")
def test_perceptual_scores_belong_to_their_weights_and_pyiqa(tmp_path: Path) -> None:
    perceptual = Perceptual((), 2, torch.device("cpu"), tmp_path)
    assert perceptual.identity("psnr") == "psnr"
    perceptual.names.append("pi")
    own = perceptual.identity("pi")
    assert own.split()[:2] == ["pi", version("pyiqa")]
    identities = {own}
    for part in ("niqe", "nrqm"):
        (tmp_path / FILES[part]).write_bytes(part.encode())
        identities.add(perceptual.identity("pi"))
    assert len(identities) == 3
    assert perceptual.identity("pi") == max(identities, key=len)
