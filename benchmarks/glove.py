"""Counting words near each other, and training GloVe, on the tales.

Words a second are 46,771 divided by the seconds of a counting row; cells a second are 115,417 times the
passes, divided by the seconds of a training row. The last row compares with a loop in C that takes
the steps of Stanford's program, cell by cell, compiled where the machine has a compiler.
"""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse
import torch

from rnncourse.bench import Row
from rnncourse.glove.experiment import tales_corpus
from rnncourse.glove.numpy import (
    GloVeParams,
    cooccurrence,
    dense,
    glove_forward,
    glove_init,
    shuffled_batches,
    train_glove,
)
from rnncourse.glove.torch import GloVe
from rnncourse.glove.torch import train_glove as torch_train_glove

E, BATCH, LR, X_MAX = 50, 1024, 0.05, 10.0
EPOCHS = 15
# In float32 rounding decides the sign of Adagrad's first step where a sum of gradients is near zero.
TOLERANCES = {"float32": 1e-2, "float64": 1e-9}
C_LOOP = """
#include <math.h>
void epoch(long n, const long *order, const long *i, const long *j, const double *x, double *w, double *s,
           long V, long E, double lr, double x_max) {
  for (long t = 0; t < n; t++) {
    long c = order[t], at = i[c] * (E + 1), to = (V + j[c]) * (E + 1);
    double *u = w + at, *v = w + to, *su = s + at, *sv = s + to, r = u[E] + v[E] - log(x[c]);
    for (long e = 0; e < E; e++) r += u[e] * v[e];
    double g = lr * (x[c] < x_max ? pow(x[c] / x_max, 0.75) : 1) * r;
    for (long e = 0; e <= E; e++) {
      double du = e < E ? g * v[e] : g, dv = e < E ? g * u[e] : g;
      u[e] -= du / sqrt(su[e]); v[e] -= dv / sqrt(sv[e]);
      su[e] += du * du; sv[e] += dv * dv;
    }
  }
}
"""


def rows():
    sentences, vocabulary = tales_corpus()
    V = len(vocabulary)
    counts = cooccurrence(sentences, V, 5)
    counting = [
        Row(
            f"counts of 46771 words, window {window}, against SciPy's sparse sums",
            scipy_side(sentences, V, window),
            lambda window=window: {"X": dense(cooccurrence(sentences, V, window))},
            1e-12,
        )
        for window in (5, 10)
    ]
    training = [
        Row(
            f"GloVe, one pass of 115417 cells, E 50, batch {BATCH}, {dtype}, against torch's {kind} Adagrad",
            torch_side(counts, dtype, kind),
            numpy_side(counts, dtype),
            TOLERANCES[dtype],
        )
        for dtype in TOLERANCES
        for kind in ("sparse", "dense")
    ]
    if torch.cuda.is_available():
        sides = [torch_side(counts, "float64", kind, "cuda") for kind in ("dense", "sparse")]
        training.append(Row("GloVe twin, sparse against dense, float64 cuda", *sides, 1e-9, device="cuda"))
    compiler = shutil.which("gcc")
    if compiler:
        name = (
            f"GloVe, {EPOCHS} passes, batch {BATCH}, float32, cost no higher than of steps cell by cell in C"
        )
        side = c_side(compiler, counts)
        ours = numpy_side(counts, "float32", EPOCHS)
        targets = {"must": 1 / 0.6, "aim": 1 / 0.6}
        training.append(Row(name, side, ours, 0, targets, check=no_higher(counts), slow=True))
    return counting + training


def scipy_side(sentences, V, window):
    ids = np.concatenate(sentences)
    sentence = np.repeat(np.arange(len(sentences)), [len(s) for s in sentences])

    def run():
        total = scipy.sparse.csr_array((V, V))
        for d in range(1, window + 1):
            near = sentence[d:] == sentence[:-d]
            pairs = ids[d:][near], ids[:-d][near]
            total = total + scipy.sparse.coo_array((np.full(near.sum(), 1 / d), pairs), (V, V)).tocsr()
        return {"X": (total + total.T).toarray()}

    return run


def start(counts, dtype):
    return glove_init(np.random.default_rng(0), counts.V, E, np.dtype(dtype))


def drawn_batches(counts, epochs):
    return list(shuffled_batches(np.random.default_rng(1), len(counts.values), BATCH, epochs))


def numpy_side(counts, dtype, epochs=1):
    params, batches = start(counts, dtype), drawn_batches(counts, epochs)

    def run():
        return train_glove(counts, params, batches, lr=LR, x_max=X_MAX, progress=False).params._asdict()

    return run


class Dense(GloVe):
    """The same module with full gradients."""

    def forward(self, rows, columns, log_count, f):
        """Cost of the cells, by ordinary indexing."""
        e, theta = self.weight_in[rows], self.weight_out[columns]
        residual = (e * theta).sum(1) + self.bias_in[rows] + self.bias_out[columns] - log_count
        return (f * residual**2).sum() / 2


def torch_side(counts, dtype, kind, device="cpu"):
    params, batches = start(counts, dtype)._asdict(), drawn_batches(counts, 1)
    values = torch.tensor(counts.values)
    like = {"dtype": getattr(torch, dtype), "device": device}
    i, j = (torch.tensor(a, device=device) for a in counts[:2])
    log_count, f = values.log().to(**like), (values / X_MAX).clamp(max=1).pow(0.75).to(**like)

    def run():
        model = (GloVe if kind == "sparse" else Dense)(counts.V, E, **like)
        model.load_state_dict({name: torch.tensor(p) for name, p in params.items()})
        if kind == "sparse":
            return torch_train_glove(model, counts, batches, lr=LR, x_max=X_MAX, progress=False).params
        adagrad = torch.optim.Adagrad(model.parameters(), LR)
        for batch in batches:
            batch = torch.as_tensor(batch, device=device)
            adagrad.zero_grad()
            model(i[batch], j[batch], log_count[batch], f[batch]).backward()
            adagrad.step()
        return dict(model.named_parameters())

    return run


def c_side(compiler, counts):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "loop.c").write_text(C_LOOP)
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", "loop.c", "-o", "loop.so", "-lm"]
        subprocess.run(command, cwd=folder, check=True)
        step = ctypes.CDLL(f"{folder}/loop.so").epoch
    pointer, number = np.ctypeslib.ndpointer, ctypes.c_long
    ints, floats = pointer(np.int64), pointer(np.float64)
    step.argtypes = [number, ints, ints, ints, floats, floats, floats, number, number, *[ctypes.c_double] * 2]
    params, n, V = start(counts, "float64"), len(counts.values), counts.V

    def run():
        rng = np.random.default_rng(1)
        halves = [np.column_stack(pair) for pair in zip(params[:2], params[2:], strict=True)]
        w = np.ascontiguousarray(np.vstack(halves))
        s = np.ones_like(w)
        for _ in range(EPOCHS):
            step(n, rng.permutation(n), *counts[:3], w, s, V, E, LR, X_MAX)
        return GloVeParams(w[:V, :E], w[V:, :E], w[:V, E], w[V:, E])._asdict()

    return run


def no_higher(counts):
    def check(ours, reference):
        def cost(named):
            params = GloVeParams(**{name: np.asarray(p, float) for name, p in named.items()})
            return glove_forward(counts, params, X_MAX)[0]

        assert cost(ours) <= cost(reference), (cost(ours), cost(reference))

    return check
