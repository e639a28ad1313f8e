"""The gradient of a lookup, steps of single rows and the vocabulary, against torch, NumPy and gensim."""

import gensim
import numpy as np
import torch

from rnncourse.bench import Row
from rnncourse.data.tales import tales_text
from rnncourse.data.words import WordVocabulary, split_sentences
from rnncourse.embeddings.numpy import (
    RowGradient,
    embedding_backward,
    embedding_backward_rows,
    embedding_forward,
    embedding_init,
    sgd_rows,
)
from rnncourse.embeddings.torch import Embedding

# Sums of up to some hundred rows in another order: 1e-6 of the largest element in float32.
TOLERANCE = 1e-5
# (places, V, E): a batch of 32 sentences of 35 words, and one of ids that are nearly all different.
SIZES = {"N1120 V10000 E200": (1120, 10_000, 200), "N512 V100000 E100": (512, 100_000, 100)}
# Must: what the first version reached plus 10%, or the slowest of its pairs where these lie farther apart.
TARGETS = {
    "N1120 V10000 E200": {"must": 1.7, "aim": 1.0},
    "N512 V100000 E100": {"must": 0.25, "aim": 0.25},
}
ROW_TARGETS = {
    "N1120 V10000 E200": {"must": 3.6, "aim": 1.5},
    "N512 V100000 E100": {"must": 2.3, "aim": 1.5},
}


def rows():
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    size = "N1120 V10000 E200"
    return [
        *(
            Row(
                f"lookup forward + dense gradient, {s}",
                nn_side(*drawn(s)),
                dense_side(*drawn(s)),
                TOLERANCE,
                TARGETS[s],
            )
            for s in SIZES
        ),
        *(
            Row(
                f"lookup forward + gradient of the rows, {s}",
                nn_side(*drawn(s), sparse=True),
                rows_side(*drawn(s)),
                TOLERANCE,
                ROW_TARGETS[s],
            )
            for s in SIZES
        ),
        Row(
            f"dense gradient, against np.add.at, {size}",
            add_at_side(*drawn(size)),
            dense_side(*drawn(size)),
            TOLERANCE,
            {"must": 0.33, "aim": 0.33},
        ),
        Row(
            "descent on rows in place, N512 V100000 E100",
            nn_step_side(*drawn("N512 V100000 E100")),
            step_side(*drawn("N512 V100000 E100")),
            TOLERANCE,
            {"must": 1.9, "aim": 1.5},
        ),
        Row(
            "vocabulary of the tales, from words",
            gensim_side(),
            vocabulary_side(),
            0.0,
            {"must": 0.2, "aim": 0.2},
        ),
        *(
            Row(
                f"written-out Embedding, {size} {device}",
                nn_side(*drawn(size), device=device),
                nn_side(*drawn(size), device=device, cls=Embedding),
                TOLERANCE,
                device=device,
            )
            for device in devices
        ),
    ]


def drawn(size):
    """Ids with the frequencies of words, 1 / rank; the matrix, and a random cotangent."""
    N, V, E = SIZES[size]
    rng = np.random.default_rng(0)
    p = 1 / np.arange(1, V + 1)
    ids = rng.choice(V, N, p=p / p.sum())
    return ids, embedding_init(rng, V, E, dtype=np.float32), rng.normal(size=(N, E)).astype(np.float32)


def dense_side(ids, weight, doutput):
    def run():
        output, cache = embedding_forward(ids, weight)
        return {"output": output, "weight": embedding_backward(doutput, cache)}

    return run


def rows_side(ids, weight, doutput):
    def run():
        output, cache = embedding_forward(ids, weight)
        return {"output": output, **embedding_backward_rows(doutput, cache)._asdict()}

    return run


def add_at_side(ids, weight, doutput):
    def run():
        dweight = np.zeros_like(weight)
        np.add.at(dweight, ids, doutput)
        return {"output": weight[ids], "weight": dweight}

    return run


def nn_side(ids, weight, doutput, sparse=False, device="cpu", cls=torch.nn.Embedding):
    layer = cls(*weight.shape, **({"sparse": True} if sparse else {}), device=device)
    layer.load_state_dict({"weight": torch.tensor(weight)})
    ids, doutput = torch.tensor(ids, device=device), torch.tensor(doutput, device=device)

    def run():
        output = layer(ids)
        (grad,) = torch.autograd.grad(output, (layer.weight,), doutput)
        if not sparse:
            return {"output": output, "weight": grad}
        grad = grad.coalesce()
        return {"output": output, "ids": grad.indices()[0], "rows": grad.values()}

    return run


def step_side(ids, weight, doutput):
    own = weight.copy()
    gradient = embedding_backward_rows(doutput, embedding_forward(ids, weight)[1])
    return lambda: {"weight": sgd_rows(own, gradient, 1e-3, in_place=True)}


def nn_step_side(ids, weight, doutput):
    gradient: RowGradient = embedding_backward_rows(doutput, embedding_forward(ids, weight)[1])
    parameter = torch.nn.Parameter(torch.tensor(weight))
    parameter.grad = torch.sparse_coo_tensor(
        torch.tensor(gradient.ids)[None],
        torch.tensor(gradient.rows),
        parameter.shape,
        is_coalesced=True,
        check_invariants=True,
    )
    optimiser = torch.optim.SGD([parameter], 1e-3)

    def run():
        optimiser.step()
        return {"weight": parameter.data}

    return run


def vocabulary_side():
    sentences = split_sentences(tales_text())

    def run():
        vocabulary = WordVocabulary.of(sentences, min_count=5)
        return {"counts": np.array(vocabulary.counts[1:])}

    return run


def gensim_side():
    sentences = split_sentences(tales_text())

    def run():
        dictionary = gensim.corpora.Dictionary(sentences)
        kept = [(-n, dictionary[i]) for i, n in dictionary.cfs.items() if n >= 5]
        return {"counts": np.array([-n for n, _ in sorted(kept)])}

    return run
