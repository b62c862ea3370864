"""The first validation cases -> a picture of each in TensorBoard: image, mask and reference beside each other."""

from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch.utils.tensorboard.writer import SummaryWriter

from ..basics.figures import OPACITY, colour_of
from ..basics.geometry import axcodes


class ValidationImages:
    """Draws the same slice of the same cases in every validation, with a colour for each class.

    The slice is the middle one of those that are labelled in the reference, or of all if none is. It is drawn as the network
    sees it, a pixel for each voxel, and turned as radiologists have it: front or head up, the patient's right at the left.

    Args:
        writer: of TensorBoard; the step is the epoch.
        evaluator: whose cases are drawn, one in an iteration. Its output has `image`, `pred` and `label`, (C, H, W, D), of
            which the first channel is drawn; masks are class numbers.
        num_classes: background included.
        cases: how many at most.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from ignite.engine import Engine
        >>> from monai.data import MetaTensor
        >>> from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        >>> from torch.utils.tensorboard import SummaryWriter
        >>> from scripts.handlers import ValidationImages
        >>> image = MetaTensor(torch.rand(1, 6, 5, 4), meta={"filename_or_obj": "scans/a.nii.gz"})
        >>> mask = torch.ones(1, 6, 5, 4)
        >>> evaluator = Engine(lambda engine, batch: [{"image": image, "pred": mask, "label": mask}])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = SummaryWriter(folder)
        ...     ValidationImages(writer, evaluator, num_classes=2).attach(Engine(lambda engine, batch: None))
        ...     _ = evaluator.run([0])
        ...     writer.close()
        ...     events = EventAccumulator(folder).Reload()
        ...     event = events.Images("validation/1_a.nii.gz")[0]
        >>> event.width, event.height
        (18, 5)
    """

    def __init__(self, writer: SummaryWriter, evaluator: Evaluator, num_classes: int, cases: int = 3) -> None:
        self.writer = writer
        self.evaluator = evaluator
        self.num_classes = num_classes
        self.cases = cases

    def attach(self, engine: Engine) -> None:
        first = Events.ITERATION_COMPLETED(event_filter=lambda _, iteration: iteration <= self.cases)
        self.evaluator.add_event_handler(first, self)

    def __call__(self, evaluator: Engine) -> None:
        state: Any = evaluator.state  # ignite takes an output for numbers
        for case in state.output:
            file = str(case["image"].meta.get("filename_or_obj", "unknown"))
            tag = f"validation/{state.iteration}_{file.rpartition('/')[2]}"
            self.writer.add_image(tag, self._picture(case), state.epoch, dataformats="HWC")

    def _picture(self, case: dict[str, Any]) -> np.ndarray:
        """(rows, 3 * columns, 3) in [0, 1]"""
        image, mask, reference = (case[key][0].cpu().numpy() for key in ("image", "pred", "label"))
        labelled = ((reference > 0) & (reference < self.num_classes)).any((0, 1)).nonzero()[0]
        number = labelled[len(labelled) // 2] if len(labelled) else image.shape[2] // 2
        low, high = np.percentile(image[:, :, number], (1, 99))
        grey = np.clip((image[:, :, number] - low) / max(high - low, 1e-6), 0, 1)
        plain = np.stack([grey] * 3, -1)
        panels = [plain, *(self._coloured(plain, classes[:, :, number]) for classes in (mask, reference))]
        return np.concatenate([_upright(panel, axcodes(np.asarray(case["image"].affine))) for panel in panels], 1)

    def _coloured(self, picture: np.ndarray, classes: np.ndarray) -> np.ndarray:
        picture = picture.copy()
        for number in range(1, self.num_classes):
            inside = classes == number
            picture[inside] = (1 - OPACITY) * picture[inside] + OPACITY * np.array(colour_of(number))
        return picture


def _upright(plane: np.ndarray, axes: str) -> np.ndarray:
    """(first axis, second axis, 3) -> rows along the second axis, which ends up, and columns along the first, to the left."""
    right, up = (-1 if letter in "RAS" else 1 for letter in axes[:2])
    return plane.swapaxes(0, 1)[::up, ::right]
