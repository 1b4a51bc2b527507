"""The curves of a run: losses, validation, disagreement, calibration."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from math import isfinite, nan

from markupsafe import Markup

from fastsr.cohort.terms import (
    PRETRAINING_TERMS,
    PROBABILITY,
    TRAINING_TERMS,
    WARMING_TERMS,
    Term,
    terms_of,
)
from fastsr.config.settings import AdversarialName
from fastsr.console import counted
from fastsr.evaluation.metrics import MEASURES, metric_name, metric_text
from fastsr.evaluation.protocol import BICUBIC
from fastsr.report.charts import Series, line_chart, plot, reliability_chart
from fastsr.report.html import grid, missing
from fastsr.report.lines import NOTE, known_mean, thinned, with_smoothing
from fastsr.report.runs import BINS, Peer, Run, TrainRow, ValidationRow
from fastsr.reproduction.mechanism import calibration_error
from fastsr.reproduction.paper import BASELINE

STAGES = {"pretraining": PRETRAINING_TERMS, "warming": WARMING_TERMS, "training": TRAINING_TERMS}
DASHES = {BASELINE: 0, "ML": 1, "ML*": 2}
DASH_OF_CONTROLS = 3
MOST_LINES = 6
"""Lines of one chart that can be told apart; more pairs of peers are summed up by their mean."""
PROBABILITIES = ("d_prob_real", "d_prob_fake")
"""Terms between 0 and 1; in the middle, a discriminator whose logits mean probabilities cannot tell."""
NOT_PROBABILITIES: dict[AdversarialName, str] = {
    "vanilla": "",
    "lsgan": (
        " With --adversarial lsgan the probability is the sigmoid of a logit that is trained to be 1 or 0, so that it"
        " lies between 0.5 and 0.73: the distance from the diagonal then says little."
    ),
    "relativistic": (
        " With --adversarial relativistic the probability is the sigmoid of a logit of which only the distance between"
        " real and generated images is trained: that from the diagonal then says little."
    ),
}
"""What has to be known of calibration under other losses of the discriminator."""


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
    variants = {peer.variant for peer in run.peers}
    return DASHES.get(variant, DASH_OF_CONTROLS) if len(variants) > 1 else 0


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
    for stage, terms in STAGES.items():
        rows = [row for row in run.training if row.stage == stage]
        for term in terms_of(run.config.loss, terms):
            series = peer_series(
                run, lambda row, peer, term=term: loss_of(row, peer, term.name), rows, most
            )
            charts += [loss_chart(term, series)] if series else []
    notes = [NOTE]
    if not any(row.stage == "training" for row in run.training):
        notes.append(
            "The run is in pre-training: generators alone. "
            f"fastsr train --resume {run.folder} continues it; discriminators appear with adversarial training."
        )
    if any(not peer.teachers for peer in run.peers) and any(peer.teachers for peer in run.peers):
        notes.append("Peers without teachers have no KL to them.")
    return plot(peer_lines(run), charts) + Markup().join(missing(note) for note in notes)


def loss_chart(term: Term, series: Sequence[Series]) -> Markup:
    """One term, smoothed, under its short name."""
    bounds = (0.0, 1.0) if term.name in PROBABILITIES else None
    reference = (0.5, "cannot tell") if term.unit == PROBABILITY else None
    return line_chart(
        upper_first(term.short),
        term.unit,
        with_smoothing(series),
        meaning=upper_first(term.meaning),
        bounds=bounds,
        reference=reference,
    )


def upper_first(words: str) -> str:
    return words[0].upper() + words[1:]


def loss_of(row: TrainRow, peer: Peer, key: str) -> float:
    """NaN where there is none; a peer without teachers has no KL to them, rather than one of 0."""
    if peer.index >= len(row.peers) or (key.startswith("kl_") and not peer.teachers):
        return nan
    return row.peers[peer.index].get(key, nan)


def peer_lines(run: Run) -> list[Series]:
    """Lines without points, for a legend."""
    return [Series(peer.label, (), (), peer.index, dash(run, peer.variant)) for peer in run.peers]


def validation(run: Run, most: int) -> Markup:
    """Each metric of each peer over steps, and bicubic's level."""
    if not run.validation:
        return missing(
            "Not validated while training; fastsr train --val FOLDER does it every --val-every steps."
        )
    charts = [
        validation_chart(
            metric, peer_scores(run, metric, most), bicubic_level(run, metric), begins(run)
        )
        for metric in validated_metrics(run.validation)
    ]
    return plot(peer_lines(run), charts) + begin_note(begins(run)) + low_note(run.validation)


def low_note(rows: Sequence[ValidationRow]) -> Markup:
    """A sentence on the low resolution; nothing where it is bicubic throughout."""
    found = list(dict.fromkeys(row.low_resolution for row in rows))
    if set(found) <= {BICUBIC}:
        return Markup()
    changed = "; it was changed, and the curve with it" if len(found) > 1 else ""
    return missing(f"Low resolution of the validation images: {', then '.join(found)}{changed}.")


def begin_note(step: float) -> Markup:
    """A sentence on the dotted line; nothing where there is none."""
    note = f"The dotted upright line marks step {step:,.0f}, where adversarial training begins."
    return missing(note) if isfinite(step) else Markup()


def validation_chart(
    metric: str, series: Sequence[Series], bicubic: float, begins: float
) -> Markup:
    unit = MEASURES[metric].unit
    reference = (bicubic, f"bicubic {metric_text(metric, bicubic)}") if isfinite(bicubic) else None
    meaning = "Validation images"
    return line_chart(
        metric_name(metric), unit, series, meaning=meaning, reference=reference, begins=begins
    )


def validated_metrics(rows: Sequence[ValidationRow]) -> list[str]:
    """Those that any row has, in the usual order."""
    found = {metric for row in rows for scores in row.scores.values() for metric in scores}
    return [metric for metric in MEASURES if metric in found]


def peer_scores(run: Run, metric: str, most: int) -> list[Series]:
    steps = [row.step for row in run.validation]
    return [
        replace(line, xs=xs, ys=ys)
        for peer, line in zip(run.peers, peer_lines(run), strict=True)
        for xs, ys in [thinned(steps, [score(row, peer, metric) for row in run.validation], most)]
    ]


def score(row: ValidationRow, peer: Peer, metric: str) -> float:
    return row.scores.get(f"peer {peer.index}", {}).get(metric, nan)


def bicubic_level(run: Run, metric: str) -> float:
    """NaN where it was not measured."""
    return known_mean([row.scores.get(BICUBIC, {}).get(metric, nan) for row in run.validation])


def compared_pairs(run: Run) -> list[tuple[Peer, Peer, str]]:
    """Pairs that teach each other, pairs without any teacher, and of two peers always the one pair; with a variant."""
    pairs: list[tuple[Peer, Peer, str]] = []
    for one, other in combinations(run.peers, 2):
        if one.index in other.teachers:
            pairs.append((one, other, other.variant))
        elif other.index in one.teachers or (
            not (one.teachers or other.teachers) and one.variant == other.variant
        ):
            pairs.append((one, other, one.variant))
        elif len(run.peers) == 2:
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
    series = with_smoothing(series if len(series) <= MOST_LINES else summed_up(series))
    text = (
        "Mean KL divergence between the probabilities that two discriminators give the same images, "
        "of both directions. Discriminators that teach each other should end below those that do not."
    )
    chart = line_chart("Disagreement of discriminators", "nats", series)
    return Markup("<p>{}</p>").format(text) + plot(series, [chart])


def summed_up(series: Sequence[Series]) -> list[Series]:
    """Every line faint, and the mean of each variant's before them."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.label.rpartition("(")[2].rstrip(")"), []).append(one)
    found: list[Series] = []
    for variant, members in groups.items():
        style = DASHES.get(variant, DASH_OF_CONTROLS)
        label = f"{variant}, mean of {counted(len(members), 'pair')}"
        found += [replace(one, style=style, dash=0, faint=True, key=label) for one in members]
        columns = zip(*(one.ys for one in members), strict=True)
        ys = tuple(known_mean(values) for values in columns)
        found.append(Series(label, members[0].xs, ys, style, members[0].dash))
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
        title = f"{upper_first(peer.label)}: error {calibration_error(real, generated):.3f}"
        charts.append(reliability_chart(title, real, generated, peer.index))
    first, last = rows[0].step, rows[-1].step
    span = f"Steps {first:,} to {last:,}" if len(rows) > 1 else f"Step {last:,}"
    text = (
        f"{span}, the last batch of each row. On the diagonal, a probability can "
        "be believed: of the images given 0.8, eight in ten are real. Points only at both ends: D tells all apart; "
        "only in the middle: it cannot tell. Larger marks stand for more images; the error in each title is the "
        "mean distance from the diagonal over images."
        + NOT_PROBABILITIES[run.config.loss.adversarial]
    )
    return Markup("<p>{}</p>").format(text) + grid(charts)
