"""The official checkpoint formats, every way in which a file can be wrong, and random weights on request."""

import hashlib
import logging
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NARROW, NARROW_TINY_VIT, ROOT
from safetensors.torch import save_file
from torch.testing import assert_close

from scripts.networks import MobileSAMSliceEncoder, SAMSliceEncoder
from scripts.weights import load_sam_encoder
from scripts.weights.download import read_large_files
from scripts.weights.encoder_files import BY_FILE, BY_NAME, BY_SHA256, ENCODER_FILES
from scripts.weights.sam_checkpoint import fill_at_random

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
    assert f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()} (not a file whose sum is known)" in caplog.text


def test_a_missing_file_is_an_error_with_its_path_and_the_download_command(encoder: SAMSliceEncoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sam3d download") as error:
        load_sam_encoder(encoder, tmp_path / "sam.pth")
    (file,) = read_large_files(ROOT / "large_files.yml")
    place = f"by other means and put it at {tmp_path / 'sam.pth'}"
    assert f"by `sam3d download`, or fetch {file.url} (sha256 {file.sha256}) {place}" in str(error.value)


def tiny(variant: str, **options: Any) -> SAMSliceEncoder:
    """Of a published width, by which its file is found, and a single block."""
    width = {"vit_b": 768, "vit_l": 1024, "vit_h": 1280}[variant]
    return SAMSliceEncoder({"embed_dim": width, "depth": 1, "num_heads": 2, "global_attn_indexes": (0,)}, **options)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: tiny("vit_l"), "vit_l"),
        (lambda: tiny("vit_h"), "vit_h"),
        (MobileSAMSliceEncoder, "mobile_sam"),
        (lambda: tiny("vit_b", image_size=256, adapters=True), "sam_med2d"),
        (lambda: tiny("vit_b", image_size=256), "ft_sam"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_missing_file_of_another_encoder_is_named_with_its_own_address_and_never_under_the_name_of_vit_b(
    tmp_path: Path, build: Callable[[], torch.nn.Module], name: str
) -> None:
    encoder, entry = build(), BY_NAME[name]
    place = tmp_path / entry.file
    get = (
        f"Download it once by `sam3d download {name}`, or fetch {entry.url} (sha256 {entry.sha256}) by other means"
        if entry.sha256
        else f"Fetch {entry.file} by hand from {entry.url}"
    )
    with pytest.raises(FileNotFoundError) as error:
        load_sam_encoder(encoder, tmp_path / "sam_vit_b_01ec64.pth")
    assert f"{get} and put it at {place}, and give --encoder-weights {place};" in str(error.value)
    for own in (tmp_path / "mine.pth", place):
        with pytest.raises(FileNotFoundError) as error:
            load_sam_encoder(encoder, own)
        assert f"{get} and put it at {own}, or give --encoder-weights PATH;" in str(error.value)


def test_a_missing_file_of_medsam_is_not_replaced_by_sam_s(tmp_path: Path) -> None:
    """Both are ViT-B, so the name that a config asks for decides."""
    with pytest.raises(FileNotFoundError) as error:
        load_sam_encoder(tiny("vit_b"), tmp_path / "medsam_vit_b.pth")
    assert "Fetch medsam_vit_b.pth by hand from https://zenodo.org/records/10689643" in str(error.value)
    assert "sam3d download" not in str(error.value)


def test_the_official_file_is_the_one_that_the_download_fetches() -> None:
    (file,) = read_large_files(ROOT / "large_files.yml")
    entry = BY_NAME["vit_b"]
    assert (entry.sha256, entry.file, entry.url) == (file.sha256, file.path.name, file.url)


def test_files_of_encoders_are_told_apart_by_name_file_and_sum() -> None:
    sums = [entry.sha256 for entry in ENCODER_FILES if entry.sha256]
    assert len(BY_NAME) == len(BY_FILE) == len(ENCODER_FILES)
    assert len(BY_SHA256) == len(sums) == 8
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in sums)
    assert all(entry.url.startswith("https://") for entry in ENCODER_FILES)
    assert all(entry.url.endswith(f"/{entry.file}") for entry in ENCODER_FILES if entry.sha256)


@pytest.mark.parametrize(
    ("encoder", "name"),
    [("vit_b", "vit_b"), ("vit_l", "vit_l"), ("vit_h", "vit_h"), ("vit_t", "mobile_sam")],
)
def test_the_published_variants_are_known_by_their_tensors(encoder: str, name: str) -> None:
    with torch.device("meta"):
        state = (MobileSAMSliceEncoder if encoder == "vit_t" else SAMSliceEncoder)(encoder).state_dict()
    assert next(entry for entry in ENCODER_FILES if entry.fits(state)).name == name


def mobile_sam_file(state: State) -> State:
    """The layout of mobile_sam.pt: statistics and counters of its normalisation, a classifier, and SAM's other parts."""
    return {
        **state,
        "image_encoder.norm_head.weight": torch.ones(24),
        "image_encoder.norm_head.bias": torch.zeros(24),
        "image_encoder.head.weight": torch.randn(1000, 24),
        "image_encoder.head.bias": torch.zeros(1000),
        "mask_decoder.iou_token.weight": torch.randn(1, 256),
    }


@pytest.mark.parametrize("prefix", ["", "module."])
def test_mobile_sam_s_file_is_loaded_bit_by_bit_without_its_classifier(
    narrow_mobile_encoder: MobileSAMSliceEncoder, tmp_path: Path, prefix: str
) -> None:
    state = narrow_mobile_encoder.state_dict()
    state["image_encoder.patch_embed.seq.0.bn.num_batches_tracked"] = torch.tensor(5005)
    torch.save({prefix + key: value for key, value in mobile_sam_file(state).items()}, tmp_path / "mobile_sam.pt")
    encoder = load_sam_encoder(MobileSAMSliceEncoder(NARROW_TINY_VIT), tmp_path / "mobile_sam.pt")
    assert_close(dict(encoder.state_dict()), dict(state), atol=0, rtol=0)
    volume = torch.rand(1, 1, 32, 48, 2)
    assert torch.equal(encoder(volume), narrow_mobile_encoder(volume))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda state: state.pop("image_encoder.patch_embed.seq.2.bn.running_var"),
            r"tensors are missing .*running_var",
        ),
        (lambda state: state.update({"image_encoder.header.weight": torch.ones(1)}), r"1 do not belong .*header\.weight"),
        (lambda state: state["image_encoder.patch_embed.seq.2.bn.running_mean"].fill_(torch.nan), "running_mean holds NaN"),
    ],
)
def test_a_wrong_mobile_sam_file_is_refused(
    narrow_mobile_encoder: MobileSAMSliceEncoder, tmp_path: Path, spoil: Callable[[State], Any], reason: str
) -> None:
    state = mobile_sam_file(narrow_mobile_encoder.state_dict())
    spoil(state)
    torch.save(state, tmp_path / "mobile_sam.pt")
    assert_refused(MobileSAMSliceEncoder(NARROW_TINY_VIT), tmp_path / "mobile_sam.pt", reason)


@pytest.mark.parametrize("adapters", [True, False], ids=["SAM-Med2D", "FT-SAM"])
def test_sam_med2d_s_file_is_loaded_bit_by_bit(tmp_path: Path, adapters: bool) -> None:
    """Under `model`, beside the state of its optimizer, as its training code saves it; FT-SAM's has no adapters."""
    original = SAMSliceEncoder(NARROW, image_size=256, adapters=adapters)
    fill_at_random(original, seed=0)
    model = {**original.state_dict(), "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": torch.randn(2, 128)}
    torch.save({"model": model, "optimizer": {"state": {}, "param_groups": []}}, tmp_path / "sam-med2d_b.pth")
    encoder = load_sam_encoder(SAMSliceEncoder(NARROW, image_size=256, adapters=adapters), tmp_path / "sam-med2d_b.pth")
    assert_close(dict(encoder.state_dict()), dict(original.state_dict()), atol=0, rtol=0)


def test_a_file_of_another_encoder_is_refused_with_the_page_that_names_their_overlays(
    encoder: SAMSliceEncoder, narrow_mobile_encoder: MobileSAMSliceEncoder, official: State, tmp_path: Path
) -> None:
    torch.save(mobile_sam_file(narrow_mobile_encoder.state_dict()), tmp_path / "mobile_sam.pt")
    assert_refused(encoder, tmp_path / "mobile_sam.pt", r"those of other encoders need their overlay \(docs/encoders\.md\)")
    torch.save(official, tmp_path / "sam.pth")
    assert_refused(narrow_mobile_encoder, tmp_path / "sam.pth", "those of other encoders need their overlay")
    med2d = SAMSliceEncoder(NARROW, image_size=256, adapters=True)
    torch.save({"model": dict(med2d.state_dict())}, tmp_path / "sam-med2d_b.pth")
    assert_refused(encoder, tmp_path / "sam-med2d_b.pth", "those of other encoders need their overlay")


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


def assert_refused(encoder: torch.nn.Module, path: Path, reason: str) -> None:
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


def test_random_weights_fill_the_statistics_of_batch_normalisation_too() -> None:
    first, again, other = (MobileSAMSliceEncoder(NARROW_TINY_VIT) for _ in range(3))
    for encoder, seed in ((first, 3), (again, 3), (other, 4)):
        fill_at_random(encoder, seed)
    assert_close(dict(again.state_dict()), dict(first.state_dict()), atol=0, rtol=0)
    statistics = {name: value for name, value in first.named_buffers() if value.is_floating_point()}
    assert all((value != float(name.endswith("var"))).all() for name, value in statistics.items())
    assert all((value > 0).all() for name, value in statistics.items() if name.endswith("running_var"))
    assert not any(torch.equal(dict(other.named_buffers())[name], value) for name, value in statistics.items())


def test_random_weights_are_logged_as_a_warning(encoder: SAMSliceEncoder, caplog: pytest.LogCaptureFixture) -> None:
    load_sam_encoder(encoder, "random", seed=3)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "random (seed 3)" in record.getMessage()
    assert "NOT pretrained" in record.getMessage()
