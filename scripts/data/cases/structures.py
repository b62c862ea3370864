"""A preset's labels -> the structures whose Dice is measured."""

from collections.abc import Mapping


def structures(labels: Mapping[str, str]) -> dict[str, list[int]]:
    """Lists what is measured: each class but the background.

    Args:
        labels: the preset's, value -> name.

    Returns:
        The class numbers of each structure, by its name.

    Example:
        >>> from scripts.data import structures
        >>> structures({"0": "background", "3": "liver", "7": "tumour"})
        {'liver': [1], 'tumour': [2]}
    """
    return {name: [number] for number, name in enumerate(labels.values()) if number}
