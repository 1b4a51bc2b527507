"""Pictures beside each other: rows of crops as in the paper's figures, and two methods under a divider."""

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from fastsr.console import counted
from fastsr.evaluation.protocol import BICUBIC
from fastsr.evaluation.results import ORIGINAL, Evaluation, ScoredModel
from fastsr.report.html import number, render
from fastsr.report.pictures import Box, Shown, chosen, show_pictures


def comparisons(
    evaluation: Evaluation, folder: Path, most: int, budget: int, key: str, level: int
) -> Markup:
    """All comparisons of one evaluation, whose pictures are in `folder`.

    `key` makes the names of form fields unique, `level` is of the headings.

    Raises UserError for pictures that are missing or of unequal size.
    """
    labels = {model.name: model.label for model in shown_models(evaluation)}
    shown = show_pictures(chosen(evaluation.pictures, most), folder, list(labels), budget)
    labels[ORIGINAL] = "original (HR)"
    blocks = [
        comparison(one, evaluation, labels, f"{key}-{index}", level)
        for index, one in enumerate(shown)
    ]
    left_out = len(evaluation.pictures) - len(shown)
    further = counted(left_out, "further picture")
    more = (
        f" {further} {'is' if left_out == 1 else 'are'} in the run's folder."
        if left_out > 0
        else ""
    )
    text = (
        "Crops are where the original varies most, lossless and enlarged pixel by pixel. Below each is the PSNR of "
        f"the whole image. The pictures under the divider are compressed a little.{more}"
    )
    return Markup("<p>{}</p>{}").format(text, Markup().join(blocks))


def shown_models(evaluation: Evaluation) -> list[ScoredModel]:
    """Those whose pictures are compared: bicubic and averaged weights, or whatever there is."""
    bicubic = [model for model in evaluation.models if model.name == BICUBIC]
    averaged = [model for model in evaluation.models if model.weights == "ema"]
    return bicubic + (averaged or [model for model in evaluation.models if model.name != BICUBIC])


def comparison(
    shown: Shown, evaluation: Evaluation, labels: Mapping[str, str], key: str, level: int
) -> Markup:
    """An image as every method has it: crops side by side, and two methods under a divider."""
    methods = list(shown.windows)
    peers = [method for method in methods if method not in (BICUBIC, ORIGINAL)]
    return render(
        "comparison.html",
        shown=shown,
        title=f"{shown.test_set}, {shown.image}",
        labels=labels,
        scores={method: score(shown, evaluation, method) for method in methods},
        before=peers[0] if peers else methods[0],
        after=ORIGINAL,
        columns=2 if len(methods) <= 4 else 3,
        frame=frame(shown),
        key=key,
        level=level,
    )


def score(shown: Shown, evaluation: Evaluation, method: str) -> str:
    if method == ORIGINAL:
        return "reference"
    value = number("psnr", evaluation.score(shown.test_set, shown.image, method, "psnr"))
    return f"{value} dB" if value else "no PSNR"


def frame(shown: Shown) -> str:
    """The place of the crop within the window, as a style; empty where it is nearly all of it."""
    crop, window = shown.crop_box, shown.window_box
    return (
        ""
        if 4 * crop.width * crop.height > 3 * window.width * window.height
        else place(crop, window)
    )


def place(crop: Box, window: Box) -> str:
    """In percent of the window."""
    parts = {
        "left": (crop.left - window.left) / window.width,
        "top": (crop.top - window.top) / window.height,
        "width": crop.width / window.width,
        "height": crop.height / window.height,
    }
    return ";".join(f"{name}:{100 * part:.2f}%" for name, part in parts.items())
