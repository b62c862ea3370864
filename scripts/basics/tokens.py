"""Pixels -> SAM's tokens, patches of 16 x 16 pixels of a slice."""

PATCH = 16  # pixels on a side of a token


def tokens(pixels: int) -> int:
    """How many cover that many pixels."""
    return -(-pixels // PATCH)


def padded(pixels: int) -> int:
    """The next multiple of a token's side."""
    return PATCH * tokens(pixels)
