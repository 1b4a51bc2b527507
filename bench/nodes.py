"""Counts the nodes of one step's CUDA graph, without a GPU: `python -m bench.nodes --scale 4 --peers 2`.

A replayed step has no host to wait for, but every kernel, copy and clear still costs the GPU two to three microseconds
from one to the next of a branch, and an H100 some seven with kernels as small as these.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from bench.compiled_step import count_compiled
from bench.setups import paper_recipe, small_recipe
from bench.step_nodes import Node, NodeCount, count_nodes
from fastsr.config.settings import SCALES
from fastsr.system.precision import Precision

SHOWN = 25


def rows(nodes: Iterable[Node], key: Callable[[Node], str]) -> list[list[str]]:
    """Nodes and bytes by a key, most nodes first."""
    counts, moved = Counter[str](), Counter[str]()
    for node in nodes:
        counts[key(node)] += node.count
        moved[key(node)] += node.bytes
    return [[name, str(count), f"{moved[name] / 1e6:.1f}"] for name, count in counts.most_common()]


def markdown(heading: str, rows: list[list[str]]) -> str:
    lines = [
        f"| {heading} | nodes | MB moved |",
        "|---|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines)


def report(count: NodeCount, title: str) -> str:
    moved = sum(node.bytes for node in count.nodes) / 1e9
    return "\n\n".join(
        [
            f"{title}: **{count.total} nodes, {count.longest} on the longest branch**, {moved:.2f} GB moved.",
            markdown("part", rows(count.nodes, lambda node: node.part)),
            markdown("branch", rows(count.nodes, lambda node: node.branch)),
            markdown("operator", rows(count.nodes, lambda node: node.operator)[:SHOWN]),
            markdown(
                "part, operator",
                rows(count.nodes, lambda node: f"{node.part}, {node.operator}")[:SHOWN],
            ),
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=int, choices=SCALES, default=4)
    parser.add_argument("--peers", type=int, default=2)
    parser.add_argument("--fp32", action="store_true", help="without autocast, which is bf16 else")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="with inductor's code for compiled blocks; two minutes",
    )
    parser.add_argument(
        "--combine-kernels", action="store_true", help="with --compile: independent kernels as one"
    )
    parser.add_argument("--small", action="store_true", help="a small network, in a second")
    options = parser.parse_args(arguments)
    recipe = small_recipe() if options.small else paper_recipe()
    config = replace(
        recipe,
        model=replace(recipe.model, scale=options.scale),
        cohort=replace(recipe.cohort, peers=options.peers),
        machine=replace(recipe.machine, combine_kernels=options.combine_kernels),
    )
    if options.compile:
        count, manner = (
            count_compiled(config),
            "compiled, bf16 (bytes of compiled blocks not counted)",
        )
    else:
        count = count_nodes(config, Precision() if options.fp32 else None)
        manner = f"eager, {'fp32' if options.fp32 else 'bf16'}"
    print(
        report(
            count,
            f"One step of {recipe.recipe} at x{options.scale}, {options.peers} peers, {manner}",
        )
    )


if __name__ == "__main__":
    main()
