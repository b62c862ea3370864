"""The formats of exported networks: how each is written and run again, and how it tells what is known of its network."""

import json
import zipfile
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

    write: a part and an example of its input -> the file. read: the file -> the function in it. describe: adds what is known of
    the network at the end of the file, so that the checks can be in it and the weights are written once. about: reads it.
    """

    suffix: str
    write: Callable[[ExportedPart, torch.Tensor, Path], None]
    read: Callable[[Path], Function]
    describe: Callable[[Path, About], None]
    about: Callable[[Path], dict[str, Any]]


def describe_archive(path: Path, about: About) -> None:
    """In the archive that torch writes, where its `extra_files` are."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_extra_file(archive), json.dumps(about))


def about_archive(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(_extra_file(archive)))


def _extra_file(archive: zipfile.ZipFile) -> str:
    return f"{archive.namelist()[0].partition('/')[0]}/extra/{ABOUT}"


def describe_onnx(path: Path, about: About) -> None:
    """The bytes of two messages in a row are those of one with the fields of both (protobuf's encoding, "Last One Wins")."""
    import onnx

    properties = onnx.ModelProto()
    onnx.helper.set_model_props(properties, {ABOUT: json.dumps(about)})
    with path.open("ab") as file:
        file.write(properties.SerializeToString())


def about_onnx(path: Path) -> dict[str, Any]:
    import onnx

    properties = onnx.load(path, load_external_data=False).metadata_props
    return json.loads(next(entry.value for entry in properties if entry.key == ABOUT))


def write_pt2(part: ExportedPart, example: torch.Tensor, path: Path) -> None:
    program = record(part, example)
    with quiet():
        torch.export.save(program, path)


def read_pt2(path: Path) -> Function:
    with quiet():
        return torch.export.load(path).module()


def write_onnx(part: ExportedPart, example: torch.Tensor, path: Path) -> None:
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
    with quiet():
        exported.save(path, external_data=False)


def read_onnx(path: Path) -> Function:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(volume: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {name: volume.numpy()})[0])

    return run


def write_aoti(part: ExportedPart, example: torch.Tensor, path: Path) -> None:
    program = record(part, example.contiguous())  # the compiled code reads its input in this layout
    try:
        with quiet():
            torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    except Exception as error:  # of inductor and of the compiler, whatever they meet
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"this network could not be compiled ({reason}); AOTInductor needs a C++ compiler (g++), else take --format pt2"
        ) from error


def read_aoti(path: Path) -> Function:
    with quiet():
        package = torch._inductor.aoti_load_package(str(path))
    return lambda volume: package(volume.contiguous())


def write_torchscript(part: ExportedPart, example: torch.Tensor, path: Path) -> None:
    with quiet(), torch.no_grad():
        try:
            traced = torch.jit.trace(part.module, example, check_trace=False)
        except Exception as error:
            raise not_recorded(part, error) from error
        torch.jit.save(traced, path)


def read_torchscript(path: Path) -> Function:
    with quiet():
        return torch.jit.load(path)


FORMATS = {
    "pt2": Format(".pt2", write_pt2, read_pt2, describe_archive, about_archive),
    "onnx": Format(".onnx", write_onnx, read_onnx, describe_onnx, about_onnx),
    "aoti": Format(".pt2", write_aoti, read_aoti, describe_archive, about_archive),
    "torchscript": Format(".ts", write_torchscript, read_torchscript, describe_archive, about_archive),
}
