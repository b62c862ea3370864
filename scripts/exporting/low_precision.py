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
            from onnxruntime.transformers.onnx_model import OnnxModel

            model = convert_float_to_float16(onnx.load(path), keep_io_types=True)
            OnnxModel.graph_topological_sort(model.graph)  # the casts of inputs come last, which ONNX does not allow
            onnx.save(model, path)
            return
        from onnxruntime.quantization import CalibrationDataReader, quantize_static

        class Examples(CalibrationDataReader):
            def __init__(self) -> None:
                name = onnx.load(path).graph.input[0].name
                self.left = iter([{name: example.numpy()} for example in examples])

            def get_next(self) -> dict | None:
                return next(self.left, None)

        quantize_static(path, path, Examples(), op_types_to_quantize=QUANTIZED, per_channel=True)
