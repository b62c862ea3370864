"""The bundle's folder -> the folder in which the runs look for weights, and `sam3d download` puts them."""

from pathlib import Path

NAME = "sam3d-bundle"  # under which pip installs the bundle


def models_folder(bundle_root: str | Path) -> str:
    """Finds the folder of weights: `models` in the bundle; of one that pip installed, and may replace, a folder of the user.

    Args:
        bundle_root: the folder that holds `configs` and `scripts`.

    Returns:
        Its path. The user's folder is the one of the operating system for caches, on Linux ~/.cache/sam3d-bundle/models.

    Example:
        >>> from scripts.run.models_folder import models_folder
        >>> models_folder("/home/me/sam3d")
        '/home/me/sam3d/models'
    """
    if is_installed(bundle_root):
        import platformdirs  # what `sam3d package` makes does without it

        return str(platformdirs.user_cache_path(NAME, appauthor=False) / "models")
    return f"{bundle_root}/models"


def is_installed(bundle_root: str | Path) -> bool:
    """By pip, from a wheel: its record lies beside the bundle. An editable installation is a clone."""
    root = Path(bundle_root).absolute()
    return any(root.parent.glob(f"{root.name}-*.dist-info"))
