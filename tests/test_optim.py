"""The optimisers against torch.optim, with the classic mistakes as a check of the check."""

from dataclasses import FrozenInstanceError, replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from rnncourse.optim import SGD, Adagrad, Adam
from rnncourse.rnn.numpy import OutputParams, RNNParams, output_init, rnn_init
from rnncourse.testing import relative_error

STEPS = 50
OURS = {
    "sgd": SGD(0.3),
    "momentum": SGD(0.1, momentum=0.9),
    "adagrad": Adagrad(0.2),
    "adam": Adam(0.05, beta1=0.8, beta2=0.95, eps=1e-6),
}
TORCH = {
    "sgd": lambda p: torch.optim.SGD(p, 0.3),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.2),
    "adam": lambda p: torch.optim.Adam(p, 0.05, betas=(0.8, 0.95), eps=1e-6),
}


def problem(dtype=np.float64):
    """Nested parameters and a list of gradients for them, of sizes from 1e-8 to 10: eps matters for some."""
    rng = np.random.default_rng(0)
    params = (rnn_init(rng, 3, 4, dtype), output_init(rng, 4, 5, dtype))

    def gradient(p):
        return (rng.normal(size=p.shape) * 10.0 ** rng.uniform(-8, 1, p.shape)).astype(dtype)

    gradients = [
        (RNNParams(*map(gradient, params[0])), OutputParams(*map(gradient, params[1]))) for _ in range(STEPS)
    ]
    return params, gradients


def arrays(tree):
    return [array for group in tree for array in group]


def flat(tree):
    return np.concatenate([array.ravel() for array in arrays(tree)])


def rate_factor(i):
    """A learning rate that drops half-way: only then do the two forms of momentum differ."""
    return 1.0 if i < STEPS // 2 else 0.1


def run_ours(optimiser, params, gradients):
    state = optimiser.init(params)
    for i, g in enumerate(gradients):
        params, state = replace(optimiser, lr=optimiser.lr * rate_factor(i)).step(params, g, state)
    return params


def run_torch(make, params, gradients):
    """Return the final parameters, flat."""
    tensors = [torch.tensor(array) for array in arrays(params)]
    optimiser = make(tensors)
    rate = optimiser.param_groups[0]["lr"]
    for i, g in enumerate(gradients):
        optimiser.param_groups[0]["lr"] = rate * rate_factor(i)
        for tensor, array in zip(tensors, arrays(g), strict=True):
            tensor.grad = torch.tensor(array)
        optimiser.step()
    return np.concatenate([tensor.numpy().ravel() for tensor in tensors])


@pytest.mark.parametrize("name", OURS)
def test_parity_with_torch(name):
    params, gradients = problem()
    expected = run_torch(TORCH[name], params, gradients)
    assert relative_error(flat(run_ours(OURS[name], params, gradients)), expected) < 1e-12
    assert relative_error(flat(params), expected) > 1e-2


@pytest.mark.parametrize("ours, theirs", [(Adagrad, torch.optim.Adagrad), (Adam, torch.optim.Adam)])
def test_defaults_are_those_of_torch(ours, theirs):
    params, gradients = problem()
    expected = run_torch(theirs, params, gradients)
    assert relative_error(flat(run_ours(ours(), params, gradients)), expected) < 1e-12


# Each optimiser once more as a loop over one flat vector; the arguments after the second make a mistake.


def momentum_loop(p, gradients, momentum=0.9, dampening=0.0, rate_inside=False):
    v = np.zeros_like(p)
    for i, g in enumerate(gradients):
        lr = 0.1 * rate_factor(i)
        v = momentum * v + (1 - dampening) * g * (lr if rate_inside else 1)
        p = p - v * (1 if rate_inside else lr)
    return p


def adagrad_loop(p, gradients, eps_inside=False, root=True, accumulate=True):
    s = np.zeros_like(p)
    for i, g in enumerate(gradients):
        s = (s if accumulate else 0) + g**2
        power = 0.5 if root else 1
        scale = np.sqrt(s + 1e-10) if eps_inside else s**power + 1e-10
        p = p - 0.2 * rate_factor(i) * g / scale
    return p


def adam_loop(p, gradients, correct=True, first_t=1, eps_inside=False, square=True, eps_before=False):
    m, v = np.zeros_like(p), np.zeros_like(p)
    for i, g in enumerate(gradients):
        t = i + first_t
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * (g**2 if square else np.abs(g))
        m_hat, v_hat = (m / (1 - 0.8**t), v / (1 - 0.95**t)) if correct else (m, v)
        if eps_inside:
            scale = np.sqrt(v_hat + 1e-6)
        elif eps_before:
            scale = (np.sqrt(v) + 1e-6) / np.sqrt(1 - 0.95**t)
        else:
            scale = np.sqrt(v_hat) + 1e-6
        p = p - 0.05 * rate_factor(i) * m_hat / scale
    return p


LOOPS = {"momentum": momentum_loop, "adagrad": adagrad_loop, "adam": adam_loop}
MISTAKES = [
    ("momentum", {"momentum": 0.0}),
    ("momentum", {"dampening": 0.9}),
    ("momentum", {"rate_inside": True}),
    ("adagrad", {"eps_inside": True}),
    ("adagrad", {"root": False}),
    ("adagrad", {"accumulate": False}),
    ("adam", {"correct": False}),
    ("adam", {"first_t": 2}),
    ("adam", {"eps_inside": True}),
    ("adam", {"eps_before": True}),
    ("adam", {"square": False}),
]


@pytest.mark.parametrize("name, mistake", MISTAKES, ids=lambda value: str(value))
def test_a_mistake_is_seen(name, mistake):
    params, gradients = problem()
    expected = run_torch(TORCH[name], params, gradients)
    vectors = [flat(g) for g in gradients]
    assert relative_error(LOOPS[name](flat(params), vectors), expected) < 1e-12
    assert relative_error(LOOPS[name](flat(params), vectors, **mistake), expected) > 1e-6


@pytest.mark.parametrize("name", OURS)
def test_float32_stays(name):
    params, gradients = problem(np.float32)
    # A rate from np.logspace is a NumPy float64, and a gradient may come in float64.
    optimiser = replace(OURS[name], lr=np.float64(OURS[name].lr))
    wide = (RNNParams(*(g.astype(np.float64) for g in gradients[0][0])), gradients[0][1])
    state = optimiser.init(params)
    for g in [wide, *gradients[1:]]:
        params, state = optimiser.step(params, g, state)
    trees = [params, *((state.mean, state.square) if name == "adam" else (state,))]
    assert {array.dtype for tree in trees for array in arrays(tree)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", OURS)
def test_arguments_are_unchanged(name):
    params, gradients = problem()
    optimiser = OURS[name]
    before, state = optimiser.step(params, gradients[0], optimiser.init(params))
    everything = [before, gradients[1], *((state.mean, state.square) if name == "adam" else (state,))]
    copies = [flat(tree).copy() for tree in everything]
    for tree in everything:
        for array in arrays(tree):
            array.flags.writeable = False
    after, _ = optimiser.step(before, gradients[1], state)
    assert all((flat(tree) == copy).all() for tree, copy in zip(everything, copies, strict=True))
    assert not any(np.shares_memory(a, b) for a in arrays(after) for tree in everything for b in arrays(tree))


@pytest.mark.parametrize("name", OURS)
def test_structure_is_kept(name):
    class Pair(NamedTuple):
        inner: tuple
        scalar: np.ndarray

    optimiser = OURS[name]
    bare = np.array([1.0, -2.0])
    params = (Pair(((bare,), bare), np.array(3.0)), bare)
    gradients = (Pair(((bare,), 2 * bare), np.array(1.0)), bare)
    new, _ = optimiser.step(params, gradients, optimiser.init(params))
    alone, _ = optimiser.step(bare, bare, optimiser.init(bare))
    assert isinstance(new[0], Pair) and type(new) is tuple and type(new[0].inner[0]) is tuple
    assert isinstance(new[0].scalar, np.ndarray) and new[0].scalar.shape == ()
    assert (new[0].inner[0][0] == alone).all() and (new[1] == alone).all() and (alone != bare).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", OURS)
def test_gradient_that_is_not_finite(name, bad):
    params, gradients = problem()
    optimiser = OURS[name]
    params, state = optimiser.step(params, gradients[0], optimiser.init(params))
    gradients[1][0].weight_hh[1, 2] = bad
    when = " at step 2" if name == "adam" else ""
    with pytest.raises(
        ValueError, match=rf"^gradient of 0\.weight_hh is not finite{when}: it holds nan or inf$"
    ):
        optimiser.step(params, gradients[1], state)


@pytest.mark.parametrize("name", OURS)
def test_arguments_that_do_not_fit(name):
    optimiser = OURS[name]
    params, gradients = problem()
    state = optimiser.init(params)
    short = gradients[0][0]._replace(bias_hh=np.zeros(1))
    with pytest.raises(ValueError, match=r"^gradient of 0\.bias_hh must have shape \(4,\), got \(1,\)$"):
        optimiser.step(params, (short, gradients[0][1]), state)
    with pytest.raises(ValueError, match="^gradients must have the structure of params, .*'1.bias'"):
        optimiser.step(params, gradients[0][:1], state)
    with pytest.raises(ValueError, match="^0.bias must be an array of floats, got list$"):
        optimiser.init((OutputParams(np.zeros((2, 2)), [0.0, 0.0]),))
    with pytest.raises(ValueError, match="^params must be an array of floats, got int64$"):
        optimiser.init(np.zeros(3, np.int64))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(-0.1), r"lr must lie in \[0, inf\), got -0.1"),
        (lambda: SGD(np.inf), r"lr must lie in \[0, inf\), got inf"),
        (lambda: Adam(np.nan), r"lr must lie in \[0, inf\), got nan"),
        (lambda: SGD(0.1, momentum=1), r"momentum must lie in \[0, 1\), got 1.0"),
        (lambda: Adagrad(eps=0), r"eps must lie in \(0, inf\), got 0.0"),
        (lambda: Adam(beta1=-0.5), r"beta1 must lie in \[0, 1\), got -0.5"),
        (lambda: Adam(beta2=1.0), r"beta2 must lie in \[0, 1\), got 1.0"),
    ],
)
def test_hyper_parameter_out_of_range(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


def test_hyper_parameters_are_frozen():
    with pytest.raises(FrozenInstanceError):
        SGD(0.1).lr = 0.2
