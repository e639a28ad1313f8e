"""Beam search on tensors: the step, the choice of candidates and the states stay on the device."""

import torch

from rnncourse.beam_search.search import Settings, check_logp, check_settings, check_state, search
from rnncourse.optim._tree import tree_map


def top_candidates(values, M):
    """The M largest of each row; of equal ones those that stand first.

    Parameters
    ----------
    values : (B, N) tensor
    M : int
        At most N.

    Returns
    -------
    value, place : (B, M) tensors
        The largest and where they stand, in no particular order.
    """
    value, place = values.topk(M, dim=1)
    least = value[:, -1:]
    tied = (values == least).sum(1) > (value == least).sum(1)
    if tied.any():
        first = values[tied].sort(dim=1, descending=True, stable=True)
        value[tied], place[tied] = first.values[:, :M], first.indices[:, :M]
    return value, place


@torch.no_grad()
def beam_search(step, state, B, *, K, bos, eos, max_length, axis=0, device=None, **settings):
    """Beam search for B sentences at once, by a step function on tensors.

    Implements :eq:`beam-step`, :eq:`beam-pool`, :eq:`beam-score`, :eq:`beam-stop` of book/beam_search. What
    leaves the device at each step are the 2 K candidates of each sentence; which of them live on is decided
    by the same code as in NumPy. A step waits for the device at least four times: for the largest
    log-probability (the check), for whether there are ties, for the values and for the places. Half-precision
    log-probabilities are added up in float32.

    Parameters
    ----------
    step : callable
        ``step(tokens, state)`` takes n ids (n,) and the state of n hypotheses and returns log-probabilities
        (n, V) of the next token and the state after.
    state : nested tuple of tensors, or None
        The state before the first step, B sentences on `axis` of each tensor: 1 for those of torch.nn.GRU.
    B, K, bos, eos, max_length, axis
        As for :func:`rnncourse.beam_search.numpy.beam_search`.
    device : torch.device, optional
        Where `step` wants its tokens; that of the state if there is one, else the CPU.
    **settings
        ``min_length``, ``alpha``, ``normalisation``, ``stopping``, ``n_best``, as there.

    Returns
    -------
    Beams
        Arrays on the CPU.

    Raises
    ------
    ValueError
        As there.
    """
    settings = Settings(K, bos, eos, max_length, **settings)
    check_settings(B, settings)
    check_state(state, B, axis)
    devices = []
    tree_map(lambda part: devices.append(part.device), state)
    device = device or (devices[0] if devices else "cpu")

    def extend(rows, tokens, live, M, banned):
        nonlocal state
        n, width = live.shape
        rows = torch.from_numpy(rows).to(device)
        state = tree_map(lambda part: part.index_select(axis, rows), state)
        logp, state = step(torch.from_numpy(tokens).to(device), state)
        if logp.dtype in (torch.float16, torch.bfloat16):
            logp = logp.float()
        check_logp(logp, n * width, eos, logp.max().item() if logp.numel() else -torch.inf)
        total = torch.from_numpy(live).to(logp)[:, :, None] + logp.reshape(n, width, -1)
        V = total.shape[2]
        if banned is not None:
            total[:, :, banned] = -torch.inf
        value, place = top_candidates(total.reshape(n, -1), min(M, width * V))
        return value.cpu().numpy(), place.cpu().numpy(), V

    return search(extend, B, settings)
