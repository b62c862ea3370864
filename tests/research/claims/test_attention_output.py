"""Claims: attention's output set is conv{v_j}; its Lipschitz bound is hard to give. True of A V alone; there is none."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from jacobian import jacobian, singular_values
from scipy.optimize import linprog
from torch import nn

TOKENS, WIDTH, HEADS, DRAWS = 12, 4, 2, 50


def in_hull(point: torch.Tensor, corners: torch.Tensor) -> bool:
    """Is there a >= 0 of sum 1 with a @ corners = point? A linear programme without an objective."""
    equations = np.vstack([corners.T.numpy(), np.ones(len(corners))])
    return linprog(np.zeros(len(corners)), A_eq=equations, b_eq=np.append(point.numpy(), 1.0)).status == 0


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double)


def weights(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """(T, T), rows of positive numbers of sum 1."""
    return (queries @ keys.T / queries.shape[1] ** 0.5).softmax(1)


def test_weights_times_values_lie_in_the_hull_of_the_values() -> None:
    queries, keys, values = (random(TOKENS, WIDTH) for _ in range(3))
    attention = weights(queries, keys)
    assert (attention > 0).all()  # so never on the hull's boundary: the interior alone is reached
    torch.testing.assert_close(attention.sum(1), torch.ones(TOKENS, dtype=torch.double))
    assert all(in_hull(output, values) for output in attention @ values)
    assert not in_hull(values.amax(0) + 0.01, values)  # the programme can say no
    print(f"A V: {TOKENS} of {TOKENS} tokens in conv{{v_j}}, smallest weight {attention.min():.3f}")


def projected(tokens: torch.Tensor, attention: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return attention @ values @ random(WIDTH, WIDTH)


def with_residual(tokens: torch.Tensor, attention: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return tokens + attention @ values


def with_mlp(tokens: torch.Tensor, attention: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return nn.functional.gelu(attention @ values @ random(WIDTH, 4 * WIDTH)) @ random(4 * WIDTH, WIDTH)


def several_heads(tokens: torch.Tensor, attention: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Every head has weights of its own for its part of the values."""
    parts = values.chunk(HEADS, 1)
    heads = [weights(3 * random(TOKENS, WIDTH), random(TOKENS, WIDTH)) @ part for part in parts]
    return torch.cat(heads, 1)


@pytest.mark.parametrize("layer", [projected, with_residual, with_mlp, several_heads], ids=lambda layer: layer.__name__)
def test_what_follows_leaves_the_hull(layer: Callable[..., torch.Tensor]) -> None:
    outside = 0
    for _ in range(DRAWS):
        tokens, queries, keys, values = (random(TOKENS, WIDTH) for _ in range(4))
        output = layer(tokens, weights(queries, keys), values)[0]
        outside += not in_hull(output.detach(), values)
    print(f"{layer.__name__}: outside of conv{{v_j}} in {outside} of {DRAWS} draws")
    assert outside > 0


def test_every_head_by_itself_lies_in_the_hull_of_its_values() -> None:
    values = random(TOKENS, WIDTH)
    output = several_heads(values, values, values)
    for part, head in zip(values.chunk(HEADS, 1), output.chunk(HEADS, 1), strict=True):
        assert all(in_hull(token, part) for token in head)


def test_self_attention_has_no_lipschitz_constant() -> None:
    """Tokens (0, s u, -s u): token 0 attends evenly to all, and its derivative is the variance of the tokens, s^2."""
    direction = nn.functional.normalize(random(WIDTH), dim=0)
    norms = []
    for scale in (1.0, 10.0, 100.0, 1000.0):
        tokens = scale * torch.stack([torch.zeros_like(direction), direction, -direction])
        matrix = jacobian(lambda x: weights(x, x) @ x, tokens)
        norms.append(singular_values(matrix)[0].item())
    print("norm of the Jacobian at scales 1, 10, 100, 1000: " + ", ".join(f"{norm:.4g}" for norm in norms))
    assert norms[2] / norms[1] == pytest.approx(100, rel=0.1)
    assert norms[3] / norms[2] == pytest.approx(100, rel=0.01)
