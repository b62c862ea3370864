"""An ONNX file -> a model of NVIDIA's Triton Inference Server: the folder's config.pbtxt beside it."""

from pathlib import Path

from ..files.atomic_write import atomic_write

TYPES = {1: "TYPE_FP32", 10: "TYPE_FP16"}  # of onnx.TensorProto


def write_triton(folder: Path, path: Path) -> None:
    """`folder`/config.pbtxt for `folder`/1/model.onnx, `path`. The depth is free, -1; one volume at a time, no batching."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    lines = [f'name: "{folder.name}"', 'backend: "onnxruntime"', "max_batch_size: 0"]
    for kind, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            tensor = value.type.tensor_type
            sizes = ", ".join(str(size.dim_value if size.HasField("dim_value") else -1) for size in tensor.shape.dim)
            lines.append(f'{kind} [ {{ name: "{value.name}", data_type: {TYPES[tensor.elem_type]}, dims: [ {sizes} ] }} ]')
    with atomic_write(folder / "config.pbtxt") as temporary:
        temporary.write_text("\n".join(lines) + "\n")
