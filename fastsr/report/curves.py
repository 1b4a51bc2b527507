"""The curves of a run: losses, validation, disagreement, calibration."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from math import isfinite, nan
from statistics import fmean

from markupsafe import Markup

from fastsr.cohort.terms import PRETRAINING_TERMS, TRAINING_TERMS, Term
from fastsr.evaluation.metrics import metric_title
from fastsr.evaluation.protocol import BICUBIC
from fastsr.report.charts import Series, legend, line_chart, reliability_chart
from fastsr.report.html import grid, missing
from fastsr.report.runs import BINS, Peer, Run, TrainRow
from fastsr.reproduction.paper import BASELINE

DASHES = {BASELINE: 0, "ML": 1, "ML*": 2}
MOST_LINES = 6
"""Lines of one chart that can be told apart; more pairs of peers are summed up by their mean."""


PROBABILITIES = ("d_prob_real", "d_prob_fake")
"""Terms between 0 and 1; in the middle, a discriminator cannot tell."""


def thinned(
    xs: Sequence[float], ys: Sequence[float], most: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most `most` points, each the mean of as many neighbours; NaN where none of them is finite."""
    size = -(-len(xs) // most) or 1
    starts = range(0, len(xs), size)
    means = [fmean([y for y in ys[k : k + size] if isfinite(y)] or [nan]) for k in starts]
    return tuple(fmean(xs[k : k + size]) for k in starts), tuple(means)


def peer_series(
    run: Run, value: Callable[[TrainRow, Peer], float], rows: Sequence[TrainRow], most: int
) -> list[Series]:
    """One line per peer that has any value."""
    found: list[Series] = []
    for peer in run.peers:
        ys = [value(row, peer) for row in rows]
        if any(isfinite(y) for y in ys):
            points = thinned([row.step for row in rows], ys, most)
            found.append(
                Series(peer.label, *points, style=peer.index, dash=dash(run, peer.variant))
            )
    return found


def dash(run: Run, variant: str) -> int:
    """Dashes tell variants apart; where there is but one, its lines are solid."""
    return DASHES[variant] if len({peer.variant for peer in run.peers}) > 1 else 0


def begins(run: Run) -> float:
    """The step at which adversarial training begins; NaN where the run has no pre-training."""
    return run.config.optim.pretrain_steps or nan


def losses(run: Run, most: int) -> Markup:
    """One chart per term of the losses."""
    if not run.training:
        return missing(
            f"No training metrics yet; fastsr train --resume {run.folder} continues the run."
        )
    charts: list[Markup] = []
    for stage, terms in (("pretraining", PRETRAINING_TERMS), ("training", TRAINING_TERMS)):
        rows = [row for row in run.training if row.stage == stage]
        charts += [chart for term in terms if (chart := loss_chart(run, term, rows, most))]
    notes: list[str] = []
    if not any(row.stage == "training" for row in run.training):
        notes.append(
            "The run is in pre-training: generators alone. "
            f"fastsr train --resume {run.folder} continues it; discriminators appear with adversarial training."
        )
    if any(not peer.teachers for peer in run.peers) and any(peer.teachers for peer in run.peers):
        notes.append("Peers without teachers have no KL to them.")
    return peers_legend(run) + grid(charts) + Markup().join(missing(note) for note in notes)


def loss_chart(run: Run, term: Term, rows: Sequence[TrainRow], most: int) -> Markup:
    """Nothing where no peer has a value."""
    series = peer_series(run, lambda row, peer: loss_of(row, peer, term.name), rows, most)
    if not series:
        return Markup()
    title = term.meaning[0].upper() + term.meaning[1:]
    is_probability = term.name in PROBABILITIES
    bounds, reference = ((0.0, 1.0), (0.5, "cannot tell")) if is_probability else (None, None)
    return line_chart(title, term.unit, series, bounds=bounds, reference=reference)


def loss_of(row: TrainRow, peer: Peer, key: str) -> float:
    """NaN where there is none; a peer without teachers has no KL to them, rather than one of 0."""
    if peer.index >= len(row.peers) or (key.startswith("kl_") and not peer.teachers):
        return nan
    return row.peers[peer.index].get(key, nan)


def peers_legend(run: Run) -> Markup:
    return legend(
        [Series(peer.label, (), (), peer.index, dash(run, peer.variant)) for peer in run.peers]
    )


def validation(run: Run, most: int) -> Markup:
    """PSNR and SSIM of each peer over steps, and bicubic's level."""
    if not run.validation:
        return missing(
            "Not validated while training; fastsr train --val FOLDER does it every --val-every steps."
        )
    charts: list[Markup] = []
    steps = [row.step for row in run.validation]
    for metric in ("psnr", "ssim"):
        series: list[Series] = []
        for peer in run.peers:
            ys = [
                row.scores.get(f"peer {peer.index}", {}).get(metric, nan) for row in run.validation
            ]
            series.append(
                Series(peer.label, *thinned(steps, ys, most), peer.index, dash(run, peer.variant))
            )
        levels = [
            row.scores[BICUBIC][metric]
            for row in run.validation
            if metric in row.scores.get(BICUBIC, {})
        ]
        reference = (fmean(levels), f"bicubic {fmean(levels):.4g}") if levels else None
        title, unit = f"{metric.upper()} on the validation images", metric_title(metric)
        charts.append(line_chart(title, unit, series, reference=reference, begins=begins(run)))
    pretrained = run.config.optim.pretrain_steps
    note = (
        f"The dotted upright line marks step {pretrained:,}, where adversarial training begins."
        if pretrained
        else ""
    )
    return peers_legend(run) + grid(charts) + (missing(note) if note else Markup())


def compared_pairs(run: Run) -> list[tuple[Peer, Peer, str]]:
    """Pairs that teach each other, pairs without any teacher, and of two peers always the one pair; with a variant."""
    pairs: list[tuple[Peer, Peer, str]] = []
    for one, other in combinations(run.peers, 2):
        if one.index in other.teachers:
            pairs.append((one, other, other.variant))
        elif other.index in one.teachers:
            pairs.append((one, other, one.variant))
        elif not (one.teachers or other.teachers) or len(run.peers) == 2:
            pairs.append((one, other, BASELINE))
    return pairs


def disagreement(run: Run, most: int) -> Markup:
    """Curves of the distance between the discriminators' answers to the same images."""
    rows = [row for row in run.training if row.disagreement]
    if len(run.peers) < 2:
        return missing("One peer alone has nobody to disagree with.")
    if not rows:
        return missing(
            "No disagreement was recorded; adversarial steps of this version of fastsr record it."
        )
    steps = [row.step for row in rows]
    series: list[Series] = []
    for style, (one, other, variant) in enumerate(compared_pairs(run)):
        a, b = one.index, other.index
        ys = [(row.disagreement[a][b] + row.disagreement[b][a]) / 2 for row in rows]
        label = f"peers {a} and {b} ({variant})"
        series.append(Series(label, *thinned(steps, ys, most), style, dash(run, variant)))
    series = series if len(series) <= MOST_LINES else summed_up(series)
    text = (
        "Mean KL divergence between the probabilities that two discriminators give the same images, "
        "of both directions. Discriminators that teach each other should end below those that do not."
    )
    chart = line_chart("Disagreement of discriminators", "nats", series)
    return Markup("<p>{}</p>").format(text) + legend(series) + grid([chart])


def summed_up(series: Sequence[Series]) -> list[Series]:
    """Every line faint, and the mean of each variant's before them."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.label.rpartition("(")[2].rstrip(")"), []).append(one)
    found: list[Series] = []
    for variant, members in groups.items():
        style = DASHES[variant]
        found += [replace(one, style=style, dash=0, faint=True) for one in members]
        ys = tuple(
            fmean([y for y in values if isfinite(y)] or [nan])
            for values in zip(*(one.ys for one in members), strict=True)
        )
        found.append(
            Series(
                f"{variant}, mean of {len(members)} pairs",
                members[0].xs,
                ys,
                style,
                members[0].dash,
            )
        )
    return found


def calibration(run: Run) -> Markup:
    """Charts of how far a discriminator's probabilities can be believed, in the last quarter of training."""
    rows = [row for row in run.training if row.stage == "training" and row.real and row.generated]
    if not rows:
        return missing(
            "No histograms of probabilities were recorded; adversarial steps of this fastsr record them."
        )
    rows = rows[-max(1, len(rows) // 4) :]
    charts: list[Markup] = []
    for peer in run.peers:
        real, generated = (
            [sum(counts[peer.index][k] for counts in histograms) for k in range(BINS)]
            for histograms in ([row.real for row in rows], [row.generated for row in rows])
        )
        title = f"{peer.label}: error {calibration_error(real, generated):.3f}"
        charts.append(reliability_chart(title, real, generated, peer.index))
    text = (
        f"Steps {rows[0].step:,} to {rows[-1].step:,}, the last batch of each row. On the diagonal, a probability can "
        "be believed: of the images given 0.8, eight in ten are real. Points only at both ends: D tells all apart; "
        "only in the middle: it cannot tell. Larger marks stand for more images; the error in each title is the "
        "mean distance from the diagonal over images."
    )
    return Markup("<p>{}</p>").format(text) + grid(charts)


def calibration_error(real: Sequence[int], generated: Sequence[int]) -> float:
    """Mean over images of the distance between the probability predicted and the share that was real."""
    total = sum(real) + sum(generated)
    distances = (
        abs(a - (a + b) * (k + 0.5) / BINS)
        for k, (a, b) in enumerate(zip(real, generated, strict=True))
    )
    return sum(distances) / total if total else nan
