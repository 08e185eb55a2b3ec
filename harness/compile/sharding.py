"""A decoder's layers spread over several contexts: one HTP context addresses 4 GB.

ExecuTorch's own way puts a fallback operator between the parts, which then needs a CPU kernel
on the device. Here the nodes of each part get a delegate of their own; between two delegates
passes nothing but the hidden states.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from executorch.backends.qualcomm.partition.qnn_partitioner import QnnPartitioner
from executorch.backends.qualcomm.utils import utils
from torch.fx import Node

from harness.errors import CompileError

_LAYER = re.compile(r"\blayers\.(\d+)\b")
_TAG = "delegation_tag"


@contextmanager
def split_into_shards(n_layers: int, n_shards: int) -> Iterator[None]:
    """While this is open, lowering gives each shard of a graph's layers its own delegate.

    The backend's entry point makes its partitioner by itself, so it is replaced there.

    Raises:
        CompileError: there are fewer layers than shards.
    """
    if n_shards == 1:
        yield
        return
    if n_layers < n_shards:
        raise CompileError(
            "splitting the decoder", f"num_shards is {n_shards}", expected=f"at most {n_layers}"
        )

    class ShardingPartitioner(QnnPartitioner):  # type: ignore[misc]
        """Tags the nodes of a partition by the shard of their layer."""

        def tag_nodes(self, partitions: list[Any], edge_program: Any) -> None:
            super().tag_nodes(partitions, edge_program)
            shards: dict[Node, int] = {}
            tags: dict[str, Any] = {}
            nodes = list(edge_program.graph_module.graph.nodes)
            for node in nodes:
                shards[node] = _shard_of(node, shards, n_layers, n_shards)
                if _TAG in node.meta and node.op != "placeholder":
                    node.meta[_TAG] += f"_{shards[node]}"
                    tags[node.meta[_TAG]] = self.delegation_spec
            for node in nodes:
                if _TAG in node.meta and node.op == "placeholder":
                    node.meta[_TAG] = next(reversed(tags))  # a constant that nothing uses
            self.partition_tags = tags

    original = utils.QnnPartitioner
    utils.QnnPartitioner = ShardingPartitioner
    try:
        yield
    finally:
        utils.QnnPartitioner = original


def _shard_of(node: Node, shards: dict[Node, int], n_layers: int, n_shards: int) -> int:
    """That of its layer, and never before one it takes a value from."""
    shard = max((shards[source] for source in node.all_input_nodes), default=0)
    for path, _ in node.meta.get("nn_module_stack", {}).values():
        found = _LAYER.search(str(path))
        if found is not None:
            shard = max(shard, int(found[1]) * n_shards // n_layers)
    return shard
