"""Memory of tensors, counted while they come and go, on any device and without contents."""

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations create and the moment each is freed, for each stream by itself.

    torch's allocator gives memory that was freed on one stream to later work on that stream alone, so a step needs the
    sum of what each stream needs at most.

    Args:
        stream: the number of the stream that is being filled.
    """

    def __init__(self, stream: Callable[[], int] = lambda: 0) -> None:
        super().__init__()
        self.stream = stream
        self.now: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        self.seen: dict[int, Any] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self.count(value)
        return result

    def count(self, tensor: Tensor) -> None:
        """Adds the storage of a tensor to its stream, once, until it is freed."""
        storage, stream = tensor.untyped_storage(), self.stream()
        key, size = storage._cdata, storage.nbytes()  # pyright: ignore[reportPrivateUsage]
        if key in self.seen:
            return

        def freed(_: Any) -> None:
            self.seen.pop(key, None)
            self.now[stream] -= size

        self.seen[key] = weakref.ref(storage, freed)
        self.now[stream] += size
        self.most[stream] = max(self.most[stream], self.now[stream])
