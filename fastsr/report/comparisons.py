"""Pictures beside each other: rows of crops as in the paper's figures, and two methods under a divider."""

from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from pathlib import Path

from fastsr.evaluation.metrics import metric_text
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import ORIGINAL, Evaluation, ScoredModel
from fastsr.report.pictures import Box, Shown, chosen, show_pictures


def comparisons(evaluation: Evaluation, folder: Path, most: int, budget: int, key: str, level: int) -> str:
    """All comparisons of one evaluation, whose pictures are in `folder`.

    `key` makes the names of form fields unique, `level` is of the headings.

    Raises UserError for pictures that are missing or of unequal size.
    """
    labels = {model.name: model.label for model in shown_models(evaluation)}
    shown = show_pictures(chosen(evaluation.pictures, most), folder, list(labels), budget)
    labels[ORIGINAL] = "original (HR)"
    blocks = [comparison(one, evaluation, labels, f"{key}-{index}", level) for index, one in enumerate(shown)]
    left_out = len(evaluation.pictures) - len(shown)
    more = f" {left_out} further pictures are in the run's folder." if left_out > 0 else ""
    text = (
        "Crops are where the original varies most, lossless and enlarged pixel by pixel. Below each is the PSNR of "
        f"the whole image. The pictures under the divider are compressed a little.{more}"
    )
    return f"<p>{text}</p>{''.join(blocks)}"


def shown_models(evaluation: Evaluation) -> list[ScoredModel]:
    """Those whose pictures are compared: bicubic and averaged weights, or whatever there is."""
    bicubic = [model for model in evaluation.models if model.name == BICUBIC]
    averaged = [model for model in evaluation.models if model.weights == "ema"]
    return bicubic + (averaged or [model for model in evaluation.models if model.name != BICUBIC])


def comparison(shown: Shown, evaluation: Evaluation, labels: Mapping[str, str], key: str, level: int) -> str:
    title = f"{shown.test_set}, {shown.image}"
    cells = [crop_cell(shown, method, labels, evaluation) for method in shown.crops]
    few = len(cells) <= 4  # then there is room for the divider beside the crops
    columns = 2 if few else len(cells) if len(cells) <= 6 else -(-len(cells) // 2)
    return (
        f'<section class="comparison{" beside" if few else ""}"><h{level}>{escape(title)}</h{level}>'
        f'<div class="crops" style="--columns:{columns}">{"".join(cells)}</div>'
        f"{slider(shown, labels, title, key)}</section>"
    )


def crop_cell(shown: Shown, method: str, labels: Mapping[str, str], evaluation: Evaluation) -> str:
    value = evaluation.score(shown.test_set, shown.image, method, "psnr")
    score = f"{metric_text('psnr', value)} dB" if isfinite(value) else "no PSNR"
    score = "reference" if method == ORIGINAL else score
    box, label = shown.crop_box, labels[method]
    return (
        f'<figure class="crop"><img src="{shown.crops[method]}" width="{box.width}" height="{box.height}" '
        f'alt="{escape(f"{shown.image}, {label}, crop")}">'
        f"<figcaption>{escape(label)}<br><span>{score}</span></figcaption></figure>"
    )


def slider(shown: Shown, labels: Mapping[str, str], title: str, key: str) -> str:
    """Every method's window once; the script shows two of them. Without scripts: the default pair, half and half."""
    methods = list(shown.windows)
    before = BICUBIC if BICUBIC in methods else methods[0]
    after = next((method for method in methods if method != before), before)
    box = shown.window_box
    choices = choice("Left", "before", methods, labels, before, key) + choice(
        "Right", "after", methods, labels, after, key
    )
    images = "".join(
        f'<img src="{shown.windows[method]}" width="{box.width}" height="{box.height}" data-method="{index}" '
        f'alt="{escape(f"{shown.image}, {labels[method]}")}" class="{role(method, before, after)}">'
        for index, method in enumerate(methods)
    )
    return (
        f'<div class="compare" style="--wide:{box.width * 2}px;--shape:{box.width / box.height:.4f}">'
        f'<div class="choices" hidden>{choices}</div>'
        f'<div class="stage">{images}{frame(shown)}<span class="divider" aria-hidden="true"></span>'
        f'<span class="tag left">{escape(labels[before])}</span><span class="tag right">{escape(labels[after])}</span>'
        f'<input type="range" min="0" max="100" value="50" disabled aria-label="{escape(f"Divider, {title}")}"></div>'
        "</div>"
    )


def role(method: str, before: str, after: str) -> str:
    return "before" if method == before else "after" if method == after else ""


def choice(name: str, side: str, methods: Sequence[str], labels: Mapping[str, str], selected: str, key: str) -> str:
    options = "".join(
        f'<option value="{index}"{" selected" if method == selected else ""}>{escape(labels[method])}</option>'
        for index, method in enumerate(methods)
    )
    return f'<label>{name} <select id="{key}-{side}" data-side="{side}" autocomplete="off">{options}</select></label>'


def frame(shown: Shown) -> str:
    """Where the crop is within the window, in percent; nothing where it is nearly all of it."""
    crop, window = shown.crop_box, shown.window_box
    if 4 * crop.width * crop.height > 3 * window.width * window.height:
        return ""
    return f'<span class="frame" style="{place(crop, window)}" aria-hidden="true"></span>'


def place(crop: Box, window: Box) -> str:
    parts = {
        "left": (crop.left - window.left) / window.width,
        "top": (crop.top - window.top) / window.height,
        "width": crop.width / window.width,
        "height": crop.height / window.height,
    }
    return ";".join(f"{name}:{100 * part:.2f}%" for name, part in parts.items())
