"""One run in several processes: what PyTorch's DistributedDataParallel leaves to be done."""

import os
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


class Processes(NamedTuple):
    """The processes of a run, seen from one of them; every method is called by all of them at once."""

    rank: int
    size: int
    device: torch.device

    def parallel(self, model):
        """Wrap a module on ``device``: a backward pass then gives the mean of all processes' gradients."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, [self.device] if self.device.type == "cuda" else None)

    def share(self, tensor, dim):
        """Return this process's part, with B / size of the B entries of the dimension."""
        if tensor.shape[dim] % self.size:
            raise ValueError(
                f"a batch of {tensor.shape[dim]} cannot be shared out evenly to {self.size} processes"
            )
        return tensor.tensor_split(self.size, dim)[self.rank]

    def gather(self, tensor, dim):
        """Put the parts together again; the inverse of :meth:`share`."""
        return torch.cat(self.collect(tensor), dim)

    def collect(self, value):
        """List what every process has, in their order; tensors are to have one shape."""
        if self.size == 1:
            return [value]
        if not isinstance(value, torch.Tensor):
            values = [None] * self.size
            distributed.all_gather_object(values, value)
            return values
        values = [torch.empty_like(value) for _ in range(self.size)]
        distributed.all_gather(values, value.contiguous())
        return values

    def mean(self, value):
        """Mean over the processes of a tensor with one number; its gradient stays that of this process."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return value + (total / self.size - value).detach()


@contextmanager
def processes(device):
    """Join the other processes that ``torchrun`` has started; without it there is this one.

    Parameters
    ----------
    device : torch.device
        On "cuda" each process of a machine takes a GPU of its own.

    Yields
    ------
    Processes
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield Processes(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()
