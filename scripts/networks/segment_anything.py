"""The installed `segment_anything` package -> its network modules, without its top-level `__init__`.

`import segment_anything` also imports its mask generator and predictor, and those need torchvision, which this bundle has
no use for and which does not load beside a CPU build of torch. The network code, the sub-package `modeling`, needs torch
alone. So that sub-package is loaded from its folder, under a name of our own: `segment_anything` itself stays untouched
for whoever imports it in the same process.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_ALIAS = "_sam3d_segment_anything_modeling"


def load_modeling() -> ModuleType:
    """The module `segment_anything.modeling`. Raises ModuleNotFoundError with the remedy if the package is not installed."""
    if _ALIAS in sys.modules:
        return sys.modules[_ALIAS]
    package = importlib.util.find_spec("segment_anything")  # finds the folder, runs nothing
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the package segment-anything is not installed; run: pip install segment-anything==1.0")
    folder = Path(package.origin).parent / "modeling"
    spec = importlib.util.spec_from_file_location(_ALIAS, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_ALIAS] = module  # its relative imports look the parent up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[_ALIAS]
        raise
    return module


modeling = load_modeling()
ImageEncoderViT = modeling.ImageEncoderViT
get_rel_pos = sys.modules[f"{_ALIAS}.image_encoder"].get_rel_pos
LayerNorm2d = sys.modules[f"{_ALIAS}.common"].LayerNorm2d
