"""PyTorch's training on a GPU, in its best honest forms.

As `rivals.TorchTraining`: the same weights, loss and Adam, images on the device as float32, a batch
by index_select, the loss never fetched. Products are true float32, as minae's are.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.rivals import one_hot_of, pixels_of, twin_of
from minae.backends.spec import Array
from minae.models import Model
from minae.optim import Adam

WARM_UP = 3  # steps before a graph is captured

MODES = {
    "eager": {},
    "fused": {"fused": True},
    "graph": {"fused": True, "graph": True},  # the whole step as one CUDA graph
    "compile": {"fused": True, "compiled": True},  # torch.compile, reduce-overhead
}


class CudaTraining:
    """Trains the twin of a bound model on a device of PyTorch's."""

    def __init__(
        self,
        model: Model,
        optimizer: Adam,
        images: Array,
        labels: Array,
        *,
        batch_size: int,
        fused: bool = False,
        graph: bool = False,
        compiled: bool = False,
        device: str = "cuda",
    ) -> None:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True  # the fastest convolution for each shape
        twin = twin_of(model).to(device)
        self.optimizer = torch.optim.Adam(
            twin.parameters(),
            optimizer.lr,
            (optimizer.beta1, optimizer.beta2),
            optimizer.eps,
            optimizer.weight_decay,
            fused=fused or None,
            capturable=graph,
        )
        self.twin = torch.compile(twin, mode="reduce-overhead") if compiled else twin
        self.pixels = pixels_of(model, images).to(device)
        one_hot = one_hot_of(model, labels)
        self.one_hot = None if one_hot is None else one_hot.to(device)
        self.rows = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.samples, self.start = len(images), len(images)
        self.run = self._captured() if graph else self._compute

    def step(self) -> None:
        if self.start + len(self.rows) > self.samples:
            self.order, self.start = torch.randperm(self.samples, device=self.rows.device), 0
        self.rows.copy_(self.order[self.start : self.start + len(self.rows)])
        self.start += len(self.rows)
        self.run()

    def _compute(self) -> None:
        one_hot = None if self.one_hot is None else self.one_hot.index_select(0, self.rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss: Tensor = self.twin(self.pixels.index_select(0, self.rows), one_hot)
        loss.backward()
        self.optimizer.step()

    def _captured(self) -> Callable[[], None]:
        """The step as a graph, after some on a side stream, as PyTorch's documentation asks."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._compute()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._compute()
        return graph.replay


def milliseconds(step: Callable[[], None], steps: int) -> float:
    """Time of a step by CUDA events around so many."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(steps):
        step()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / steps
