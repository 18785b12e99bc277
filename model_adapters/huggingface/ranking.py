"""How likely given answers are after a prompt: log-likelihoods of many continuations in few forward passes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from radbench.model_adapters.batching import Batches
from radbench.model_adapters.huggingface.network import Network
from radbench.model_adapters.huggingface.processor import Conversation, Prompts


def loglikelihoods(
    prompts: Prompts,
    network: Network,
    conversations: Sequence[Conversation],
    continuations: Sequence[Sequence[str]],
    size: int,
    ended: Sequence[bool] = (),
) -> list[list[float]]:
    """Summed natural log-probabilities, at most ``size`` forward passes at once.

    Continuations of a conversation that differ in their last token alone share a pass: ``yes`` and ``no`` cost one. Where
    ``ended``, the probability that the answer ends after the continuation, with whichever token, is a factor of it.
    """
    found: list[list[list[float]]] = [[[] for _ in c] for c in continuations]
    passes: dict[tuple[int, tuple[int, ...]], list[tuple[int, list[int]]]] = {}
    for i, (conversation, options) in enumerate(zip(conversations, continuations, strict=True)):
        text, ends = prompts.text(conversation), sorted(network.ends) if i < len(ended) and ended[i] else []
        for k, option in enumerate(options):
            tail = prompts.continued(text, option)
            for full in [[*tail, end] for end in ends] or [tail]:
                if full:  # of an empty one nothing has to be said
                    passes.setdefault((i, tuple(full[:-1])), []).append((k, full))
    todo = list(passes.items())

    def score(batch: list[int]) -> list[tuple[int, list[float]]]:
        part = [todo[n] for n in batch]
        inputs = prompts.inputs([conversations[i] for (i, _), _ in part])
        scored = network.loglikelihood(inputs, [[tail for _, tail in tails] for _, tails in part])
        return list(zip(batch, scored, strict=True))

    batches = Batches[int](size, lambda n: (0, len(todo[n][0][1])))
    for batch in batches.of(range(len(todo))):
        for n, values in batches.ask(batch, score, _give_up):
            (i, _), tails = todo[n]
            for (k, _), value in zip(tails, values, strict=True):
                found[i][k].append(value)
    return [[_total(values) if values else 0.0 for values in row] for row in found]


def _total(logs: Sequence[float]) -> float:
    """The logarithm of a sum of probabilities given as logarithms."""
    most = max(logs)
    return most if len(logs) == 1 or most == -math.inf else most + math.log(sum(math.exp(x - most) for x in logs))


def _give_up(_: int) -> tuple[int, list[float]]:
    raise RuntimeError("out of memory on a single forward pass")


def probabilities(options: Sequence[str], values: Sequence[float]) -> Mapping[str, float]:
    """The softmax of log-likelihoods over the options: they sum to 1."""
    weights = [math.exp(v - max(values)) for v in values]
    return {option: w / sum(weights) for option, w in zip(options, weights, strict=True)}
