"""Records what is counted and computed without a GPU, so that documents can quote it: `python -m bench.record_counts`.

Of the paper's recipe: the nodes of a step's CUDA graph with two peers, eager and compiled, and with four; the bounds of
GPUs.
"""

from dataclasses import replace
from typing import Any

from bench.compiled_step import count_compiled
from bench.roofline import CARDS, SHARE_OF_PEAK, bound, count
from bench.rows import append_row, circumstances
from bench.setups import paper_recipe
from bench.step_nodes import NodeCount, count_nodes
from fastsr.config.settings import TrainConfig


def nodes(count: NodeCount, peers: int, manner: str) -> dict[str, Any]:
    setting = {"recipe": "paper", "scale": 4, "peers": peers, "manner": manner}
    return {**setting, "nodes": count.total, "longest_branch": count.longest}


def paper(peers: int) -> TrainConfig:
    recipe = paper_recipe()
    return replace(recipe, cohort=replace(recipe.cohort, peers=peers))


def bounds(scale: int) -> dict[str, Any]:
    """Steps a second of every card, at most and at a share of the matrix peak."""
    step = count(scale, 2, 16)
    rates = {
        card.name: {
            "bound": round(bound(step.fused, card).rate, 2),
            f"at_{SHARE_OF_PEAK:.0%}_of_peak": round(
                SHARE_OF_PEAK * card.teraflops / step.teraflop, 2
            ),
        }
        for card in CARDS
    }
    setting = {"recipe": "paper", "scale": scale, "peers": 2, "batch": 16}
    return {**setting, "teraflop": round(step.teraflop, 4), "steps_per_second": rates}


def main() -> None:
    about = circumstances()
    for scale in (4, 2):
        append_row("roofline", bounds(scale), about)
    for peers in (2, 4):
        append_row("nodes", nodes(count_nodes(paper(peers)), peers, "eager, bf16"), about)
    append_row("nodes", nodes(count_compiled(paper(2)), 2, "compiled, bf16"), about)


if __name__ == "__main__":
    main()
