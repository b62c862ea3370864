"""An ONNX file of float32 -> the same with float16 or int8 arithmetic, by onnxruntime's own tools."""

from collections.abc import Sequence
from pathlib import Path

import torch

from .any_depth import quiet

PRECISIONS = ("float32", "float16", "int8")
QUANTIZED = ["MatMul", "Gemm", "Conv"]


def lower_precision(path: Path, precision: str, examples: Sequence[torch.Tensor]) -> None:
    """In place. Inputs and outputs stay float32.

    float16: all operators that have it. int8: matrix products and convolutions, whose ranges are those that `examples` take.
    """
    import onnx

    with quiet():
        if precision == "float16":
            from onnxruntime.transformers.float16 import convert_float_to_float16

            onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
            return
        from onnxruntime.quantization import CalibrationDataReader, quantize_static

        class Examples(CalibrationDataReader):
            def __init__(self) -> None:
                name = onnx.load(path).graph.input[0].name
                self.left = iter([{name: example.numpy()} for example in examples])

            def get_next(self) -> dict | None:
                return next(self.left, None)

        about = onnx.load(path).metadata_props
        quantize_static(path, path, Examples(), op_types_to_quantize=QUANTIZED, per_channel=True)
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {entry.key: entry.value for entry in [*about, *model.metadata_props]})
        onnx.save(model, path)
