"""Every figure of the README has a row: what it says was measured is found in bench/results, section by section.

A figure is a number with a decimal point or a thousands comma, one with a unit, or one that fills a cell of a table. It
has a source if a number of its section's rows, or one that follows from them, is printed so with as many decimals.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from bench.rows import RESULTS, Row, read_rows
from fastsr.reproduction.paper import RESULTS as PAPER

if not RESULTS.is_dir():
    pytest.skip("records are kept in the repository alone", allow_module_level=True)

README = (Path(__file__).parents[1] / "README.md").read_text()
SETTINGS = {"12.75", "0.999", "1,000", "50,000", "95", "40", "20"}
"""Numbers of the configuration and of methods, which nobody measured."""
H100 = "NVIDIA H100 80GB HBM3"
OVER_VALIDATIONS = 2500
"""The default of --val-every."""
WITHOUT = ("Two commands", "Who teaches whom", "When something fails", "Licence")
"""Sections whose numbers are settings, versions and defaults."""
CODE = re.compile(r"```.*?```|^ {4}.*?$|`[^`\n]*`|\]\([^)]*\)|<[^>]*>", re.MULTILINE | re.DOTALL)
VERSION = re.compile(r"(Python|torch|triton|Apache-) ?\d+(\.\d+)*|BT\.\d+|commit \w+|at \w{7}\b")
NUMBER = r"[-+−]?\d+(?:,\d{3})*(?:\.\d+)?"
UNITS = r"(?:dB|GiB|ms|s|seconds|minutes|hours|microseconds|%|TFLOP(?:/s)?|steps/s|times)"
FIGURE = re.compile(
    rf"(?<![\w.,/])(?:{NUMBER}(?= {UNITS}\b| %)|[-+−]?\d+(?:,\d{{3}})+(?!\d)|[-+−]?\d+\.\d+)(?![\w])"
)


def sections() -> dict[str, str]:
    """Text below each heading, without code and versions."""
    parts = re.split(r"^#+ (.*)$", README, flags=re.MULTILINE)
    bodies = zip(parts[1::2], parts[2::2], strict=True)
    return {name: VERSION.sub("", CODE.sub("", body)) for name, body in bodies}


def figures(text: str) -> Iterator[str]:
    for line in text.splitlines():
        cells = line.strip().strip("|").split("|") if line.startswith("|") else []
        filled = [cell.strip() for cell in cells if re.fullmatch(NUMBER, cell.strip())]
        yield from dict.fromkeys([*filled, *FIGURE.findall(line)])


def is_printed_so(figure: str, value: float) -> bool:
    """True if a number, rounded to the figure's decimals, is the figure; a figure without a sign may be a size."""
    plain = figure.replace(",", "").replace("−", "-")
    half = 0.5 * 10.0 ** -len(plain.partition(".")[2])
    sizes = (value,) if plain[0] in "+-" else (value, -value)
    return any(abs(float(plain) - one) <= half * 1.0001 for one in sizes)


def numbers(content: Any) -> Iterator[float]:
    """All numbers of a JSON value, those in texts such as `3.04 GiB` included."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for one in content:
            yield from numbers(one)
    elif isinstance(content, str):
        yield from (float(one) for one in re.findall(r"^\d+\.\d+(?= GiB)", content))
    elif isinstance(content, (int, float)) and not isinstance(content, bool):
        yield float(content)


def rows(*names: str, **about: Any) -> list[Row]:
    """Rows by name, and by other fields; those of a CPU, where no GPU is among them."""
    files = RESULTS.glob("*.jsonl") if "gpu" in about else [RESULTS / "cpu.jsonl"]
    found = [row for file in files for row in read_rows(file) if row["name"] in names]
    return [row for row in found if all(row.get(key) == value for key, value in about.items())]


def tables() -> Iterator[dict[str, Any]]:
    for file in sorted((RESULTS / "reproduce").glob("*/tables.json")):
        yield from json.loads(file.read_text())["tables"]


def demonstration() -> list[float]:
    return list(numbers(json.loads((RESULTS / "demo-x4.json").read_text())["validation"][-1]))


def content_weights() -> list[float]:
    """PSNR along the way and how far it is from its start, NIQE at both ends."""
    found: list[float] = []
    for row in rows("content_weight"):
        psnr = list(row["psnr_rgb"].values())
        found += [*psnr, *(value - psnr[0] for value in psnr), *numbers(row["niqe"])]
        found += [row["steps"], row["content_to_adversarial"], row["content_weight"]]
    return found


def protocol() -> list[float]:
    bicubic = [row["bicubic"] for table in tables() for row in table["rows"]]
    published = [value for sets in PAPER.values() for of in sets.values() for value in of]
    return [*(value for value in bicubic if value is not None), *published]


def reproductions() -> list[float]:
    """Of recorded tables all but single peers and seeds; and the mean difference over sets."""
    found: list[float] = []
    for table in tables():
        for row in table["rows"]:
            found += numbers([row["bicubic"], row["differences"]])
            found += numbers([variant["mean"] for variant in row["variants"].values()])
        for name in ("ML", "ML*"):
            known = [row["differences"][name] for row in table["rows"]]
            found += [fmean(one["mean"] for one in known)] if all(known) else []
        plain = [
            {key: value for key, value in one.items() if key != "seeds"}
            for one in table.get("contrasts", [])
        ]
        found += numbers([table["noise"], plain])
    for file in (RESULTS / "reproduce").glob("*/tables.json"):
        for one in json.loads(file.read_text()).get("discriminators", []):
            found += numbers([[line["values"], line["differences"]] for line in one["opinions"]])
    return found


def precisions() -> list[float]:
    """PSNR at each step, the difference to fp32 at it, and seconds; bicubic."""
    found = protocol()
    for steps in (2000, 160):
        measured = rows("precision", recipe="small-64", steps=steps)
        exact = [row for row in measured if row["precision"] == "fp32"][-1]["psnr"]
        for row in measured:
            found += [*row["psnr"].values(), row["seconds"]]
            found += [value - exact[step] for step, value in row["psnr"].items()]
    return [*found, *statistics()]


def statistics() -> list[float]:
    """PSNR-RGB, NIQE and size of details of averaged generators, by BN statistics, and what their own ones gain."""
    found: list[float] = []
    for row in rows("statistics"):
        own, copied = (row["psnr_rgb"][kind] for kind in ("own", "copied"))
        found += [*row["psnr_rgb"].values(), *row["details"].values(), *row["niqe"].values()]
        found.append(own - copied)
    return found


def blind() -> list[float]:
    trainings, (*_, counted) = rows("blind training"), rows("blind degradations, counted")
    names = ("bicubic", "trained on bicubic", "trained blind")
    found = list(numbers([[row[name] for name in names] for row in trainings]))
    steps = [float(row["steps"].partition(" ")[0]) for row in trainings]
    return [*found, *steps, counted["launches"], counted["basicsr_operations"]]


def counts() -> list[float]:
    return [
        *numbers([row["steps_per_second"] for row in rows("roofline")]),
        *numbers([[row["nodes"], row["longest_branch"]] for row in rows("nodes")]),
    ]


def on_a_gpu() -> list[float]:
    """Of an H100: steps, a pilot, tests; and what follows from them."""
    measured = [*rows("ladder", gpu=H100), *rows("uncompiled", gpu=H100), *rows("peers", gpu=H100)]
    rates = ("steps_per_second", "milliseconds", "peak_memory_gib", "host_milliseconds", "kernels")
    found = numbers([[row[key] for key in rates] for row in measured])
    (times,) = rows("kernel times", gpu=H100)
    at = {(row["scale"], row["rung"]): row["milliseconds"] for row in measured if row["peers"] == 2}
    (one,) = (row["milliseconds"] for row in rows("peers", gpu=H100, peers=1))
    usual, ours = at[4, "usual loop, fp32"], at[4, "not compiled"]
    variants = rows("variant", gpu=H100)
    (pilot,) = rows("pilot", gpu=H100)
    (tests,) = rows("gpu tests", gpu=H100)
    known = json.loads((RESULTS / "pilot-h100" / "evaluation.json").read_text())
    fastest = [row for row in measured if row["rung"] == "not compiled" and row["peers"] == 2]
    shares = [100 * row["share_of_matrix_peak"] for row in fastest]
    bounds = {row["scale"]: row["steps_per_second"] for row in rows("roofline")}
    shares += [
        100 * row["steps_per_second"] / bounds[row["scale"]]["H100 80GB HBM3"]["bound"]
        for row in fastest
    ]
    follows = [usual / ours, ours / one, 50_000 * ours / 60_000, pilot["pretraining_steps"]]
    beside = numbers([variants, pilot, tests, known, times["microseconds"]])
    return [*found, *shares, *follows, *counts(), *beside, OVER_VALIDATIONS]


def on_a_cpu() -> list[float]:
    """Benchmarks of the step: medians, ratios, and what follows from them."""
    steps = rows("test_step_against_baseline[eager]", "test_step_against_baseline[compile]")
    work = steps[-1]["teraflop"]
    found = [1.0, *work.values(), work["baseline"] / work["cohort"]]
    found += [row["ratio"] for row in steps]
    found += [row[kind]["median_s"] for row in steps for kind in ("cohort", "baseline")]
    memory = rows("test_peak_memory")[-1]
    found += numbers([memory["cohort"], memory["baseline"]])
    found += [100 * row["share"] for row in rows("test_share_of_drawing")]
    found += [1 / row["ratio"] for row in rows("test_features_in_one_batch")]
    for row in rows("test_one_optimiser_for_all_peers"):
        each, all_peers = (1e3 * row[kind]["median_s"] for kind in ("one each", "one for all"))
        found += [each, each - all_peers]
    records = (RESULTS / "speedrun").glob("*.json")
    return [*found, *(json.loads(file.read_text())["teraflop"] for file in records)]


SOURCES: dict[str, Callable[[], list[float]]] = {
    "A result": demonstration,
    "Train for real": content_weights,
    "Photos as they are": blind,
    "What it computes": protocol,
    "Reproduce the paper": reproductions,
    "What the numbers mean": precisions,
    "How it is made fast": counts,
    "On a GPU": on_a_gpu,
    "On a CPU": on_a_cpu,
}


@pytest.mark.parametrize("name", sections())
def test_every_figure_has_a_row(name: str) -> None:
    known = SOURCES[name]() if name in SOURCES else []
    wanted = [one for one in figures(sections()[name]) if one not in SETTINGS]
    assert name in SOURCES or name in WITHOUT or not wanted, f"{name} needs a source: {wanted}"
    lost = [one for one in wanted if not any(is_printed_so(one, value) for value in known)]
    assert name in WITHOUT or not lost, f"{name}: no row in bench/results has {', '.join(lost)}"


def test_the_sets_of_a_table_are_those_of_one_record() -> None:
    """Lines such as `| Set5 x4 | 28.43 | ...`: bicubic and the variants' means, in their order."""
    records = [
        [row["bicubic"], *(row["variants"][v]["mean"] for v in ("Independent", "ML", "ML*"))]
        for table in tables()
        for row in table["rows"]
    ]
    lines = re.findall(r"^\| (?:Set5|Set14|BSD100|Urban100) x\d \|(.*)\|$", README, re.MULTILINE)
    for line in lines:
        wanted = [cell.strip() for cell in line.split("|")][:4]
        assert any(
            all(is_printed_so(a, b) for a, b in zip(wanted, found, strict=True) if b is not None)
            for found in records
        ), line


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("held it within 0.5 dB", ["0.5"]),
        ("takes 12 ms of 44 ms, 0.09 % of it", ["12", "44", "0.09"]),
        ("has 2,626 of them", ["2,626"]),
        ("| Set5 x4 | 28.43 | 310 |", ["28.43", "310"]),
        ("| 375, pre-training | 4 blocks |", []),
        ("−1.11 to +1.38", ["−1.11", "+1.38"]),
    ],
    ids=["unit", "units", "thousands", "table", "settings", "signs"],
)
def test_what_is_a_figure(text: str, found: list[str]) -> None:
    assert list(figures(text)) == found


def test_an_invented_figure_is_caught() -> None:
    assert is_printed_so("28.43", 28.4302) and not is_printed_so("28.43", 28.4361)
    assert is_printed_so("1.11", -1.112) and not is_printed_so("+1.11", -1.112)
    assert not any(is_printed_so("31.99", value) for value in demonstration())
