"""Tables: an evaluation's means, and a reproduction's numbers beside the paper's."""

from collections.abc import Sequence
from html import escape
from math import isfinite

from fastsr.report.charts import interval_chart
from fastsr.report.evaluation import (
    BICUBIC,
    Evaluation,
    Model,
    TestSet,
    better_direction,
    metric_name,
    metric_text,
    metric_title,
)
from fastsr.report.reproduction import BASELINE, Difference, Row, Table, Variant

MOST_COLUMNS = 12
NOTHING = '<span aria-hidden="true">–</span><span class="hidden">not measured</span>'
SPACE = "\u00a0"
STYLES = {"ML": 1, "ML*": 2}


def evaluation_tables(evaluation: Evaluation) -> str:
    """One row per model; as many test sets side by side as stay readable."""
    each = max(1, MOST_COLUMNS // max(1, len(evaluation.metrics)))
    sets = evaluation.sets
    parts = [evaluation_table(evaluation, sets[k : k + each]) for k in range(0, len(sets), each)]
    raw = any(model.weights == "raw" for model in evaluation.models)
    words = " EMA weights are averaged over training steps, raw ones are those of the last step." if raw else ""
    parts.append(
        '<p class="note"><b class="best">Bold and underlined</b>: best of its column. '
        f"↑: higher is better, ↓: lower is better.{words}</p>"
    )
    parts += [
        f'<p class="note">{escape(metric_title(metric))} is missing: {escape(reason)}.</p>'
        for metric, reason in ((metric, reason.rstrip(".")) for metric, reason in evaluation.missing.items())
    ]
    notes = [f"{one.name}: {note}" for one in sets for note in one.notes]
    parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else "")
    return "".join(parts)


def evaluation_table(evaluation: Evaluation, sets: Sequence[TestSet]) -> str:
    metrics = evaluation.metrics
    groups = "".join(
        f'<th scope="colgroup" colspan="{len(metrics)}" class="group">{escape(one.name)}'
        f" <small>{counted(one.images, 'image')}</small></th>"
        for one in sets
    )
    titles = "".join(
        f'<th scope="col" class="number{" first" if index == 0 else ""}">{escape(metric_title(metric))}'
        f"{direction(metric)}</th>"
        for _ in sets
        for index, metric in enumerate(metrics)
    )
    rows = "".join(evaluation_row(evaluation, model, sets) for model in evaluation.models)
    head = f'<tr><th rowspan="2" scope="col">model</th><th rowspan="2" scope="col">weights</th>{groups}</tr>'
    names = ", ".join(one.name for one in sets)
    caption = f"Means over the images of {names}, x{evaluation.scale}"
    return scrolling(f"<thead>{head}<tr>{titles}</tr></thead><tbody>{rows}</tbody>", caption)


def direction(metric: str) -> str:
    better = better_direction(metric)
    if better is None:
        return ""
    arrow, words = ("↑", "higher") if better else ("↓", "lower")
    return f' <span aria-hidden="true">{arrow}</span><span class="hidden">, {words} is better</span>'


def evaluation_row(evaluation: Evaluation, model: Model, sets: Sequence[TestSet]) -> str:
    weights = {"ema": "EMA", "raw": "raw", "": "–"}.get(model.weights, model.weights)
    cells = "".join(
        evaluation_cell(evaluation, model, one, metric, index == 0)
        for one in sets
        for index, metric in enumerate(evaluation.metrics)
    )
    kind = "reference-row" if model.name == BICUBIC else escape(model.weights)
    return f'<tr class="{kind}"><th scope="row">{escape(model.label)}</th><td>{escape(weights)}</td>{cells}</tr>'


def evaluation_cell(evaluation: Evaluation, model: Model, one: TestSet, metric: str, first: bool) -> str:
    value = evaluation.means.get((one.name, model.name, metric))
    kind = "number first" if first else "number"
    if value is None:
        return f'<td class="{kind}">{NOTHING}</td>'
    text = metric_text(metric, value)
    column = [evaluation.means.get((one.name, other.name, metric)) for other in evaluation.models]
    better = better_direction(metric)
    rounded = [metric_text(metric, other) for other in column if other is not None]
    best = None if better is None else (max if better else min)(rounded, key=as_number)
    return f'<td class="{kind}">{marked(text) if text == best else text}</td>'


def as_number(text: str) -> float:
    return float(text.replace("−", "-"))


def marked(text: str) -> str:
    return f'<b class="best">{text}</b><span class="hidden"> (best)</span>'


def scrolling(rows: str, caption: str) -> str:
    """A table that scrolls in its own box, which the keyboard can reach."""
    name = escape(caption)
    return (
        f'<p class="caption">{name}</p><div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table aria-label="{name}">{rows}</table></div>'
    )


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def reproduction_table(table: Table) -> str:
    """Our numbers beside the paper's, the differences to Independent, and a sentence on what they show."""
    variants = table.variants
    compared = [name for name in variants if name != BASELINE]
    head = "".join(f'<th scope="colgroup" colspan="2" class="group">{escape(name)}</th>' for name in variants)
    head += "".join(
        f'<th rowspan="2" scope="col" class="number first">{escape(name)} −<br>{BASELINE}<br>'
        f"<small>95{SPACE}% interval</small></th>"
        for name in compared
    )
    under = '<th scope="col" class="number first">ours</th><th scope="col" class="number">paper</th>' * len(variants)
    rows = "".join(reproduction_row(table, row, variants, compared) for row in table.rows)
    title = f"x{table.scale}, {table_title(table)}, {'higher' if table.higher_is_better else 'lower'} is better"
    start = '<th rowspan="2" scope="col">test set</th><th rowspan="2" scope="col" class="number">bicubic</th>'
    inner = f"<thead><tr>{start}{head}</tr><tr>{under}</tr></thead><tbody>{rows}</tbody>"
    verdicts = "".join(f"<p>{escape(sentence)}</p>" for sentence in verdict(table))
    return f"{verdicts}{scrolling(inner, title)}{differences_chart(table, compared)}"


def table_title(table: Table) -> str:
    return metric_name(table.metric) + (f" ({table.unit})" if table.unit else "")


def reproduction_row(table: Table, row: Row, variants: Sequence[str], compared: Sequence[str]) -> str:
    means = [row.variants[name].mean for name in variants if name in row.variants]
    finite = [metric_text(table.metric, mean) for mean in means if isfinite(mean)]
    best = (max if table.higher_is_better else min)(finite, key=as_number) if finite else ""
    cells = "".join(variant_cells(table.metric, row.variants.get(name), best) for name in variants)
    cells += "".join(difference_cell(table.metric, row.differences.get(name)) for name in compared)
    bicubic = metric_text(table.metric, row.bicubic) if isfinite(row.bicubic) else NOTHING
    name = f"{escape(row.test_set)}<br><small>{counted(row.images, 'image')}</small>"
    return f'<tr><th scope="row">{name}</th><td class="number">{bicubic}</td>{cells}</tr>'


def variant_cells(metric: str, variant: Variant | None, best: str) -> str:
    if variant is None:
        return f'<td class="number first">{NOTHING}</td><td class="number">{NOTHING}</td>'
    ours = metric_text(metric, variant.mean) if isfinite(variant.mean) else ""
    peers = ", ".join(metric_text(metric, value) if isfinite(value) else "–" for value in variant.peers)
    each = f"<br><small>{peers}</small>" if len(variant.peers) > 1 else ""
    shown = (marked(ours) if ours == best else ours) or NOTHING
    paper = metric_text(metric, variant.paper) if isfinite(variant.paper) else NOTHING
    return f'<td class="number first">{shown}{each}</td><td class="number">{paper}</td>'


def difference_cell(metric: str, difference: Difference | None) -> str:
    if difference is None or not isfinite(difference.mean):
        return f'<td class="number first">{NOTHING}</td>'
    low, high = difference.low, difference.high
    known = isfinite(low) and isfinite(high)
    ends = f"{metric_text(metric, low, True)} to {metric_text(metric, high, True)}" if known else "no interval"
    mean = metric_text(metric, difference.mean, True)
    return f'<td class="number first">{mean}<br><small>{ends}</small></td>'


def verdict(table: Table) -> list[str]:
    """Plain words on whether each variant beat Independent, by the intervals."""
    sentences = [variant_verdict(table, name) for name in table.variants if name != BASELINE]
    if isfinite(table.noise):
        unit = f" {table.unit}" if table.unit else ""
        noise = metric_text(table.metric, table.noise)
        sentences.append(
            f"Peers that differ in their initial weights alone have a standard deviation of {noise}{unit}: differences "
            "between variants that are not well above it may come from that, whatever the interval over images says."
        )
    return sentences


def variant_verdict(table: Table, name: str) -> str:
    found: dict[str, list[str]] = {}
    for row in table.rows:
        difference = row.differences.get(name)
        kind = difference.verdict(table.higher_is_better) if difference else "open"
        found.setdefault(kind, []).append(row.test_set)
    words = {
        "better": f"{name} beat {BASELINE} on {{}}.",
        "worse": f"{name} fell short of {BASELINE} on {{}}.",
        "within": f"On {{}} the 95{SPACE}% interval holds zero: no difference is shown.",
        "open": "On {} no interval can be given.",
    }
    sentences = [words[kind].format(listed(found[kind])) for kind in words if kind in found]
    if "better" not in found:
        sentences.insert(0, f"{name} beat {BASELINE} on no test set.")
    return " ".join(sentences)


def listed(items: Sequence[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def differences_chart(table: Table, compared: Sequence[str]) -> str:
    rows = [
        (f"{row.test_set}, {name}", d.mean, d.low, d.high, STYLES.get(name, 3))
        for row in table.rows
        for name in compared
        if (d := row.differences.get(name))
    ]
    if not rows:
        return ""
    title = f"{listed(compared)} minus {BASELINE}, x{table.scale}"
    better = "right" if table.higher_is_better else "left"
    label = f"{table_title(table)}, 95{SPACE}% interval; {better} of 0 is better"
    return f'<div class="charts">{interval_chart(title, label, rows)}</div>'
