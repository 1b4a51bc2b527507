"""bench.nodes: kernels against counts by hand, and that the paper's step queues no more than it does."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import compiled_step, nodes
from bench.compiled_nodes import CompiledNodes, compiled_nodes, count_launches
from bench.operator_nodes import multi_tensor_launches
from bench.setups import paper_recipe, small_recipe
from bench.step_nodes import (
    MAIN,
    CountedBranches,
    Node,
    NodeCount,
    NodeRecorder,
    Parts,
    count_nodes,
)
from fastsr.config.settings import LossConfig

MOST = 1816
"""Nodes of the paper's step, x4, two peers, eager in bf16. Lower it when you remove some."""
MOST_ON_A_BRANCH = 891


def counted(function: Callable[[], Any], branches: CountedBranches | None = None) -> list[Node]:
    with NodeRecorder(Parts(), branches or CountedBranches(1)) as recorder:
        function()
    return recorder.nodes


def by_operator(recorded: list[Node]) -> dict[str, int]:
    counts = Counter[str]()
    for node in recorded:
        counts[node.operator] += node.count
    return dict(counts)


def test_views_and_room_queue_nothing() -> None:
    x = torch.zeros(8, 8)
    assert (
        counted(lambda: (x.view(64), x.t(), x.detach(), x[2], x.reshape(4, 16), torch.empty(5)))
        == []
    )


def test_elementwise_operators_are_one_kernel_and_their_bytes() -> None:
    x = torch.zeros(8, 8)
    recorded = counted(lambda: (x.add_(1), x * 2, x.to(torch.bfloat16), x.sum()))
    assert [node.count for node in recorded] == [1] * 4
    assert [node.bytes for node in recorded] == [512, 512, 384, 260]


def test_a_copy_does_not_read_what_it_overwrites() -> None:
    x, y = torch.zeros(8, 8), torch.zeros(8, 8, dtype=torch.bfloat16)
    recorded = counted(lambda: (y.copy_(x), torch._foreach_copy_([y], [x])))
    assert [node.bytes for node in recorded] == [384, 384]


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_and_its_backward(bias: bool) -> None:
    """Forward 1 and the bias 1; backward one for each gradient. x wants none."""
    x, conv = torch.zeros(2, 3, 8, 8), nn.Conv2d(3, 4, 3, bias=bias)
    assert by_operator(counted(lambda: conv(x))) == {"convolution": 1 + bias}
    y = conv(x)
    assert (
        by_operator(counted(lambda: y.backward(torch.zeros_like(y))))["convolution_backward"]
        == 1 + bias
    )


def test_a_training_block() -> None:
    """conv - BN - PReLU in fp32: 1; cuDNN's BN 1 and the count of batches 1; PReLU 1. Backward: 2; 1; 1 and a sum."""
    x = torch.zeros(2, 4, 8, 8, requires_grad=True)
    block = nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(4))
    assert by_operator(counted(lambda: block(x))) == {
        "convolution": 1, "add_": 1, "native_batch_norm": 1, "_prelu_kernel": 1,
    }  # fmt: skip
    y = block(x)
    seed = torch.zeros_like(y)
    assert by_operator(counted(lambda: y.backward(seed))) == {
        "_prelu_kernel_backward": 1, "sum": 1, "native_batch_norm_backward": 1, "convolution_backward": 2,
    }  # fmt: skip


def test_bf16_casts_weights_and_normalises_by_torchs_own_kernels() -> None:
    x = torch.zeros(2, 4, 8, 8)
    block = nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        recorded = by_operator(counted(lambda: block(x)))
    assert recorded == {"_to_copy": 2, "convolution": 1, "add_": 1, "native_batch_norm": 4}


@pytest.mark.parametrize(
    ("sizes", "lists", "launches"),
    [
        ([1] * 110, 1, 1),
        ([1] * 111, 1, 2),
        ([1] * 72, 4, 2),
        ([65536 * 320], 2, 1),
        ([65536 * 320 + 1], 2, 2),
        ([65536 * 319, 2 * 65536], 2, 2),
        ([65537] * 160, 1, 2),  # 110 tensors are 220 blocks
        ([], 1, 0),
    ],
)
def test_launches_over_many_tensors(sizes: list[int], lists: int, launches: int) -> None:
    assert multi_tensor_launches(sizes, lists) == launches


def test_fused_adam_takes_36_tensors_at_once() -> None:
    weights = [torch.zeros(3, requires_grad=True) for _ in range(37)]
    for weight in weights:
        weight.grad = torch.zeros(3)
    optimizer = torch.optim.Adam(weights, fused=True, capturable=True)
    optimizer.step()
    recorded = by_operator(counted(optimizer.step))
    assert recorded == {"_foreach_add_": 1, "_fused_adam_": 2}


def test_the_longest_chain_follows_fork_and_join() -> None:
    branches = CountedBranches(2)
    x, y = torch.zeros(3), torch.zeros(3)

    def body() -> None:
        x.add_(1)
        branches.fork()
        with branches.branch(0):
            x.add_(1)
        with branches.branch(1):
            for _ in range(5):
                y.add_(1)
        branches.join()
        x.add_(y)

    recorded = counted(body, branches)
    assert Counter(node.branch for node in recorded) == {MAIN: 2, "branch 0": 1, "branch 1": 5}
    assert branches.longest[MAIN] == 7


def test_backward_belongs_to_the_part_of_its_forward() -> None:
    parts, x = Parts(), torch.ones(3, requires_grad=True)

    class Owner:
        def double(self) -> Tensor:
            return x * 2

        def exponential(self, x: Tensor) -> Tensor:
            return x.exp()

    owner = Owner()
    parts.label(owner, "double", "first")
    parts.label(owner, "exponential", "second")
    with NodeRecorder(parts, CountedBranches(1)) as recorder:
        owner.exponential(owner.double()).backward(torch.ones(3))
    found = [
        (node.part, node.operator) for node in recorder.nodes if node.operator in ("mul", "exp")
    ]
    assert found == [
        ("first", "mul"),
        ("second", "exp"),
        ("second backward", "mul"),
        ("first backward", "mul"),
    ]


def test_the_papers_step_queues_no_more_than_it_did() -> None:
    count = count_nodes(paper_recipe())
    assert count.total <= MOST
    assert count.longest <= MOST_ON_A_BRANCH


def test_parallel_peers_do_not_lengthen_the_longest_chain() -> None:
    """Two more peers add a branch each, and nothing that others wait for but sums over peers."""
    two, four = (
        count_nodes(replace(small_recipe(), cohort=replace(small_recipe().cohort, peers=n)))
        for n in (2, 4)
    )
    assert two.total * 1.6 < four.total < two.total * 2
    assert two.longest <= four.longest <= two.longest * 1.15
    alone = replace(small_recipe(), machine=replace(small_recipe().machine, peer_streams=1))
    one_stream = count_nodes(alone)
    assert (one_stream.total, one_stream.longest) == (two.total, two.total)


def test_a_compiled_block_of_elementwise_operators() -> None:
    """One kernel forward and one backward: the derivative of tanh, times 2, from the kept result."""

    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x + 1).tanh() * 2

    assert compiled_nodes(Block(), torch.zeros(2, 4, 8, 8, requires_grad=True)) == CompiledNodes(
        1, 1
    )
    assert compiled_nodes(Block(), torch.zeros(2, 4, 8, 8)) == CompiledNodes(1, 0)


def test_a_compiled_convolution_keeps_its_own_kernels() -> None:
    """Casts of x, weight and bias, the product, the bias; backward three gradients, and their casts."""
    conv = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1)).to(memory_format=torch.channels_last)
    x = torch.zeros(2, 8, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    assert compiled_nodes(conv, x) == CompiledNodes(5, 6)


def test_launches_in_generated_code() -> None:
    code = """
    def triton_poi_unused(): pass
    def call(self, args):
            buf0 = empty_strided_cuda((2,), (1,), torch.float32)
            triton_poi_fused_add_0.run(primals_1, buf0, 2, stream=raw_stream0)
            buf1 = extern_kernels.convolution(buf0, stride=(1, 1), bias=None)
            assert_size_stride(buf1, (2,), (1,))
            buf2 = torch.ops.aten.convolution_backward.default(buf1, [0], (1, 1), 1, [True, False, True])
            buf3 = buf2[0]
    """
    assert count_launches(code) == 4


def test_compiled_blocks_count_for_each_call_and_each_way_backward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D runs twice; backward passes its blocks once from real images, and twice from generated ones: L_D and L_G."""
    monkeypatch.setattr(compiled_step, "compiled_nodes", lambda *_: CompiledNodes(3, 5))
    config = replace(small_recipe(), loss=LossConfig(content="pixel"))
    counts = Counter[str]()
    for node in compiled_step.count_compiled(config).nodes:
        counts[node.part] += node.count * (node.operator == "inductor")
    peers, blocks, norms = 2, config.model.blocks + 2, 7
    assert {part: count for part, count in counts.items() if count} == {
        "G compiled": peers * blocks * 3,
        "G compiled backward": peers * blocks * 5,
        "D compiled": peers * norms * 2 * 3,
        "D compiled backward": peers * norms * 3 * 5,
    }


def test_the_printed_parts_add_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [Node("G", "convolution", "branch 0", 2, 10), Node("D", "add", MAIN, 1, 4_000_000)]
    monkeypatch.setattr(nodes, "count_nodes", lambda *_: NodeCount(made, 3))
    nodes.main(["--small", "--peers", "3"])
    printed = capsys.readouterr().out
    assert "x4, 3 peers, eager, bf16: **3 nodes, 3 on the longest branch**" in printed
    assert "| G | 2 | 0.0 |" in printed and "| add | 1 | 4.0 |" in printed
