"""The page: what was collected, in the order a reader wants it, in one file that needs nothing else."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from math import isfinite
from pathlib import Path
from string import Template
from typing import Any

from fastsr import __version__
from fastsr.errors import UserError
from fastsr.evaluation.metrics import MEASURES
from fastsr.report.comparisons import comparisons
from fastsr.report.curves import calibration, disagreement, losses, missing, validation
from fastsr.report.evaluation import metric_name
from fastsr.report.pictures import MOST, grid_uri
from fastsr.report.runs import Reproduction, Run, collect
from fastsr.report.settings import details, environment_table, plan_table, setting_tables
from fastsr.report.tables import counted, evaluation_tables, listed, reproduction_table

BUDGET = 3_600_000
"""Characters that all pictures may take together; with text and charts the page stays under 5 MB."""
POINTS, MOST_POINTS = 1200, 400
"""Points per line over all runs of a page, and of one line; fewer where many lines share a chart."""


def write_report(runs: tuple[Path, ...], out: Path) -> Path:
    """Writes one self-contained HTML page about runs and reproductions; an existing file is replaced at once.

    Raises UserError for a folder that is neither, for damaged files, and where the page cannot be written.
    """
    if not runs:
        raise UserError("no run is given; name at least one folder that fastsr train wrote")
    page = document([collect(folder) for folder in runs])
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(out)
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror or error}); choose another --out") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return out


def document(parts: Sequence[Run | Reproduction]) -> str:
    runs = [run for part in parts for run in (part.runs if isinstance(part, Reproduction) else (part,))]
    alone = len(parts) == 1 and isinstance(parts[0], Run)
    title = parts[0].name if len(parts) == 1 else f"{len(parts)} runs: {listed([part.name for part in parts])}"
    body: list[str] = []
    for index, part in enumerate(part for part in parts if isinstance(part, Reproduction)):
        body.append(reproduction_part(part, index, alone=len(parts) == 1))
    for index, run in enumerate(runs):
        body.append(RunSections(run, index, len(runs), 2 if alone else 3).html(alone))
    return filled(title, summary(parts, runs), contents(parts, runs, alone), "".join(body))


def filled(title: str, lead: str, navigation: str, body: str) -> str:
    resources = files("fastsr.report")
    style, script, page = (
        (resources / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "page.html")
    )
    return Template(page).substitute(
        title=escape(title),
        lead=escape(lead),
        navigation=navigation,
        body=body,
        style=style,
        script=script,
        version=escape(__version__),
    )


def summary(parts: Sequence[Run | Reproduction], runs: Sequence[Run]) -> str:
    """One line on the whole page."""
    if len(parts) == 1 and isinstance(parts[0], Run):
        return run_summary(parts[0])
    if len(parts) == 1 and isinstance(parts[0], Reproduction):
        scales = sorted({run.config.model.scale for run in runs})
        return (
            f"Reproduction of the paper's tables: {counted(len(runs), 'run')} at {listed([f'x{s}' for s in scales])}."
            if runs
            else "Reproduction of the paper's tables; no run is listed."
        )
    return f"{counted(len(runs), 'run')}, each by itself."


def run_summary(run: Run) -> str:
    config = run.config
    counts: dict[str, int] = {}
    for peer in run.peers:
        counts[peer.variant] = counts.get(peer.variant, 0) + 1
    peers = listed([f"{count} {name}" if len(counts) > 1 else name for name, count in counts.items()])
    pretrained = config.optim.pretrain_steps
    of = f"{config.total_steps:,}" + (f" ({pretrained:,} of them pre-training)" if pretrained else "")
    speeds = [
        f"{words} at {speed:.3g} steps/s (median)"
        for stage, words in (("pretraining", "pre-training"), ("training", "adversarial training"))
        if isfinite(speed := run.speed(stage))
    ]
    sentences = [
        f"{counted(len(run.peers), 'peer')} ({peers}) at x{config.model.scale}",
        f"{config.model.blocks} blocks, {config.model.filters} filters",
        f"step {run.last_step:,} of {of}",
        *speeds,
    ]
    return "; ".join(sentences) + "."


def contents(parts: Sequence[Run | Reproduction], runs: Sequence[Run], alone: bool) -> str:
    """Links to what the page holds."""
    names = [
        "Tables" if len(parts) == 1 else f"{part.name}: tables" for part in parts if isinstance(part, Reproduction)
    ]
    links = [(f"reproduction-{index}", name) for index, name in enumerate(names)]
    if alone:
        links += [(f"run-0-{key}", title) for key, title in TITLES.items()]
    else:
        links += [(f"run-{index}", run.name) for index, run in enumerate(runs)]
    items = "".join(f'<li><a href="#{key}">{escape(name)}</a></li>' for key, name in links)
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'


def reproduction_part(part: Reproduction, index: int, alone: bool) -> str:
    """The tables of a reproduction, its plan, and what differs from the paper."""
    name = "" if alone else f" of {part.name}"
    pieces = [f'<section id="reproduction-{index}"><h2>{escape(f"The paper and this reproduction{name}")}</h2>']
    if not part.tables.tables:
        pieces.append(missing("No table yet; fastsr reproduce writes them as its runs are evaluated."))
    pieces += [
        f"<h3>x{table.scale}, {escape(metric_name(table.metric))}</h3>{reproduction_table(table)}"
        for table in part.tables.tables
    ]
    if part.tables.tables:
        pieces.append(
            '<p class="note"><b class="best">Bold and underlined</b>: the best of our variants. Small numbers: '
            "each peer. Differences are means over images, with paired t intervals.</p>"
        )
    if part.tables.notes:
        notes = "".join(f"<li>{escape(note)}</li>" for note in part.tables.notes)
        pieces.append(f"<h3>What to know about these numbers</h3><ul>{notes}</ul>")
    pieces.append(details("Plan", plan_table(part.tables.plan)) if part.tables.plan else "")
    return "".join(pieces) + "</section>"


def protocol_name(key: str) -> str:
    return MEASURES[key].name if key in MEASURES else key.replace("_", " ").capitalize()


TITLES = {
    "results": "Results",
    "comparisons": "Comparisons",
    "validation": "Validation",
    "losses": "Losses",
    "disagreement": "Disagreement",
    "calibration": "Calibration",
    "settings": "Settings",
}


class RunSections:
    """One run as sections of the page, one of `of` runs that share its pictures and points."""

    def __init__(self, run: Run, index: int, of: int, level: int) -> None:
        self.run, self.index, self.level = run, index, level
        self.points = max(60, min(MOST_POINTS, POINTS // of, 2 * MOST_POINTS // len(run.peers)))
        self.pictures = MOST // of + (index < MOST % of)
        self.budget = BUDGET // min(of, MOST)

    def html(self, alone: bool) -> str:
        parts: Mapping[str, Callable[[], str]] = {
            "results": self.results,
            "comparisons": self.comparisons,
            "validation": lambda: validation(self.run, self.points),
            "losses": lambda: losses(self.run, self.points),
            "disagreement": lambda: disagreement(self.run, self.points),
            "calibration": lambda: calibration(self.run),
            "settings": self.settings,
        }
        level = self.level
        sections = "".join(
            f'<section id="run-{self.index}-{key}"><h{level}>{TITLES[key]}</h{level}>{content()}</section>'
            for key, content in parts.items()
        )
        if alone:
            return sections
        head = f"<h2>{escape(self.run.name)}</h2><p>{escape(run_summary(self.run))}</p>"
        return f'<section class="run" id="run-{self.index}">{head}{sections}</section>'

    def evaluate_hint(self, what: str) -> str:
        return missing(f"{what}; fastsr eval {self.run.folder} --sets Set5 does it.")

    def results(self) -> str:
        evaluation = self.run.evaluation
        if evaluation is None:
            return self.evaluate_hint("Not evaluated on whole test images yet")
        step = f"Evaluated at step {evaluation.step:,}. " if evaluation.step is not None else ""
        link = f'<a href="#run-{self.index}-protocol">Protocol</a>'
        return f"<p>{step}How it was measured: {link}.</p>{evaluation_tables(evaluation)}"

    def comparisons(self) -> str:
        evaluation = self.run.evaluation
        if evaluation is None or not evaluation.pictures:
            return self.evaluate_hint("No whole pictures to compare yet") + self.grid()
        if not self.pictures:
            return missing(f"Left out to keep this page small; fastsr report {self.run.folder} shows them.")
        return comparisons(evaluation, self.pictures, self.budget, f"run-{self.index}", self.level + 1)

    def grid(self) -> str:
        """The last comparison that training drew, for a run without pictures of an evaluation."""
        if self.run.grid is None or not self.pictures:
            return ""
        uri, width, height = grid_uri(self.run.grid)
        name = escape(f"Validation images, step {self.run.grid.stem.removeprefix('step-').lstrip('0')}")
        box = f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        image = f'<img class="grid-picture" src="{uri}" width="{width}" height="{height}" alt="{name}">'
        return f"<figure>{box}{image}</div><figcaption>{name}, drawn while training.</figcaption></figure>"

    def settings(self) -> str:
        evaluation = self.run.evaluation
        parts = [details("Settings of the run", setting_tables(self.run.config))]
        if self.run.environment:
            parts.append(details("Environment of training", environment_table(self.run.environment)))
        else:
            parts.append(missing("environment.json is missing, so versions and hardware are unknown."))
        if evaluation is not None:
            if evaluation.environment:
                parts.append(details("Environment of evaluation", environment_table(evaluation.environment)))
            parts.append(self.protocol(evaluation.protocol))
        return "".join(parts)

    def protocol(self, texts: Mapping[str, Any]) -> str:
        items = "".join(
            f"<dt>{escape(protocol_name(name))}</dt><dd>{escape(text)}</dd>" for name, text in texts.items()
        )
        name = f"run-{self.index}-protocol"
        return f'<h{self.level + 1} id="{name}">Protocol of the evaluation</h{self.level + 1}><dl>{items}</dl>'
