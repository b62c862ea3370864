"""Training, segmenting and evaluating as a user does, from a folder of their own."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from runs.conftest import NARROW_CONFIG, Command, assert_lies_on_its_image

from scripts.files.checkpoint_file import read_about, read_checkpoint, write_checkpoint
from scripts.run.config_files import read_config
from scripts.run.settings import CLASSES, Changes, network_settings
from scripts.tools.checkpoint_config import checkpoint_configs, doubt_reversed_slices
from scripts.tools.evaluate import MEASURED_WITH

from .conftest import Shell, Typed

NARROW_LABELS = NARROW_CONFIG.read_text().splitlines(keepends=True)[1]
ODD = "it's 1e5, #2"  # the folder of a run


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.yaml").write_text(NARROW_CONFIG.read_text() + "val_fraction: 0.4\n")
    return folder


@pytest.fixture(scope="module")
def run(shell: Shell, phantoms: Path, own_folder: Path) -> subprocess.CompletedProcess[str]:
    return shell(f"sam3d train {phantoms} --preset mine --set max_epochs=1 --output {shlex.quote(ODD)}", cwd=own_folder)


@pytest.fixture(scope="module")
def checkpoint(run: subprocess.CompletedProcess[str], own_folder: Path) -> Path:
    return own_folder / ODD / "model.pt"


def printed_line(output: str) -> list[str]:
    """The words of the line that a command stands for, which comes first."""
    words = shlex.split(output.splitlines()[0])
    assert words[:4] == ["python", "-m", "monai.bundle", "run"]
    return words


def test_a_run_says_first_what_it_stands_for_and_last_how_to_go_on(
    run: subprocess.CompletedProcess[str], own_folder: Path, phantoms: Path
) -> None:
    words = printed_line(run.stdout)
    assert words[4:6] == ["training", "--config_file"]
    assert words[6] == str([str(ROOT / "configs" / "train.json"), str(own_folder / "mine.yaml")])
    assert (own_folder / ODD / "model.pt").exists()
    checkpoint = f"--checkpoint {shlex.quote(f'{ODD}/model.pt')}"
    assert run.stdout.splitlines()[-2:] == [
        f"    sam3d evaluate {phantoms} {checkpoint}",
        f"    sam3d segment {phantoms / 'dataset.json'} {checkpoint} --output masks",
    ]


def test_monais_words_about_words_do_not_reach_the_user(run: subprocess.CompletedProcess[str]) -> None:
    said = run.stdout + run.stderr
    assert "INFO epoch 1 of 1" in said
    assert "parsing config_file" not in said
    assert "Not all config files are in" not in said


def test_what_it_says_at_the_end_can_be_copied(run: subprocess.CompletedProcess[str], own_folder: Path, warm: Shell) -> None:
    evaluate, segment = run.stdout.splitlines()[-2:]
    assert warm(evaluate, cwd=own_folder).stdout.splitlines()[-4:] == [
        f"means: {ODD}/evaluation/metrics.json",
        f"of each case and class: {ODD}/evaluation/metrics.csv",
        f"picture: {ODD}/evaluation/overlays.png",
        f"report: {ODD}/evaluation/report.html",
    ]
    assert (own_folder / ODD / "evaluation" / "overlays.png").is_file()
    assert warm(segment, cwd=own_folder).stdout.splitlines()[-3:] == [
        "masks: masks",
        "what became of each image: masks/report.json",
        "report: masks/report.html",
    ]
    entries = json.loads((own_folder / "masks" / "report.json").read_text())
    assert len(entries) == 2
    for entry in entries:
        assert_lies_on_its_image(entry)


def test_the_checkpoint_alone_gives_what_its_preset_named_gives(
    checkpoint: Path, bundle_run: Command, own_folder: Path, phantoms: Path, tmp_path: Path, warm: Shell
) -> None:
    warm(f"sam3d evaluate {phantoms} --checkpoint model.pt --output {tmp_path}/alone", cwd=checkpoint.parent)
    bundle_run(
        "evaluating",
        ["train.json", "evaluate.json"],
        last=[own_folder / "mine.yaml"],
        dataset_dir=phantoms,
        checkpoint=copy(checkpoint, tmp_path),
        output_dir=tmp_path / "named",
    )
    for name in ("metrics.csv", "metrics.json"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "named" / name).read_bytes()
    for mask in (tmp_path / "named" / "masks").glob("*.nii.gz"):
        np.testing.assert_array_equal(*(nib.load(tmp_path / part / "masks" / mask.name).dataobj for part in ("alone", "named")))


def copy(checkpoint: Path, folder: Path) -> Path:
    """To a path that `monai.bundle run` takes as it is."""
    (folder / "model.pt").write_bytes(checkpoint.read_bytes())
    return folder / "model.pt"


def test_the_line_of_a_dry_run_does_in_any_folder_what_the_command_does(
    checkpoint: Path, own_folder: Path, phantoms: Path, tmp_path: Path, shell: Shell
) -> None:
    options = f"--preset mine --set max_epochs=1 --output {shlex.quote(f'again {ODD}')}"
    line = shell(f"sam3d train {phantoms} {options} --dry-run", cwd=own_folder).stdout
    assert line.count("\n") == 1
    assert not (own_folder / f"again {ODD}").exists()
    shell(line, cwd=tmp_path)
    first, second = (torch.load(path, weights_only=True) for path in (checkpoint, own_folder / f"again {ODD}" / "model.pt"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_that_fails_is_one_sentence_and_exit_code_1(warm: Shell, phantoms: Path, own_folder: Path) -> None:
    result = warm(f"sam3d train {phantoms} --preset mine --set max_epoch=1 --output new", cwd=own_folder, code=1)
    assert "'max_epoch' is no option of this bundle and no id of its configs; did you mean max_epochs" in result.stderr
    assert "Traceback" not in result.stderr
    assert "next:" not in result.stdout


def test_options_reach_the_run_by_their_ids(
    phantoms: Path, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text("network_def: {}\n")
    words = printed_line(
        typed(
            *(
                "train",
                phantoms,
                "--preset",
                "phantoms",
                "--network",
                tmp_path / "net.yaml",
                "--overlay",
                "joint_dice",
                "--cached",
                "--tracking",
                "mlflow",
            ),
            *("--init-from", "gone.pt"),  # it is not read, since the run is resumed
            *("--cache-dir", "memory", "--resume", "--skip-bad", "--encoder-weights", "random", "--max-epochs", "3"),
            *("--set", "learning_rate=1e-4", "--set", "network_def#channels=[4, 8]", "--dry-run"),
        )
    )
    names = ("train.json", "net.yaml", "joint_dice.yaml", "cached.yaml", "mlflow.yaml", "phantoms.yaml")
    assert re.findall(r"[\w.]+(?=')", words[6]) == list(names)
    options = dict(zip(words[7::2], words[8::2], strict=True))
    assert options == {
        "--bundle_root": str(ROOT),
        "--dataset_dir": str(phantoms),
        "--output_dir": str(tmp_path / "runs" / "phantoms"),
        "--resume": "True",
        "--init_from": str(tmp_path / "gone.pt"),
        "--encoder_weights": "random",
        "--max_epochs": "3",
        "--skip_bad": "True",
        "--cache_dir": "memory",
        "--learning_rate": "0.0001",
        "--network_def#channels": "[4, 8]",
    }


def test_a_run_starts_from_a_trained_network_of_other_classes_and_modalities(
    run: subprocess.CompletedProcess[str], warm: Shell, phantoms: Path, own_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(phantoms, tmp_path, dirs_exist_ok=True)
    lists = json.loads((tmp_path / "dataset.json").read_text())
    for case in (*lists["training"], *lists["validation"]):
        image = nib.load(tmp_path / case["image"])
        second = case["image"].replace(".nii", "_second.nii")
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::-1] * 2, image.affine), tmp_path / second)
        case["image"] = [case["image"], second]
    lists["labels"] = names = {"0": "background", "1": "tumour", "2": "liver", "3": "vessel"}
    (tmp_path / "dataset.json").write_text(json.dumps(lists))
    preset = f"{NARROW_CONFIG.read_text()}labels: {json.dumps(names)}\nmodalities: 2\n".replace(NARROW_LABELS, "")
    (tmp_path / "other.yaml").write_text(preset)
    words = f"--preset other --max-epochs 1 --output more --init-from {shlex.quote(str(own_folder / ODD / 'model.pt'))}"
    result = warm(f"sam3d train . --cached {words}", cwd=tmp_path)
    said = "7 of 8 tensors, 3 rows of the heads by class name (background, liver, vessel); fresh: class tumour, decoder"
    assert said in result.stdout + result.stderr
    assert (tmp_path / "more" / "model.pt").exists()


def test_several_checkpoints_segment_and_evaluate_as_one_network(
    checkpoint: Path, phantoms: Path, warm: Shell, own_folder: Path, tmp_path: Path
) -> None:
    state, about = read_checkpoint(checkpoint), read_about(checkpoint)
    assert about is not None
    other = tmp_path / "other.pt"
    write_checkpoint(other, {name: value.flip(0) if "heads" in name else value for name, value in state.items()}, about)
    words = shlex.join(["--checkpoint", str(checkpoint), "--checkpoint", str(other)])
    words += " --tta depth --probabilities --uncertainty"
    warm(f"sam3d segment {phantoms / 'images' / 'phantom_006.nii.gz'} {words} --output {tmp_path}/masks", cwd=own_folder)
    record = json.loads((tmp_path / "masks" / "phantom_006_seg.json").read_text())
    assert [file["file"] for file in record["checkpoint"]] == [str(checkpoint), str(other)]
    warm(f"sam3d evaluate {phantoms} {words} --part test --output {tmp_path}/measured", cwd=own_folder)
    assert json.loads((tmp_path / "measured" / "metrics.json").read_text())["cases"] == 2
    files = [tmp_path / folder / "phantom_006_seg.nii.gz" for folder in ("masks", "measured/masks")]
    np.testing.assert_array_equal(*(nib.load(file).dataobj for file in files))
    classes = ("background", "liver", "kidney", "vessel")
    maps = [f"phantom_006_{name}.nii.gz" for name in (*(f"probability_{c}" for c in classes), "entropy", "mutual_information")]
    assert [*record["maps"]] == maps
    for name in maps:
        here, there = (nib.load(file.with_name(name)) for file in files)
        np.testing.assert_array_equal(here.get_fdata(), there.get_fdata())
        np.testing.assert_array_equal(here.affine, nib.load(files[0]).affine)


@pytest.mark.parametrize(
    ("about", "tta", "is_doubted"),
    [
        ({"augmentation": [{"_target_": "RandAffined"}]}, "depth", True),
        ({"augmentation": [{"_target_": "RandAffined"}]}, "full", True),
        ({"augmentation": [{"_target_": "RandAffined"}]}, "plane", False),
        ({"augmentation": [{"_target_": "RandAffined"}]}, None, False),
        ({"augmentation": [{"_target_": "RandFlipd", "spatial_axis": 2}]}, "depth", False),
        ({"draw_embeddings": {"flip_prob": 0.5}}, "depth", False),
        ({}, "depth", False),  # who knows
    ],
)
def test_a_network_that_never_saw_slices_in_reverse_order_is_doubted_with_them(
    about: dict[str, object], tta: str | None, is_doubted: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path / "model.pt", {}, about)
    doubt_reversed_slices([tmp_path / "model.pt"], [about], tta)
    said = capsys.readouterr().err
    assert (f"{tmp_path / 'model.pt'} was trained without them" in said) == is_doubted
    assert ("take --tta plane" in said) == is_doubted


def test_an_evaluation_of_several_checkpoints_has_a_folder_of_its_own(phantoms: Path, typed: Typed, tmp_path: Path) -> None:
    words = [word for name in "ab" for word in ("--checkpoint", tmp_path / f"{name}.pt")]
    for file in words[1::2]:
        Path(file).touch()
    said = typed("evaluate", phantoms, *words, fails=True)
    assert "several checkpoints have no folder of their own" in said
    assert {path.name for path in tmp_path.iterdir()} == {"a.pt", "b.pt"}


def test_options_of_segmenting_reach_the_run_by_their_ids(
    checkpoint: Path, phantoms: Path, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = printed_line(
        typed(
            *("segment", phantoms, "--checkpoint", copy(checkpoint, tmp_path), "--whole", "--memory", "1.5", "--dicom-seg"),
            *("--tta", "full", "--probabilities", "--uncertainty", "--preset", "phantoms", "--dry-run"),
        )
    )
    assert re.findall(r"[\w.]+(?=')", words[6]) == ["inference.json", "preset.json", "dicom_seg.yaml", "phantoms.yaml"]
    assert dict(zip(words[7::2], words[8::2], strict=True)) == {
        "--bundle_root": str(ROOT),
        "--input": str(phantoms),
        "--checkpoint": str(tmp_path / "model.pt"),
        "--output_dir": str(tmp_path / "masks"),
        "--tta": "full",
        "--probabilities": "True",
        "--uncertainty": "True",
        "--inferer#mode": "whole",
        "--inferer#memory": "1.5",
    }


def test_a_checkpoint_hands_on_what_its_network_and_its_measures_need(
    checkpoint: Path, phantoms: Path, typed: Typed, tmp_path: Path
) -> None:
    about = {**(read_about(checkpoint) or {}), "seed": 5, "transformer_weights": "random"}
    about |= {"my_rate": 3}  # of an overlay for training alone
    about["network_def"] = {"_target_": "scripts.networks.SAM3D", "weights": "@transformer_weights"}
    write_checkpoint(tmp_path / "model.pt", {}, about)
    typed("evaluate", phantoms, "--checkpoint", tmp_path / "model.pt", "--dry-run")
    config = json.loads((tmp_path / "evaluation" / "preset.json").read_text())
    assert config["network_def"] == about["network_def"]
    assert config["transformer_weights"] == "random"
    assert (config["seed"], config["val_fraction"], config["nsd_unit"]) == (5, 0.4, "voxel")
    assert {"train", "optimizer", "max_epochs", "output_dir", "my_rate"}.isdisjoint(config)


@pytest.mark.parametrize(
    ("expression", "kept"),
    [("$@models_dir + '/mobile_sam.pt'", True), ("$'/a/folder/of/mine/' + 'sam.pth'", False)],
)
def test_a_checkpoint_hands_on_where_an_overlay_of_the_bundle_looks_for_its_encoder(
    checkpoint: Path, phantoms: Path, typed: Typed, tmp_path: Path, expression: str, kept: bool
) -> None:
    """Another expression is code, which a file that may be somebody else's does not get to run."""
    about = {**(read_about(checkpoint) or {}), "encoder_weights": expression}
    write_checkpoint(tmp_path / "model.pt", {}, about)
    typed("segment", phantoms, "--checkpoint", tmp_path / "model.pt", "--output", tmp_path / "masks", "--dry-run")
    config = json.loads((tmp_path / "masks" / "preset.json").read_text())
    assert config.get("encoder_weights") == (expression if kept else None)


def test_all_that_changes_the_figures_of_an_evaluation_is_taken_from_the_checkpoint() -> None:
    known = json.loads((ROOT / "configs" / "train.json").read_text()).keys()
    assert {key for key, changes in CLASSES.items() if changes is Changes.FIGURES} & known <= set(MEASURED_WITH)


@pytest.mark.parametrize("name", ["preset.json", "report.json"])
def test_files_of_others_in_the_output_folder_stay_and_nothing_is_put_beside_them(
    warm: Shell, phantoms: Path, checkpoint: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"my": "own"}')
    words = shlex.join(["sam3d", "segment", str(phantoms), "--checkpoint", str(checkpoint), "--output", "out"])
    result = warm(words, cwd=tmp_path, code=1)
    assert f"{name} is there and was not written by this bundle" in result.stderr
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {name: '{"my": "own"}'}


REFUSED = {  # a command that is refused at some stage -> what it says
    "sam3d segment DATA --checkpoint CHECKPOINT --set max_epoch=1 --output x/y": "'max_epoch' is no option",
    "sam3d segment DATA --checkpoint CHECKPOINT --network unet --output x/y": "knows its network; leave --network out",
    "sam3d segment DATA --checkpoint CHECKPOINT --set encoder_seed=5 --output x/y": "trained on the encoder with sha256",
    "sam3d segment EMPTY --checkpoint CHECKPOINT --output x/y": "must hold images",
    "sam3d evaluate DATA --checkpoint CHECKPOINT --set encoder_seed=5 --output x/y": "trained on the encoder with sha256",
    "sam3d evaluate EMPTY --checkpoint CHECKPOINT --output x/y": "dataset.json",
    "sam3d train DATA --preset mine --overlay no_encoder --output x/y": "give --network detail+no_encoder",
    "sam3d train DATA --preset mine --encoder-weights mine.yaml --output x/y": "mine.yaml",
    "sam3d train DATA --preset mine --init-from mine.yaml --output x/y": "mine.yaml cannot be read as a checkpoint",
    "sam3d train EMPTY --preset mine --output x/y": "dataset.json",
    "sam3d compare DATA --preset mine --networks sam3d,sam3d --minutes 1 --output x/y": "would share a folder",
    "sam3d preset EMPTY --output x/mine.yaml": "dataset.json",
    "sam3d dataset EMPTY": "nothing was written",
    "sam3d cache x": "no folder x",
}


@pytest.mark.parametrize(("line", "said"), list(REFUSED.items()))
def test_a_run_that_is_refused_leaves_nothing(
    line: str, said: str, checkpoint: Path, phantoms: Path, tmp_path: Path, warm: Shell
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.yaml").write_text(NARROW_CONFIG.read_text())
    if "train EMPTY" in line or "evaluate EMPTY" in line or "preset EMPTY" in line:
        (tmp_path / "empty" / "dataset.json").write_text('{"training": []}')
    before = sorted(tmp_path.rglob("*"))
    for word, path in {"DATA": phantoms, "EMPTY": tmp_path / "empty", "CHECKPOINT": checkpoint}.items():
        line = line.replace(word, shlex.quote(str(path)))
    result = warm(line, cwd=tmp_path, code=None)
    assert result.returncode in (1, 2)
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_refused_evaluation_leaves_an_earlier_one_as_it_was(
    checkpoint: Path, phantoms: Path, tmp_path: Path, warm: Shell
) -> None:
    words = shlex.join(["sam3d", "evaluate", str(phantoms), "--checkpoint", str(checkpoint), "--output", "done"])
    warm(words, cwd=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    warm(f"{words} --set roi_depth=7 --encoder-weights {phantoms}/dataset.json", cwd=tmp_path, code=1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_checkpoint_that_says_nothing_needs_a_preset(phantoms: Path, typed: Typed, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "foreign.pt")
    words = ["segment", phantoms, "--checkpoint", tmp_path / "foreign.pt", "--output", tmp_path / "masks", "--dry-run"]
    assert "does not say which preset it was trained with; name that preset by --preset" in typed(*words, fails=True)
    line = printed_line(typed(*words, "--preset", "phantoms"))
    assert re.findall(r"[\w.]+(?=')", line[6]) == ["inference.json", "phantoms.yaml"]
    assert not (tmp_path / "masks").exists()


def test_gpus_are_processes_of_torchrun(phantoms: Path, typed: Typed) -> None:
    words = shlex.split(typed("train", phantoms, "--preset", "phantoms", "--gpus", "2", "--dry-run"))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    assert words[:9] == ["python", *launcher, "-m", "monai.bundle", "run", "training"]
    assert re.findall(r"[\w.]+(?=')", words[10]) == ["train.json", "multi_gpu.yaml", "phantoms.yaml"]


def test_more_gpus_than_there_are_are_refused(phantoms: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    words = ["train", phantoms, "--preset", "phantoms", "--gpus", "2"]
    assert "Invalid value for --gpus: torch sees 1 on this machine, not 2" in typed(*words, fails=True)
    typed(*words, "--dry-run")  # for another machine


@pytest.mark.slow
def test_two_processes_train_on_a_cpu(shell: Shell, phantoms: Path, own_folder: Path) -> None:
    result = shell(f"sam3d train {phantoms} --preset mine --gpus 2 --set batch_size=1 --output two", cwd=own_folder)
    assert torch.load(own_folder / "two" / "last.pt", weights_only=True)["epoch_length"] == 2  # of four cases
    assert "next:" in result.stdout
    failing = shell(f"sam3d train {phantoms} --preset mine --gpus 2 --output two", cwd=own_folder, code=1)
    assert "already holds a training run" in failing.stderr
    assert "Traceback" not in failing.stderr


@pytest.mark.slow
def test_an_interruption_ends_with_a_sentence_and_130(shell: Shell, phantoms: Path, own_folder: Path) -> None:
    wait = "until [ -e long/last.pt ]; do sleep 0.1; done"
    line = f"set -m; sam3d train {phantoms} --preset mine --max-epochs 10000 --output long & {wait}; kill -INT %1; wait %1"
    result = shell(line, cwd=own_folder, code=128 + signal.SIGINT)
    assert "\ninterrupted: what was written is whole; the same command goes on, a training run with --resume\n" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_module_does_without_installing(phantoms: Path) -> None:
    command = [sys.executable, "-m", "scripts", "train", str(phantoms), "--preset", "phantoms", "--dry-run"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert printed_line(result.stdout)[4] == "training"


@pytest.mark.parametrize(
    "code",
    [
        {"intensity": {"_target_": "os.system", "command": "touch pwned"}},
        {"intensity": {"_target_": "Compose", "transforms": [{"_target_": "monai.bundle.run"}]}},
        {"roi_depth": "$__import__('os').system('touch pwned')"},
        {"network_def": {"_target_": "scripts.networks.SAM3D", "_requires_": "$import os"}},
        {"labels": "%/etc/passwd"},
    ],
    ids=["component", "inside another", "expression", "import", "another file"],
)
def test_a_checkpoint_is_data_and_runs_no_code(
    checkpoint: Path, phantoms: Path, typed: Typed, tmp_path: Path, code: dict[str, object]
) -> None:
    write_checkpoint(tmp_path / "model.pt", {}, {**(read_about(checkpoint) or {}), **code})
    words = ["segment", phantoms, "--checkpoint", tmp_path / "model.pt", "--output", tmp_path / "masks", "--dry-run"]
    assert "which is no part of this bundle; name that preset by --preset" in typed(*words, fails=True)
    assert re.findall(r"[\w.]+(?=')", printed_line(typed(*words, "--preset", "phantoms"))[6]) == [
        "inference.json",
        "phantoms.yaml",
    ]
    assert not (tmp_path / "masks").exists()


def test_a_checkpoint_of_every_overlay_that_changes_the_network_is_known(tmp_path: Path) -> None:
    changing = [
        file
        for file in (ROOT / "configs" / "overlays").glob("*.yaml")
        if any(key.startswith("network_def") for key in read_config(file))
    ]
    assert {"mobile_sam", "sam2", "dinov2", "lora"} <= {file.stem for file in changing}
    for file in changing:
        parser = ConfigParser()
        parser.read_config([str(ROOT / "configs" / "train.json"), str(file)])
        write_checkpoint(tmp_path / "model.pt", {}, network_settings(parser.get()))
        with checkpoint_configs(tmp_path / "model.pt", tmp_path / file.stem, None, None) as written:
            assert written == [tmp_path / file.stem / "preset.json"]


def test_what_monai_could_not_read_is_said_in_a_sentence(warm: Shell, phantoms: Path, own_folder: Path) -> None:
    """More of that: tests/run/test_merge_configs.py."""
    (own_folder / "deep.yaml").write_text("loss#loss#x#y: 1")
    line = f"sam3d train {phantoms} --preset mine --overlay deep.yaml --output refused"
    result = warm(line, cwd=own_folder, code=1)
    assert f"ERROR: {own_folder}/deep.yaml: loss#loss#x#y leads to no place of the configuration" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not (own_folder / "refused").exists()
