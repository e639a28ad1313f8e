"""Beam search against a loop over hypotheses and, where it is installed, transformers' ``generate``."""

import importlib.util

import numpy as np
import torch

from rnncourse._numerics import log_softmax
from rnncourse.beam_search.numpy import beam_search
from rnncourse.beam_search.torch import beam_search as torch_beam_search
from rnncourse.bench import Row
from rnncourse.data.pairs import END, PAD, START
from rnncourse.seq2seq.numpy import decode_step, seq2seq_init
from rnncourse.seq2seq.torch import Seq2Seq

B, K, T = 8, 4, 30
V, E, H = 1000, 64, 128
ALPHA = 0.6
# Must: what the first version reached plus 10%.
TARGETS = {"loop": {"must": 0.2}, "generate": {"must": 0.75, "aim": 0.75}}


def rows():
    size = f"B{B} K{K} V{V} H{H}"
    found = [
        Row(f"NumPy, {size} float32, against a loop over hypotheses", *numpy_sides(), 1e-4, TARGETS["loop"])
    ]
    # Only where it is installed: the package does not need it, and nothing installs it.
    if importlib.util.find_spec("transformers"):
        for stopping, early in (("full", True), ("current", False), ("safe", "never")):
            name = f"torch, {size} float32, early_stopping={early!r}, against transformers.generate"
            found.append(Row(name, *torch_sides(stopping, early), 1e-5, TARGETS["generate"]))
    return found


def numpy_sides():
    """The same model and rule, one hypothesis a call, and all in one batch; both run to the last step."""
    params = seq2seq_init(np.random.default_rng(0), V, V, E, H, dtype=np.float32)
    # Sharper than an untrained model, so that hypotheses differ.
    output = params.decoder.output
    output = output._replace(weight=8 * output.weight)
    params = params._replace(decoder=params.decoder._replace(output=output))
    start = np.random.default_rng(1).normal(size=(B, H)).astype(np.float32)

    def step(tokens, state):
        logits, state = decode_step(tokens, state, params)
        return log_softmax(logits), state

    def loop():
        return {"score": np.array([one_sentence(step, start[[b]]) for b in range(B)])}

    def batch():
        asked = {"bos": START, "eos": END, "max_length": T, "alpha": ALPHA, "stopping": "never"}
        return {"score": beam_search(step, start, B, K=K, **asked).score[:, 0]}

    return loop, batch


def one_sentence(step, state):
    """The score of the best output, by hypotheses one after the other."""
    beam, pool = [(0.0, [START], state)], []
    for t in range(1, T + 1):
        found = []
        for logprob, tokens, state in beam:
            logp, after = step(np.array(tokens[-1:]), state)
            best = np.argsort(-logp[0])[: 2 * K]
            found += [(logprob + logp[0, v], [*tokens, v], after) for v in best]
        found.sort(key=lambda c: -c[0])
        ends = [c[1][-1] == END or t == T for c in found]
        pool += [c[0] / t**ALPHA for c, end in zip(found[:K], ends, strict=False) if end]
        beam = [c for c, end in zip(found, ends, strict=True) if not end][:K]
    return max(pool)


def torch_sides(stopping, early):
    """`generate` and ours on one decoder: a GRU that starts from given states, as after an encoder."""
    model, start = make_decoder()
    wrapped = wrap(model)
    bos = torch.full((B, 1), START)

    def theirs():
        with torch.no_grad():
            ids = wrapped.generate(
                bos,
                state=start,
                num_beams=K,
                do_sample=False,
                max_new_tokens=T,
                length_penalty=ALPHA,
                early_stopping=early,
                eos_token_id=END,
                pad_token_id=PAD,
            )
        tokens = torch.full((B, T), END)
        # Behind the end some versions write the padding, some </s>.
        tokens[:, : ids.shape[1] - 1] = ids[:, 1:].masked_fill(ids[:, 1:] == PAD, END)
        return {"tokens": tokens}

    def step(tokens, state):
        logits, after = model.step(tokens, state[None])
        return torch.log_softmax(logits, -1), after[0]

    def ours():
        asked = {"bos": START, "eos": END, "max_length": T, "alpha": ALPHA, "stopping": stopping}
        found = torch_beam_search(step, start, B, K=K, **asked)
        tokens = torch.full((B, T), END)
        tokens[:, : len(found.tokens)] = torch.from_numpy(found.tokens[..., 0].T)
        return {"tokens": tokens}

    return theirs, ours


def make_decoder():
    """An untrained decoder with sharpened logits, likely to end after some ten tokens, and start states."""
    torch.manual_seed(0)
    model = Seq2Seq(V, V, E, H).eval()
    with torch.no_grad():
        model.output.weight *= 8
        model.output.bias[END] += 2
        model.output.bias[PAD] -= 100
    return model, torch.randn(B, H)


def wrap(model):
    """The decoder as transformers wants it: a PreTrainedModel whose cache is the state (B, H)."""
    from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import ModelOutput

    class Config(PretrainedConfig):
        model_type = "gru-decoder"

    class Decoder(PreTrainedModel, GenerationMixin):
        config_class = Config
        main_input_name = "input_ids"

        def __init__(self, config):
            super().__init__(config)
            self.model = model
            self.post_init()

        def _init_weights(self, module):
            pass

        def _supports_default_dynamic_cache(self):
            return False

        def _reorder_cache(self, state, rows):
            return state.index_select(0, rows)

        def prepare_inputs_for_generation(self, input_ids, *args, state=None, **kwargs):
            return {"input_ids": input_ids[:, -1:], "state": state}

        def forward(self, input_ids, state=None, **kwargs):
            logits, state = self.model.step(input_ids[:, -1], state[None])
            return ModelOutput(logits=logits[:, None], state=state[0])

    decoder = Decoder(Config(vocab_size=V, num_hidden_layers=1, is_encoder_decoder=False)).eval()
    decoder.generation_config = GenerationConfig(use_cache=True)
    return decoder
