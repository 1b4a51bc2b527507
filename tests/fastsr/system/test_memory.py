"""Running out of memory."""

import pytest
import torch

from fastsr.errors import UserError
from fastsr.system.memory import out_of_memory


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory")]
)
def test_out_of_memory_is_one_clear_line(error: RuntimeError) -> None:
    with (
        pytest.raises(UserError, match=r"^out of memory: use less$"),
        out_of_memory(lambda: "use less"),
    ):
        raise error
    with pytest.raises(RuntimeError, match=r"another"), out_of_memory(lambda: "use less"):
        raise RuntimeError("another")
