"""Whatever compressed pixels do to their decoder, the series that holds them is refused and this process goes on."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from dicom_phantom import write_series
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGLSLossless, RLELossless
from test_dicom_series import LARGE, compress

from scripts.data import CaseError
from scripts.data.formats import frame_decoder
from scripts.data.formats.dicom_pixels import read_frames
from scripts.data.formats.dicom_series import open_series
from scripts.data.formats.frame_decoder import FrameDecoder

ENDS = {  # what a decoder does -> what is said of it
    "os.kill(os.getpid(), signal.SIGSEGV)": "was ended by SIGSEGV",
    "print('half an answer') or os.write(1, b'99 99') and os.abort()": "was ended by SIGABRT",
    "bytearray(8 << 30)": "ended with exit code 1",  # more than MEMORY
    "os.kill(os.getpid(), signal.SIGSTOP)": "did not return within 1 s",
}


@pytest.fixture
def compressed(tmp_path: Path) -> Path:
    for file in write_series(tmp_path / "series", LARGE):
        compress(file, JPEGLSLossless)
    return tmp_path / "series"


def decode_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """The second frame is decoded by `code`, and all others by the program as it is."""
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import itertools, os, runpy, signal, sys
import SimpleITK as sitk
decode, calls = sitk.ImageFileReader.Execute, itertools.count()
sitk.ImageFileReader.Execute = lambda reader: decode(reader) if next(calls) != 1 else {code}
runpy.run_path({str(frame_decoder.PROGRAM)!r}, run_name="__main__")
"""
    )
    monkeypatch.setattr(frame_decoder, "PROGRAM", program)


@pytest.mark.parametrize(("code", "said"), ENDS.items())
def test_a_decoder_that_ends_costs_its_series_alone(
    compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    if "SIGSTOP" in code:
        monkeypatch.setattr(frame_decoder, "SECONDS", 1)
    image = open_series(str(compressed))
    with monkeypatch.context() as patch:
        decode_with(patch, tmp_path, code)
        with pytest.raises(CaseError, match=rf"slice1\.dcm: the file must be whole.*JPEG-LS.*their decoder {said}"):
            image.read()
    np.testing.assert_array_equal(image.read()[0], LARGE - 1024.0)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The processes that this one starts."""
    processes: list[object] = []

    class Counted(subprocess.Popen):
        def __init__(self, *words: object, **options: object) -> None:
            super().__init__(*words, **options)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Counted)
    return processes


def test_a_compressed_series_starts_one_process_which_ends_with_it(compressed: Path, started: list[subprocess.Popen]) -> None:
    image = open_series(str(compressed))
    assert started == []
    image.read()
    (child,) = started
    assert child.returncode is not None


def test_another_series_starts_none(tmp_path: Path, started: list[object]) -> None:
    for file in write_series(tmp_path):
        dataset = dcmread(file)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(tmp_path / f"rle_{file.name}")
        file.unlink()
    write_series(tmp_path / "plain")
    for folder in (tmp_path, tmp_path / "plain"):
        open_series(str(folder)).read()
    assert started == []


@pytest.mark.parametrize("syntax", [JPEGLSLossless, "JPEG", "JPEG2000"])
def test_flipped_bits_are_decoded_or_refused_and_never_end_this_process(tmp_path: Path, syntax: str) -> None:
    """A checksum would notice all of them, but these formats have none."""
    (file,) = write_series(tmp_path / "one", LARGE[:, :, :1])
    compress(file, syntax)
    dataset, generator = dcmread(file), np.random.default_rng(5)
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    refused = 0
    with FrameDecoder() as decoder:
        for _ in range(15):
            damaged = bytearray(stream)
            for place in generator.integers(2, len(stream), 3):
                damaged[place] ^= 1 << generator.integers(8)
            dataset.PixelData = encapsulate([bytes(damaged)])
            dataset.save_as(file)
            try:
                assert read_frames(str(file), decoder).shape == (1, *LARGE.shape[1::-1])
            except CaseError:
                refused += 1
    assert refused
