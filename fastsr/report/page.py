"""The page: what was collected, in the order a reader wants it, in one file that needs nothing else."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from math import isfinite
from pathlib import Path

from markupsafe import Markup

from fastsr import __version__
from fastsr.config.peers import networks_in_words
from fastsr.console import counted, listed
from fastsr.errors import UserError
from fastsr.evaluation.command import evaluation_command
from fastsr.evaluation.metrics import metric_name
from fastsr.report.across import across
from fastsr.report.comparisons import comparisons
from fastsr.report.curves import calibration, disagreement, losses, validation
from fastsr.report.folders import collect_all, runs_of
from fastsr.report.html import missing, render
from fastsr.report.mechanism import mechanism_table
from fastsr.report.pictures import MOST, grid_uri
from fastsr.report.runs import Reproduction, Run
from fastsr.report.settings import in_words, settings
from fastsr.report.tables import evaluation_tables, reproduction_table

BUDGET = 3_600_000
"""Characters that all pictures may take together; with text and charts the page stays under 5 MB."""
POINTS, MOST_POINTS = 1200, 400
"""Points per line over all runs of a page, and of one line; fewer where many lines share a chart."""
MOST_NAMES = 3
"""In the title of a page."""


def write_report(runs: tuple[Path, ...], out: Path, overwrite: bool = False) -> Path:
    """Writes one self-contained HTML page about runs and reproductions; an earlier page is replaced at once.

    Args:
        overwrite: replace any other file too.
    Raises:
        UserError: a folder that is neither, damaged files, a page that cannot be written, another file in its place.
    """
    if not runs:
        raise UserError("no run is given; name at least one folder that fastsr train wrote")
    if out.is_file() and not overwrite and not is_page(out):
        raise UserError(f"{out} is no page of fastsr; choose another --out, or add --overwrite")
    page = document(collect_all(runs))
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
        temporary.replace(out)
    except OSError as error:
        raise UserError(
            f"{out} cannot be written ({error.strerror or error}); choose another --out"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return out


GENERATOR = '<meta name="generator" content="fastsr report">'
"""The mark of a page of ours, near its beginning."""


def is_page(file: Path) -> bool:
    """True for a page that fastsr wrote: it says so, or ends as those did that did not say so yet."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return GENERATOR in text[:2000] or "<footer><p>Written by fastsr " in text


def document(parts: Sequence[Run | Reproduction]) -> str:
    """The whole page, style and script included."""
    runs = runs_of(parts)
    alone = len(parts) == 1 and isinstance(parts[0], Run)
    reproductions = [part for part in parts if isinstance(part, Reproduction)]
    shares = [
        RunSections(run, index, len(runs), 2 if alone else 3) for index, run in enumerate(runs)
    ]
    return render(
        "page.html",
        title=page_title(parts, runs),
        lead=summary(parts, runs),
        links=links(parts, runs, alone),
        parts=[
            *(
                reproduction_part(part, index, len(parts) == 1)
                for index, part in enumerate(reproductions)
            ),
            *([across(runs, POINTS // len(runs))] if len(runs) > 1 else []),
            *(share.html(alone) for share in shares),
        ],
        style=resource("page.css"),
        script=resource("page.js"),
        version=__version__,
    )


def page_title(parts: Sequence[Run | Reproduction], runs: Sequence[Run]) -> str:
    if len(parts) == 1:
        return parts[0].name
    names = f": {listed([part.name for part in parts])}" if len(parts) <= MOST_NAMES else ""
    return f"{counted(len(runs), 'run')}{names}"


def resource(name: str) -> Markup:
    """A file of ours that goes into the page as it is."""
    return Markup((files("fastsr.report") / name).read_text(encoding="utf-8"))


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
    return f"{counted(len(runs), 'run')}, compared, and then each by itself."


def run_summary(run: Run) -> str:
    """A few sentences on a run: peers, networks, steps and speed."""
    config = run.config
    counts: dict[str, int] = {}
    for peer in run.peers:
        counts[peer.variant] = counts.get(peer.variant, 0) + 1
    peers = listed(
        [f"{count} {name}" if len(counts) > 1 else name for name, count in counts.items()]
    )
    pretrained = config.optim.pretrain_steps
    of = f"{config.total_steps:,}" + (
        f" ({pretrained:,} of them pre-training)" if pretrained else ""
    )
    speeds = [
        f"{words} at {speed:.3g} steps/s (median)"
        for stage, words in (("pretraining", "pre-training"), ("training", "adversarial training"))
        if isfinite(speed := run.speed(stage))
    ]
    sentences = [
        f"{counted(len(run.peers), 'peer')} ({peers}) at x{config.model.scale}",
        networks_in_words(config),
        f"step {run.last_step:,} of {of}",
        *speeds,
    ]
    return "; ".join(sentences) + "."


def links(
    parts: Sequence[Run | Reproduction], runs: Sequence[Run], alone: bool
) -> list[tuple[str, str]]:
    """Places in the page, with their names."""
    names = [
        "Tables" if len(parts) == 1 else f"{part.name}: tables"
        for part in parts
        if isinstance(part, Reproduction)
    ]
    tables = [(f"reproduction-{index}", name) for index, name in enumerate(names)]
    if alone:
        return tables + [(f"run-0-{key}", title) for key, title in TITLES.items()]
    compared = [("across", "Runs compared")] if len(runs) > 1 else []
    return tables + compared + [(f"run-{index}", run.name) for index, run in enumerate(runs)]


def reproduction_part(part: Reproduction, index: int, alone: bool) -> Markup:
    """The tables of a reproduction, its plan, and what differs from the paper."""
    return render(
        "reproduction.html",
        key=f"reproduction-{index}",
        name="" if alone else f" of {part.name}",
        tables=[
            (f"x{one.scale}, {metric_name(one.metric)}", reproduction_table(one))
            for one in sorted(part.tables.tables, key=lambda table: table.scale)
        ],
        mechanisms=list(map(mechanism_table, part.tables.mechanisms)),
        remarks=part.tables.notes,
        plan=in_words(part.tables.plan),
    )


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

    @property
    def key(self) -> str:
        return f"run-{self.index}"

    def html(self, alone: bool) -> Markup:
        """The sections in their order; `alone` if the page shows nothing but this run."""
        parts: Mapping[str, Callable[[], Markup]] = {
            "results": self.results,
            "comparisons": self.comparisons,
            "validation": lambda: validation(self.run, self.points),
            "losses": lambda: losses(self.run, self.points),
            "disagreement": lambda: disagreement(self.run, self.points),
            "calibration": lambda: calibration(self.run),
            "settings": lambda: settings(self.run, self.key, self.level + 1),
        }
        return render(
            "run.html",
            key=self.key,
            name=self.run.name,
            summary=run_summary(self.run),
            alone=alone,
            level=self.level,
            sections=[(name, TITLES[name], content()) for name, content in parts.items()],
        )

    def evaluate_hint(self, what: str) -> Markup:
        return missing(f"{what}; {evaluation_command(self.run.config, self.run.folder)} does it.")

    def results(self) -> Markup:
        evaluation = self.run.evaluation
        if evaluation is None:
            return self.evaluate_hint("Not evaluated on whole test images yet")
        step = f"Evaluated at step {evaluation.step:,}. " if evaluation.step is not None else ""
        link = Markup('<p>{}How it was measured: <a href="#{}-protocol">Protocol</a>.</p>').format(
            step, self.key
        )
        return link + evaluation_tables(evaluation)

    def comparisons(self) -> Markup:
        evaluation = self.run.evaluation
        if evaluation is None or not evaluation.pictures:
            return self.evaluate_hint("No whole pictures to compare yet") + self.grid()
        if not self.pictures:
            return missing(
                f"Left out to keep this page small; fastsr report {self.run.folder} shows them."
            )
        folder = self.run.evaluation_folder
        if not (folder / "pictures").is_dir():  # as where a run was copied without them
            return missing(
                f"The evaluation's pictures are not in {folder}; fastsr eval {self.run.folder} --sets Set5 makes some."
            )
        return comparisons(evaluation, folder, self.pictures, self.budget, self.key, self.level + 1)

    def grid(self) -> Markup:
        """The last comparison that training drew, for a run without pictures of an evaluation."""
        if self.run.grid is None or not self.pictures:
            return Markup()
        uri, width, height = grid_uri(self.run.grid)
        step = int(self.run.grid.stem.removeprefix("step-"))
        name = f"Validation images, step {step:,}"
        return render("grid.html", name=name, uri=uri, width=width, height=height)
