"""tables.json: what was written is read, without torch; and which evaluations a reproduction takes for finished."""

import json
import subprocess
import sys
from math import nan
from pathlib import Path

import pytest

from fastsr.config.settings import OptimConfig, OutputConfig, TrainConfig
from fastsr.errors import UserError
from fastsr.evaluation.results import Evaluation, ScoredModel
from fastsr.reproduction.evaluated import read_evaluation
from fastsr.reproduction.intervals import Difference
from fastsr.reproduction.results import Row, Table, Tables, Variant

ROOT = Path(__file__).resolve().parents[3]


def tables() -> Tables:
    variants = {"Independent": Variant((28.0, nan), nan, 26.96), "ML": Variant((), nan, nan)}
    row = Row("S", 2, 27.0, variants, {"ML": Difference(0.1), "ML*": Difference()})
    table = Table(scale=4, metric="psnr", unit="dB", higher_is_better=True, rows=(row,), seeds=2)
    return Tables(tables=(table,), plan={"seeds": [0, 1]}, notes=("few steps",), runs=("x4-seed0",))


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "tables.json").write_text(json.dumps(tables().to_json(), allow_nan=False))
    assert repr(Tables.read(tmp_path / "tables.json")) == repr(tables())
    assert tables().to_json()["tables"][0]["rows"][0]["differences"] == {
        "ML": {"mean": 0.1, "low": None, "high": None},
        "ML*": None,
    }


def test_recorded_tables_are_read_and_would_be_written_alike() -> None:
    files = list((ROOT / "bench" / "results" / "reproduce").glob("*/tables.json"))
    assert files
    for file in files:
        assert Tables.read(file).to_json() == json.loads(file.read_text())


def test_an_evaluation_is_finished_by_its_own_format_and_the_runs_steps(tmp_path: Path) -> None:
    optim = OptimConfig(steps=8, pretrain_steps=4)
    config = TrainConfig(optim=optim, output=OutputConfig(out=tmp_path))
    folder = tmp_path / "evaluation"
    file = folder / "evaluation.json"
    assert read_evaluation(config) is None
    folder.mkdir()
    written = Evaluation(
        scale=4,
        protocol={},
        environment={},
        models=(ScoredModel("bicubic"),),
        metrics=("psnr",),
        step=12,
    )
    written.write(folder)
    assert read_evaluation(config) == written
    file.write_text(json.dumps(written.to_json() | {"step": 11}))
    assert read_evaluation(config) is None
    file.write_text(json.dumps(written.to_json() | {"format": 0}))
    assert read_evaluation(config) is None
    file.write_text(json.dumps(written.to_json() | {"models": None}))
    with pytest.raises(
        UserError,
        match=r"evaluation\.json is damaged .*delete its folder, or run fastsr eval again",
    ):
        read_evaluation(config)


@pytest.mark.parametrize("name", ["reproduction.results", "reproduction.comparison"])
def test_results_need_no_torch(name: str) -> None:
    code = f"import sys, fastsr.{name}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)
