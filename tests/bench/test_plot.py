"""bench.plot: made rows become pictures that say what the rows say, and in which no text touches another."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from bench import plot

SVG = "{http://www.w3.org/2000/svg}"
RUNGS = {
    "plain PyTorch": 20.0,
    "cohort": 25.0,
    "cohort & bf16 <compiled>": 110.5,
    "CUDA graph": 240.0,
}


class Box(NamedTuple):
    content: str
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )  # fmt: skip


def made_row(rung: str, steps_per_second: float, day: int = 22, **values: Any) -> dict[str, Any]:
    row = {
        "name": "ladder",
        "rung": rung,
        "scale": 4,
        "peers": 2,
        "recipe": "paper",
        "gpu": "NVIDIA H200",
    }
    row |= {
        "steps_per_second": steps_per_second,
        "date": f"2026-11-{day:02}T10:00:00+00:00",
        "commit": f"{day:02}abcdef",
    }
    return row | {"torch": "2.15.0", "processor": "AMD EPYC", "dirty": False} | values


def session(day: int = 22, factor: float = 1.0, **values: Any) -> list[dict[str, Any]]:
    return [made_row(rung, rate * factor, day, **values) for rung, rate in RUNGS.items()]


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def boxes(picture: str) -> list[Box]:
    """Boxes of the texts, a character being 0.6 of the font size wide as in DejaVu Sans."""
    found: list[Box] = []
    for element in ElementTree.fromstring(picture).iter(f"{SVG}text"):
        x, y, size = (float(element.attrib[name]) for name in ("x", "y", "font-size"))
        width = 0.6 * size * len(element.text or "")
        left = x - {"start": 0, "middle": 0.5, "end": 1}[element.attrib["text-anchor"]] * width
        found.append(Box(element.text or "", left, y - 0.8 * size, left + width, y + 0.2 * size))
    return found


def assert_legible(picture: str) -> None:
    root = ElementTree.fromstring(picture)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for box in boxes(picture):
        assert box.left >= 0 and box.top >= 0 and box.right <= width and box.bottom <= height, box
    for one, other in combinations(boxes(picture), 2):
        assert not one.touches(other), (one, other)


def test_ladder_has_every_rung_in_order_with_its_speedup() -> None:
    picture = plot.ladder_svg(session())
    shown = texts(picture)
    assert [content for content in shown if content in RUNGS] == list(RUNGS)
    for label in (
        "20.0 steps/s, 1.00x",
        "25.0 steps/s, 1.25x",
        "110.5 steps/s, 5.53x",
        "240.0 steps/s, 12.00x",
    ):
        assert label in shown
    assert "NVIDIA H200, torch 2.15.0, 2026-11-22, commit 22abcde" in shown


def test_bars_are_in_proportion() -> None:
    bars = ElementTree.fromstring(plot.ladder_svg(session())).findall(f"{SVG}rect")
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert [width / widths[-1] for width in widths] == pytest.approx(
        [20 / 240, 25 / 240, 110.5 / 240, 1], abs=1e-3
    )


def test_each_setting_has_its_own_panel_and_first_rung() -> None:
    shown = texts(plot.ladder_svg(session() + session(factor=0.5, scale=2)))
    assert "paper recipe, x4, 2 peers" in shown
    assert "paper recipe, x2, 2 peers" in shown
    assert "10.0 steps/s, 1.00x" in shown


def test_a_rung_measured_again_counts_once() -> None:
    shown = texts(plot.ladder_svg([*session(), made_row("cohort", 30.0)]))
    assert shown.count("cohort") == 1
    assert "30.0 steps/s, 1.50x" in shown


@pytest.mark.parametrize("long", [False, True], ids=["short-names", "long-name"])
@pytest.mark.parametrize("days", [1, 3, 8, 22, 28])
def test_pictures_are_legible(days: int, long: bool) -> None:
    rows = [row for day in range(1, days + 1) for row in session(day, factor=(day % 7 + day) / 20)]
    newest = session(days) + session(days, scale=2)
    if long:
        newest.append(
            made_row(
                "a rung whose name is so long that it would leave a picture of fixed width" * 2,
                1.0,
                days,
            )
        )
    for picture in (plot.ladder_svg(newest), plot.history_svg(rows + newest)):
        assert_legible(picture)
        assert "prefers-color-scheme: dark" in picture


def test_history_has_the_last_rung_of_each_session() -> None:
    picture = plot.history_svg(session(20, 0.5) + session(21, 0.75) + session(22))
    shown = texts(picture)
    points = ElementTree.fromstring(picture).findall(f"{SVG}circle")
    assert len(points) == 3
    assert [content for content in shown if content in ("120.0", "180.0", "240.0")] == [
        "120.0",
        "180.0",
        "240.0",
    ]
    heights = [float(point.attrib["cy"]) for point in points]
    # Equal gains, equal rises.
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert "paper recipe, x4, 2 peers: last rung, now CUDA graph" in shown


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "made.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_files_show_the_newest_session_of_each_machine(tmp_path: Path) -> None:
    """Written newest first; the date decides. The small recipe hides behind the paper's, but not on the CPU."""
    on_cpu = session(22, gpu=None, recipe="small", commit=None)
    write(tmp_path, session(22, 2.0) + session(21) + session(22, 9.0, recipe="small") + on_cpu)
    assert plot.main(["--results", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    names = (
        "ladder-nvidia-h200.svg",
        "history-nvidia-h200.svg",
        "ladder-cpu.svg",
        "history-cpu.svg",
    )
    pictures = {name: (tmp_path / "out" / name).read_text() for name in names}
    assert "480.0 steps/s, 12.00x" in texts(pictures["ladder-nvidia-h200.svg"])
    assert not any(
        "240.0" in content or "small" in content
        for content in texts(pictures["ladder-nvidia-h200.svg"])
    )
    assert "CPU (AMD EPYC), torch 2.15.0, 2026-11-22, commit unknown" in texts(
        pictures["ladder-cpu.svg"]
    )


def test_nothing_to_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, [{"name": "test_share_of_drawing", "date": "2026-11-22"}])
    assert plot.main(["--results", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_broken_row_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "made.jsonl").write_text("{}\n{broken\n")
    with pytest.raises(SystemExit):
        plot.main(["--results", str(tmp_path)])
    assert "made.jsonl, line 2 is not JSON" in capsys.readouterr().err


def test_rungs_stand_in_the_ladders_order_whatever_was_measured_first() -> None:
    """A machine that is lent for minutes measures the top first; others are still compared with the usual loop."""
    names = ["+ parallel peers", "+ bf16", "older", "usual loop, fp32"]
    rows = [made_row(name, 10.0 * (k + 1)) for k, name in enumerate(names)]
    ordered = [row["rung"] for row in plot.in_order(rows)]
    assert ordered == ["usual loop, fp32", "+ bf16", "+ parallel peers", "older"]
    assert plot.ladder_svg(rows).index("usual loop") < plot.ladder_svg(rows).index("+ parallel")
