"""The formats of exported networks: how each is written with what is known of the network, and how it is run again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .any_depth import DEPTH, not_recorded, quiet, record
from .exported_part import ExportedPart, Function

ABOUT = "sam3d"  # the key of the JSON about the network, in every format
OPSET = 20  # of ONNX: the first with GroupNormalization and Resize as the network needs them; onnxruntime has it since 1.17

About = Mapping[str, Any]


class Format(NamedTuple):
    """suffix: of the file.

    write: a part and an example of its input -> the file. read: the file -> the function in it, and what is known of it.
    """

    suffix: str
    write: Callable[[ExportedPart, torch.Tensor, Path, About], None]
    read: Callable[[Path], tuple[Function, dict[str, Any]]]


def write_pt2(part: ExportedPart, example: torch.Tensor, path: Path, about: About) -> None:
    program = record(part, example)
    with quiet():
        torch.export.save(program, path, extra_files={ABOUT: json.dumps(about)})


def read_pt2(path: Path) -> tuple[Function, dict[str, Any]]:
    extra_files = {ABOUT: ""}
    with quiet():
        program = torch.export.load(path, extra_files=extra_files)
    return program.module(), json.loads(extra_files[ABOUT])


def write_onnx(part: ExportedPart, example: torch.Tensor, path: Path, about: About) -> None:
    program = record(part, example)
    with quiet(), torch.no_grad():
        exported = torch.onnx.export(
            program,
            (),
            opset_version=OPSET,
            input_names=[part.input_name],
            output_names=[part.output_name],
            dynamic_shapes=({4: DEPTH},),
            verbose=False,
        )
    assert exported is not None
    exported.model.metadata_props[ABOUT] = json.dumps(about)
    with quiet():
        exported.save(path, external_data=False)


def read_onnx(path: Path) -> tuple[Function, dict[str, Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(volume: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {name: volume.numpy()})[0])

    return run, json.loads(session.get_modelmeta().custom_metadata_map[ABOUT])


def add_to_about(path: Path, more: About) -> None:
    """To what an ONNX file says of its network."""
    import onnx

    model = onnx.load(path)
    about = {**{entry.key: entry.value for entry in model.metadata_props}}
    onnx.helper.set_model_props(model, {**about, ABOUT: json.dumps({**json.loads(about[ABOUT]), **more})})
    onnx.save(model, path)


def write_aoti(part: ExportedPart, example: torch.Tensor, path: Path, about: About) -> None:
    program = record(part, example.contiguous())  # the compiled code reads its input in this layout
    try:
        with quiet():
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(path), inductor_configs={"aot_inductor.metadata": {ABOUT: json.dumps(about)}}
            )
    except Exception as error:  # of inductor and of the compiler, whatever they meet
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"this network could not be compiled ({reason}); AOTInductor needs a C++ compiler (g++), else take --format pt2"
        ) from error


def read_aoti(path: Path) -> tuple[Function, dict[str, Any]]:
    with quiet():
        package = torch._inductor.aoti_load_package(str(path))
    return lambda volume: package(volume.contiguous()), json.loads(package.loader.get_metadata()[ABOUT])


def write_torchscript(part: ExportedPart, example: torch.Tensor, path: Path, about: About) -> None:
    with quiet(), torch.no_grad():
        try:
            traced = torch.jit.trace(part.module, example, check_trace=False)
        except Exception as error:
            raise not_recorded(part, error) from error
        torch.jit.save(traced, path, _extra_files={ABOUT: json.dumps(about)})


def read_torchscript(path: Path) -> tuple[Function, dict[str, Any]]:
    extra_files = {ABOUT: ""}
    with quiet():
        traced = torch.jit.load(path, _extra_files=extra_files)
    return traced, json.loads(extra_files[ABOUT])


FORMATS = {
    "pt2": Format(".pt2", write_pt2, read_pt2),
    "onnx": Format(".onnx", write_onnx, read_onnx),
    "aoti": Format(".pt2", write_aoti, read_aoti),
    "torchscript": Format(".ts", write_torchscript, read_torchscript),
}
