"""How many bytes a computation holds at once, found on tensors without content: nothing is computed or allocated."""

import copy
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Networks = TypeVar("Networks")


def peak_bytes(networks: Networks, run: Callable[[Networks], Any]) -> int:
    """The most that the tensors which a computation makes hold at any time, the networks' own not counted.

    Libraries' scratch memory is not in it. Arguments are those of `run_without_content`.
    """
    peak = Peak()
    run_without_content(networks, run, peak)
    return peak.most


def run_without_content(
    networks: Networks, run: Callable[[Networks], Any], counter: AbstractContextManager[Any]
) -> None:
    """Run networks on tensors that have a shape alone.

    Args:
        networks: Modules, or a tuple of them; they are copied without content, and so left as they are.
        run: From that copy; makes its own inputs.
        counter: Within which it runs.
    """
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        empty = copy.deepcopy(networks)
    with mode, counter, torch.no_grad():
        run(empty)


class Peak(TorchDispatchMode):
    """Follows the storages that operations make until nobody holds them.

    Attributes:
        held: Their bytes now.
        most: The most of it so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {id(one.untyped_storage()) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if not isinstance(one, Tensor):
                continue
            storage = one.untyped_storage()
            if id(storage) in given or storage in self._followed:
                continue
            self._followed.add(storage)
            self.held += storage.nbytes()
            weakref.finalize(storage, self._release, storage.nbytes())
        self.most = max(self.most, self.held)
        return result

    def _release(self, size: int) -> None:
        self.held -= size
