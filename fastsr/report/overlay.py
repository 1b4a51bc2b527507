"""Curves of several runs over each other: one line for each variant of each run, a mean over its peers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import TypeVar

from markupsafe import Markup

from fastsr.cohort.terms import Term, terms_of
from fastsr.evaluation.metrics import metric_text
from fastsr.report.charts import Series, plot
from fastsr.report.curves import (
    DASH_OF_CONTROLS,
    DASHES,
    STAGES,
    begin_note,
    begins,
    bicubic_level,
    loss_chart,
    loss_of,
    low_note,
    score,
    validated_metrics,
    validation_chart,
)
from fastsr.report.html import missing
from fastsr.report.lines import NOTE, known_mean, thinned
from fastsr.report.runs import Peer, Run

RowT = TypeVar("RowT")


@dataclass(frozen=True)
class Group:
    """Peers of one variant of a run, drawn as one line."""

    run: Run
    peers: tuple[Peer, ...]
    line: Series
    """Without points."""

    def drawn(
        self,
        rows: Sequence[RowT],
        steps: Sequence[int],
        value: Callable[[RowT, Peer], float],
        most: int,
    ) -> list[Series]:
        """The mean over peers at each row; nothing where there is none."""
        ys = [known_mean([value(row, peer) for peer in self.peers]) for row in rows]
        if not any(isfinite(y) for y in ys):
            return []
        xs, means = thinned(steps, ys, most)
        return [replace(self.line, xs=xs, ys=means)]


def groups_of(runs: Sequence[Run]) -> list[Group]:
    """Colour and marker tell runs apart, dashes their variants."""
    found: list[Group] = []
    for style, run in enumerate(runs):
        variants = dict.fromkeys(peer.variant for peer in run.peers)
        for variant in variants:
            peers = tuple(peer for peer in run.peers if peer.variant == variant)
            label = f"{run.name} ({variant})" if len(variants) > 1 else run.name
            dash = DASHES.get(variant, DASH_OF_CONTROLS) if len(variants) > 1 else 0
            found.append(Group(run, peers, Series(label, (), (), style, dash)))
    return found


def losses(runs: Sequence[Run], most: int) -> Markup:
    """One chart per term, each with every run that has it; one each where runs do not mean the same by it."""
    groups = groups_of(runs)
    charts: list[Markup] = []
    for stage, terms in STAGES.items():
        for term in terms:
            meant: dict[Term, list[Series]] = {}
            for group in groups:
                (own,) = terms_of(group.run.config.loss, (term,))
                meant.setdefault(own, []).extend(loss_line(group, stage, term.name, most))
            charts += [loss_chart(own, series) for own, series in meant.items() if series]
    if not charts:
        return missing("No training metrics yet.")
    return plot([group.line for group in groups], charts) + missing(NOTE)


def loss_line(group: Group, stage: str, name: str, most: int) -> list[Series]:
    rows = [row for row in group.run.training if row.stage == stage]
    steps = [row.step for row in rows]
    return group.drawn(rows, steps, lambda row, peer: loss_of(row, peer, name), most)


def validation(runs: Sequence[Run], most: int) -> Markup:
    """One chart per metric; bicubic's level where all runs have the same."""
    groups = [group for group in groups_of(runs) if group.run.validation]
    if not groups:
        return missing("None of these runs was validated while training.")
    starts = {begins(group.run) for group in groups}
    start = starts.pop() if len(starts) == 1 else nan
    charts: list[Markup] = []
    for metric in validated_metrics([row for group in groups for row in group.run.validation]):
        series = [line for group in groups for line in validation_line(group, metric, most)]
        level = shared([bicubic_level(group.run, metric) for group in groups], metric)
        charts.append(validation_chart(metric, series, level, start))
    used = dict.fromkeys(row.low_resolution for group in groups for row in group.run.validation)
    unlike = (
        missing(f"Low resolutions differ among these runs: {'; '.join(used)}.")
        if len(used) > 1
        else low_note(groups[0].run.validation)
    )
    return plot([group.line for group in groups], charts) + begin_note(start) + unlike


def validation_line(group: Group, metric: str, most: int) -> list[Series]:
    rows = group.run.validation
    steps = [row.step for row in rows]
    return group.drawn(rows, steps, lambda row, peer: score(row, peer, metric), most)


def shared(levels: Sequence[float], metric: str) -> float:
    """NaN where runs differ in what is printed, as they do in scale or in images."""
    return levels[0] if len({metric_text(metric, level) for level in levels}) == 1 else nan
