"""What the rooms' tests compare with."""

import torch


def torch_rnn(params, nonlinearity, cls=torch.nn.RNN):
    """A layer of class `cls` with the weights of `params`, loaded strictly."""
    H, D = params.weight_ih.shape
    layer = cls(D, H, nonlinearity=nonlinearity, dtype=torch.float64)
    weights = {f"{name}_l0": torch.tensor(p) for name, p in params._asdict().items()}
    layer.load_state_dict(weights, strict=True)
    return layer
