"""SAM's official checkpoint format, every way in which a file can be wrong, and random weights on request."""

import hashlib
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NARROW, ROOT
from safetensors.torch import save_file
from torch.testing import assert_close

from scripts.networks import SAMSliceEncoder
from scripts.weights import load_sam_encoder
from scripts.weights.download import read_large_files
from scripts.weights.sam_checkpoint import OFFICIAL_SHA256

State = dict[str, Any]
TABLE = "image_encoder.blocks.1.attn.rel_pos_h"


@pytest.fixture
def encoder() -> SAMSliceEncoder:
    return SAMSliceEncoder(NARROW)


@pytest.fixture
def official(narrow_encoder: SAMSliceEncoder) -> State:
    """The layout of sam_vit_b_01ec64.pth: the whole Sam, of which the image encoder is a part."""
    return {
        **{key: value.clone() for key, value in narrow_encoder.state_dict().items()},
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": torch.randn(2, 128),
        "mask_decoder.iou_token.weight": torch.randn(1, 256),
    }


def test_an_official_checkpoint_is_loaded_bit_by_bit(encoder: SAMSliceEncoder, official: State, tmp_path: Path) -> None:
    torch.save(official, tmp_path / "sam.pth")
    assert load_sam_encoder(encoder, str(tmp_path / "sam.pth")) is encoder
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, official[key]), key


def test_the_log_counts_the_tensors_and_names_the_file(
    encoder: SAMSliceEncoder, official: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "sam.pth"
    torch.save(official, path)
    load_sam_encoder(encoder, path)
    count = len(official) - 2
    assert f"{path}: {count} of {count} tensors loaded" in caplog.text
    assert f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()} (not one of the official files)" in caplog.text


def test_a_missing_file_is_an_error_with_its_path_and_the_download_command(encoder: SAMSliceEncoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sam3d download") as error:
        load_sam_encoder(encoder, tmp_path / "sam.pth")
    (file,) = read_large_files(ROOT / "large_files.yml")
    assert f"or fetch {file.url} by other means and put it at {tmp_path / 'sam.pth'}" in str(error.value)


@pytest.mark.parametrize(
    ("width", "name", "sha256"),
    [
        (1024, "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
        (1280, "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    ],
)
def test_a_missing_file_of_a_larger_variant_is_named_with_its_own_address_and_sum(
    tmp_path: Path, width: int, name: str, sha256: str
) -> None:
    encoder = SAMSliceEncoder({**NARROW, "embed_dim": width, "depth": 1, "global_attn_indexes": (0,)})
    with pytest.raises(FileNotFoundError) as error:
        load_sam_encoder(encoder, tmp_path / "sam_vit_b_01ec64.pth")
    place = tmp_path / name
    address = f"https://dl.fbaipublicfiles.com/segment_anything/{name}"
    assert f"Fetch {address} (sha256 {sha256}), put it at {place}, and give --encoder-weights {place};" in str(error.value)
    assert "sam3d download" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=rf"put it at {tmp_path}/mine\.pth, or give --encoder-weights PATH"):
        load_sam_encoder(encoder, tmp_path / "mine.pth")


def test_the_official_file_is_the_one_that_the_download_fetches() -> None:
    (file,) = read_large_files(ROOT / "large_files.yml")
    assert OFFICIAL_SHA256[file.sha256] == file.path.name


def loads(encoder: SAMSliceEncoder, path: Path, official: State, atol: float = 0) -> bool:
    load_sam_encoder(encoder, path)
    return all(torch.allclose(value, official[key], rtol=0, atol=atol) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "sam.", "model.", "module._orig_mod.", "model.sam."])
@pytest.mark.parametrize("whole", [True, False], ids=["SAM", "encoder alone"])
def test_known_prefixes_are_left_off_with_a_log_line(
    encoder: SAMSliceEncoder, official: State, tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str, whole: bool
) -> None:
    caplog.set_level(logging.INFO)
    state = official if whole else encoder_alone(official)
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "sam.pth")
    assert loads(encoder, tmp_path / "sam.pth", official)
    found = prefix + "image_encoder." * whole
    assert f"named '{found}*' where SAM's checkpoints have 'image_encoder.*'" in caplog.text
    assert "tensors loaded, sha256" in caplog.text


def test_a_file_of_the_encoder_alone_is_loaded(encoder: SAMSliceEncoder, official: State, tmp_path: Path) -> None:
    torch.save(encoder_alone(official), tmp_path / "sam.pth")
    assert loads(encoder, tmp_path / "sam.pth", official)


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_tensors_one_level_down_are_loaded_with_a_log_line(
    encoder: SAMSliceEncoder, official: State, tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    caplog.set_level(logging.INFO)
    torch.save({key: official, "epoch": 3}, tmp_path / "sam.pth")
    assert loads(encoder, tmp_path / "sam.pth", official)
    assert f"taking the tensors under '{key}' of '{key}', 'epoch'" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(encoder: SAMSliceEncoder, official: State, tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save({key: value.to(dtype) for key, value in official.items()}, tmp_path / "sam.pth")
    assert loads(encoder, tmp_path / "sam.pth", official, atol=0.01)
    assert {value.dtype for value in encoder.state_dict().values()} == {torch.float32}


def test_safetensors_are_read(encoder: SAMSliceEncoder, official: State, tmp_path: Path) -> None:
    path = tmp_path / "sam.safetensors"
    save_file(official, path)
    assert loads(encoder, path, official)
    path.write_bytes(path.read_bytes()[:-100])
    assert_refused(encoder, path, "cannot be read as safetensors")


def without_a_tensor(state: State) -> Any:
    return {key: value for key, value in state.items() if key != TABLE}


def with_a_surplus_tensor(state: State) -> Any:
    return {**state, "image_encoder.blocks.3.norm1.weight": torch.ones(32)}


def with_a_wrong_shape(state: State) -> Any:
    return {**state, TABLE: state[TABLE][1:]}


def with_nan(state: State) -> Any:
    state[TABLE][3, 5] = torch.nan
    return state


def with_infinity(state: State) -> Any:
    state[TABLE][3, 5] = -torch.inf
    return state


def with_a_number_for_a_tensor(state: State) -> Any:
    return {**state, TABLE: 1.0}


def encoder_alone(state: State) -> State:
    prefix = "image_encoder."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def with_an_unknown_prefix(state: State) -> Any:
    return {"backbone." + key: value for key, value in state.items()}


def part_of_it_with_a_prefix(state: State) -> Any:
    return {key if key == TABLE else "module." + key: value for key, value in state.items()}


def twice(state: State) -> Any:
    return {**state, **{"module." + key: value for key, value in state.items()}}


def two_nested(state: State) -> Any:
    return {"model": state, "state_dict": state}


def encoder_alone_and_more(state: State) -> Any:
    return {**encoder_alone(state), "head.weight": torch.ones(1)}


def of_a_larger_variant(state: State) -> Any:
    """As vit_l beside vit_b: more blocks, wider."""
    return {key: value.clone() for key, value in SAMSliceEncoder({**NARROW, "embed_dim": 48, "depth": 4}).state_dict().items()}


def of_a_wider_variant(state: State) -> Any:
    return dict(SAMSliceEncoder({**NARROW, "embed_dim": 48}).state_dict())


def as_integers(state: State) -> Any:
    return {key: (100 * value).to(torch.int8) for key, value in state.items()}


def too_large_for_single_precision(state: State) -> Any:
    return {key: value.double() * 1e60 for key, value in state.items()}


def nothing(state: State) -> Any:
    return {}


def with_a_number_for_a_name(state: State) -> Any:
    return dict(enumerate(state.values()))


def a_list(state: State) -> Any:
    return list(state.values())


def a_tensor(state: State) -> Any:
    return state[TABLE]


def assert_refused(encoder: SAMSliceEncoder, path: Path, reason: str) -> None:
    """By a ValueError that names the file, and before any parameter is changed."""
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=reason) as error:
        load_sam_encoder(encoder, path)
    assert str(path) in str(error.value)
    assert_close(dict(encoder.state_dict()), before, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_a_tensor, f"1 of its tensors are missing and 0 do not belong .*{TABLE}"),
        (with_a_surplus_tensor, r"0 of its tensors are missing and 1 do not belong .*image_encoder\.blocks\.3\.norm1"),
        (with_an_unknown_prefix, r"do not belong .*backbone\."),
        (part_of_it_with_a_prefix, r"1 of its tensors are missing .*module\.image_encoder\.blocks\.1\.attn\.rel_pos_h"),
        (twice, r"more than once, under 'image_encoder\.' and 'module\.image_encoder\.'"),
        (two_nested, "under model and under state_dict"),
        (encoder_alone_and_more, r"1 do not belong .*head\.weight"),
        (of_a_larger_variant, r"do not belong .*blocks\.3\..* of the same variant as encoder_variant"),
        (of_a_wider_variant, "has the shape .* of the same variant as encoder_variant"),
        (as_integers, r"has the type torch\.int8, the network needs torch\.float32"),
        (too_large_for_single_precision, "holds NaN or infinite"),
        (nothing, "are missing and 0 do not belong"),
        (with_a_number_for_a_name, "has the key 0"),
        (with_a_wrong_shape, rf"{TABLE} has the shape \(126, 16\), the network needs \(127, 16\)"),
        (with_nan, f"{TABLE} holds NaN"),
        (with_infinity, f"{TABLE} holds NaN or infinite"),
        (with_a_number_for_a_tensor, TABLE),
        (a_list, "must be a dictionary"),
        (a_tensor, "must be a dictionary"),
    ],
)
def test_wrong_content_is_refused(
    encoder: SAMSliceEncoder, official: State, tmp_path: Path, spoil: Callable[[State], Any], reason: str
) -> None:
    torch.save(spoil(official), tmp_path / "sam.pth")
    assert_refused(encoder, tmp_path / "sam.pth", reason)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(encoder: SAMSliceEncoder, official: State, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "sam.pth"
    torch.save(official, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert_refused(encoder, path, "damaged")


def test_a_flipped_bit_is_noticed(encoder: SAMSliceEncoder, official: State, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save(official, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert_refused(encoder, path, "damaged")


def test_a_text_file_is_refused(encoder: SAMSliceEncoder, tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    path.write_text("<html>404 Not Found</html>\n")
    assert_refused(encoder, path, "damaged")


class CreatesAFileWhenUnpickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_refused_and_not_run(encoder: SAMSliceEncoder, official: State, tmp_path: Path) -> None:
    path, proof = tmp_path / "sam.pth", tmp_path / "executed"
    torch.save({**official, "extra": CreatesAFileWhenUnpickled(proof)}, path, pickle_module=pickle)
    assert_refused(encoder, path, "more than weights")
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists()  # the file would have run its code


def test_random_weights_depend_on_the_seed_alone(encoder: SAMSliceEncoder) -> None:
    first = dict(load_sam_encoder(encoder, "random", seed=3).state_dict())
    torch.manual_seed(123)
    again = dict(load_sam_encoder(SAMSliceEncoder(NARROW, trainable=True), "random", seed=3).state_dict())
    other = load_sam_encoder(SAMSliceEncoder(NARROW), "random", seed=4).state_dict()
    assert_close(again, first, atol=0, rtol=0)
    assert not any(torch.equal(first[key], other[key]) for key in first)


def test_random_weights_leave_the_global_random_state_alone(encoder: SAMSliceEncoder) -> None:
    before = torch.get_rng_state()
    load_sam_encoder(encoder, "random", seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_weights_fill_every_table_and_bias(encoder: SAMSliceEncoder) -> None:
    """As ViTs start: normal with standard deviation 0.02, around 1 for the scales of normalisation layers."""
    for name, value in load_sam_encoder(encoder, "random").state_dict().items():
        assert (value != 0).all(), name
        is_scale = name.endswith(("norm1.weight", "norm2.weight", "neck.1.weight", "neck.3.weight"))
        assert value.mean().item() == pytest.approx(float(is_scale), abs=0.02), name
        assert value.std().item() == pytest.approx(0.02, rel=0.5), name


def test_random_weights_are_logged_as_a_warning(encoder: SAMSliceEncoder, caplog: pytest.LogCaptureFixture) -> None:
    load_sam_encoder(encoder, "random", seed=3)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "random (seed 3)" in record.getMessage()
    assert "NOT pretrained" in record.getMessage()
