"""Draws the ladder and its history from bench/results as SVG: `python -m bench.plot [--results DIR] [--out DIR]`.

ladder-GPU.svg has one bar per technique of the newest session, history-GPU.svg its last rung from commit to commit.
The pictures follow the reader's light or dark scheme.
"""

import argparse
import sys
from html import escape
from pathlib import Path

from bench import ladder
from bench.rows import RESULTS, Row, grouped, ladder_rows, rungs, sessions, slug

SETTING = ("recipe", "scale", "peers")
STYLE = """
text { font-family: system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328 }
.muted { fill: #59636e } .bar, .point { fill: #2f6fb5 } .line { stroke: #2f6fb5; stroke-width: 2; fill: none }
.axis { stroke: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .muted { fill: #9198a1 } .bar, .point { fill: #6ba5e7 } .line { stroke: #6ba5e7 }
.axis { stroke: #9198a1 }
}
"""
MARGIN, TITLE, BODY, SMALL = 16, 17, 13, 11
BAR_WIDTH, BAR_HEIGHT, ROW = 360, 18, 26
PLOT_WIDTH, PLOT_HEIGHT, LABEL_WIDTH = 640, 150, 84
HEADER, PANEL_TITLE, PANEL_GAP = 66, 24, 22


def text_width(content: str, size: float) -> float:
    """Width in pixels, estimated from above: there is no font to measure with."""
    return 0.62 * size * len(content)


def text(
    x: float,
    y: float,
    content: str,
    size: float = BODY,
    anchor: str = "start",
    muted: bool = False,
    bold: bool = False,
) -> str:
    style = (' class="muted"' if muted else "") + (' font-weight="bold"' if bold else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{style}>{escape(content)}</text>'


def number(value: float) -> str:
    """Three digits or more."""
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def machine(row: Row) -> str:
    return row["gpu"] or f"CPU ({row['processor']})"


def commit(row: Row) -> str:
    return (row["commit"] or "unknown")[:7] + (" with changes" if row.get("dirty") else "")


def environment_line(row: Row) -> str:
    return f"{machine(row)}, torch {row['torch']}, {row['date'][:10]}, commit {commit(row)}"


def setting_line(row: Row) -> str:
    return f"{row['recipe']} recipe, x{row['scale']}, {row['peers']} peers"


def document(title: str, row: Row, panels: list[str], width: float, height: float) -> str:
    """An SVG: title, environment of the newest row, panels."""
    environment = environment_line(row)
    width = max(
        width, *(text_width(*line) + 2 * MARGIN for line in ((title, TITLE), (environment, BODY)))
    )
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        text(MARGIN, 28, title, TITLE, bold=True),
        text(MARGIN, 50, environment, muted=True),
        *panels,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def ladder_svg(rows: list[Row]) -> str:
    """Steps/s of each rung and its ratio to the first, for every setting of one session."""
    panels = [in_order(rungs(group)) for group in grouped(rows, *SETTING).values()]
    gutter = MARGIN + 10 + max(text_width(row["rung"], BODY) for panel in panels for row in panel)
    parts: list[str] = []
    top = HEADER
    for panel in panels:
        parts.append(text(MARGIN, top + BODY, setting_line(panel[0]), bold=True))
        parts += bars(panel, gutter, top + PANEL_TITLE)
        top += PANEL_TITLE + ROW * len(panel) + PANEL_GAP
    widest = max(text_width(bar_label(row, panel[0]), BODY) for panel in panels for row in panel)
    return document(
        "Training steps per second", rows[-1], parts, gutter + BAR_WIDTH + 8 + widest + MARGIN, top
    )


def in_order(panel: list[Row]) -> list[Row]:
    """From the usual loop up, whatever was measured first; rungs that the ladder no longer has come last."""
    names = [rung.name for rung in ladder.rungs()]
    return sorted(panel, key=lambda row: (*names, row["rung"]).index(row["rung"]))


def bars(panel: list[Row], gutter: float, top: float) -> list[str]:
    """One horizontal bar per rung, its name left of `gutter`, its value behind it."""
    most = max(row["steps_per_second"] for row in panel)
    parts: list[str] = []
    for index, row in enumerate(panel):
        y, width = top + ROW * index, BAR_WIDTH * row["steps_per_second"] / most
        parts += [
            text(gutter - 10, y + 14, row["rung"], anchor="end"),
            f'<rect class="bar" x="{gutter:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR_HEIGHT}" rx="2"/>',
            text(gutter + width + 8, y + 14, bar_label(row, panel[0])),
        ]
    return parts


def bar_label(row: Row, first: Row) -> str:
    speedup = row["steps_per_second"] / first["steps_per_second"]
    return f"{number(row['steps_per_second'])} steps/s, {speedup:.2f}x"


def history_svg(rows: list[Row]) -> str:
    """Steps/s of each session's last rung, oldest session left, for every setting."""
    parts: list[str] = []
    headings: list[str] = []
    top = HEADER
    for group in grouped(rows, *SETTING).values():
        last_rungs = [in_order(rungs(rows_of_session))[-1] for rows_of_session in sessions(group)]
        headings.append(f"{setting_line(group[0])}: last rung, now {last_rungs[-1]['rung']}")
        parts.append(text(MARGIN, top + BODY, headings[-1], bold=True))
        parts += curve(last_rungs, top + PANEL_TITLE + 16)
        top += PANEL_TITLE + 16 + PLOT_HEIGHT + 36 + PANEL_GAP
    width = max(PLOT_WIDTH, *(text_width(heading, BODY) for heading in headings)) + 2 * MARGIN
    return document("Training steps per second over commits", rows[-1], parts, width, top)


def curve(points: list[Row], top: float) -> list[str]:
    """One point per row, evenly spaced, the axis from zero; labels as space allows, the newest always."""
    bottom, most = top + PLOT_HEIGHT, max(row["steps_per_second"] for row in points)
    spacing = (PLOT_WIDTH - LABEL_WIDTH) / max(1, len(points) - 1)
    heights = [PLOT_HEIGHT * row["steps_per_second"] / most for row in points]
    places = [
        (MARGIN + LABEL_WIDTH / 2 + spacing * index, bottom - height)
        for index, height in enumerate(heights)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [
        f'<line class="axis" x1="{MARGIN}" y1="{bottom}" x2="{MARGIN + PLOT_WIDTH}" y2="{bottom}"/>',
        f'<polyline class="line" points="{line}"/>',
    ]
    every = -int(-LABEL_WIDTH // spacing)
    for index, ((x, y), row) in enumerate(zip(places, points, strict=True)):
        tip = f"<title>{escape(row['rung'])}, {escape(environment_line(row))}</title>"
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="4">{tip}</circle>')
        if (len(points) - 1 - index) % every == 0:
            value_y = y + 18 if is_valley(heights, index) else y - 8
            parts += point_labels(row, x, value_y, bottom)
    return parts


def is_valley(heights: list[float], index: int) -> bool:
    """True where the line falls to a point and then rises or stays, so that a label above would lie on the line."""
    before, height, after = (
        heights[max(0, index - 1)],
        heights[index],
        heights[min(len(heights) - 1, index + 1)],
    )
    return before > height <= after and height > 24


def point_labels(row: Row, x: float, value_y: float, bottom: float) -> list[str]:
    """Value, date and commit of a point."""
    return [
        text(x, value_y, number(row["steps_per_second"]), SMALL, "middle"),
        text(x, bottom + 16, row["date"][:10], SMALL, "middle", muted=True),
        text(x, bottom + 31, (row["commit"] or "unknown")[:7], SMALL, "middle", muted=True),
    ]


def draw(rows: list[Row], out: Path) -> list[Path]:
    """Writes both pictures of every machine: of the paper's recipe where there is one, else of the small one."""
    out.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for (gpu,), group in grouped(rows, "gpu").items():
        shown = [row for row in group if row["recipe"] == "paper"] or group
        pictures = {"ladder": ladder_svg(sessions(shown)[-1]), "history": history_svg(shown)}
        for kind, picture in pictures.items():
            files.append(out / f"{kind}-{slug(gpu or 'cpu')}.svg")
            files[-1].write_text(picture)
    return files


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of measured rows")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the pictures")
    options = parser.parse_args(arguments)
    try:
        rows = ladder_rows(options.results)
    except ValueError as error:
        parser.error(str(error))
    if not rows:
        print(
            f"no rows of the ladder in {options.results}; measure: pytest bench/test_ladder.py --paper --record"
        )
        return 1
    for file in draw(rows, options.out):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
