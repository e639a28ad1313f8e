"""t-SNE of 2,000 points against scikit-learn's tree, and analogies and neighbours against gensim."""

import numpy as np
from gensim.models import KeyedVectors
from sklearn.manifold import TSNE

from rnncourse.bench import Row
from rnncourse.similarity.numpy import analogy, nearest
from rnncourse.similarity.tsne import near_probabilities, tsne, tsne_cost

# gensim and we sum 100 products in float32 in another order.
TOLERANCE = 1e-5
PERPLEXITY = 30.0


def rows():
    x, y_0 = clusters()
    return [
        Row(
            "t-SNE 2000x50, 1000 steps, float32, against Barnes-Hut",
            sklearn_side(x, y_0),
            tsne_side(x, y_0),
            0,
            {"must": 1.27, "aim": 1.1},
            check=check_costs,
            slow=True,
        ),
        Row("10 neighbours of 200 among 20000x100 float32", gensim_neighbours, our_neighbours, TOLERANCE),
        Row("200 analogies among 20000x100 float32", gensim_analogies, our_analogies, TOLERANCE),
    ]


def clusters(n=2000, D=50):
    """Ten overlapping groups, and a start."""
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(10, D))
    x = centres[rng.integers(10, size=n)] + rng.normal(size=(n, D))
    return x.astype(np.float32), (1e-4 * rng.normal(size=(n, 2))).astype(np.float32)


def tsne_side(x, y_0):
    # As many neighbours as scikit-learn's tree attracts; the repulsion is exact.
    def run():
        return {"y": tsne(x, y_0=y_0, perplexity=PERPLEXITY, neighbours=int(3 * PERPLEXITY), every=1000).y}

    return run


def sklearn_side(x, y_0):
    def run():
        model = TSNE(perplexity=PERPLEXITY, init=y_0, max_iter=1000, min_grad_norm=0, n_jobs=1)
        return {"y": model.fit_transform(x)}

    return run


def check_costs(ours, reference):
    """Our map must not be the worse one, by the same cost of the same probabilities."""
    p = near_probabilities(clusters()[0], PERPLEXITY)
    own, theirs = (tsne_cost(p, np.ascontiguousarray(side["y"], np.float32)) for side in (ours, reference))
    assert own <= theirs, f"cost {own:.4f}, scikit-learn's {theirs:.4f}"


VECTORS = np.random.default_rng(1).normal(size=(20_000, 100)).astype(np.float32)
QUESTIONS = np.random.default_rng(2).permutation(20_000)[:600].reshape(200, 3)


def keyed():
    """The vectors in gensim."""
    found = KeyedVectors(100)
    found.add_vectors([str(i) for i in range(len(VECTORS))], VECTORS)
    found.fill_norms()
    return found


KEYED = keyed()


def our_neighbours():
    queries = QUESTIONS[:, :1]
    return {"scores": nearest(VECTORS[queries[:, 0]], VECTORS, 10, queries).scores}


def gensim_neighbours():
    found = [KEYED.most_similar(str(i), topn=10) for i in QUESTIONS[:, 0]]
    return {"scores": np.array([[score for _, score in row] for row in found])}


def our_analogies():
    return {"ids": analogy(VECTORS, QUESTIONS).ids[:, 0].astype(float)}


def gensim_analogies():
    found = [
        KEYED.most_similar(positive=[str(b), str(c)], negative=[str(a)], topn=1)[0][0]
        for a, b, c in QUESTIONS
    ]
    return {"ids": np.array(found, float)}
