"""Files called dataset.json that are none, and entries that lead nowhere, twice to one place, or out of the folder."""

import json
import os
from pathlib import Path
from typing import Any

from .labels import LABEL
from .nifti import PLAIN, image, put

GOOD = {"image": "./images/a.nii.gz", "label": "./labels/a.nii.gz"}
OTHERS = [{"image": f"./images/{name}.nii.gz", "label": f"./labels/{name}.nii.gz"} for name in "bcd"]
COMMAND = "$__import__('os').system('touch pwned')"

FILES: dict[str, tuple[bytes, str]] = {  # what is in the file, and what the error says
    "empty": (b"", "must be JSON"),
    "cut": (json.dumps({"training": [GOOD, *OTHERS]}).encode()[:-20], "must be JSON"),
    "single_quotes": (b"{'training': []}", "must be JSON"),
    "yaml": (b"training:\n  - image: a.nii.gz\n", "must be JSON"),
    "not_utf8": (b'{"training": ["caf\xe9.nii.gz"]}', "must be JSON"),
    "utf16": (json.dumps({"training": [GOOD, *OTHERS]}).encode("utf-16"), "must be JSON"),
    "zeros": (bytes(100), "must be JSON"),
    "a_hundred_thousand_brackets": (b"[" * 100_000, "must be JSON"),
    "a_list": (json.dumps([GOOD, *OTHERS]).encode(), "must be a JSON object"),
    "a_number": (b"7", "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "no_lists": (b"{}", "must list cases under 'training'"),
    "other_words": (json.dumps({"train": [GOOD, *OTHERS]}).encode(), "must list cases under 'training'"),
    "empty_list": (b'{"training": []}', "must list cases under 'training'"),
    "an_object_for_a_list": (json.dumps({"training": {"a": GOOD}}).encode(), "must list cases under 'training'"),
    "a_word_for_a_list": (b'{"training": "images"}', "must list cases under 'training'"),
    "one_case": (json.dumps({"training": [GOOD]}).encode(), "validation list"),
    "two_lists": (b'{"training": [], "training": []}', "a key may be given once"),
    "two_names_of_a_value": (b'{"labels": {"1": "a", "1": "b"}, "training": []}', "a key may be given once"),
    "an_object_for_validation": (json.dumps({"training": [GOOD], "validation": {"a": 1}}).encode(), "under 'validation'"),
}

ENTRIES: dict[str, tuple[Any, str]] = {  # an entry of `training`, and the rule that it breaks
    "null": (None, "name its image"),
    "a_number": (7, "name its image"),
    "a_list": (["./images/e.nii.gz", "./labels/e.nii.gz"], "name its image"),
    "no_image": ({"label": "./labels/e.nii.gz"}, "name its image"),
    "an_empty_image": ({"image": "", "label": "./labels/e.nii.gz"}, "name its image"),
    "an_empty_list_of_images": ({"image": [], "label": "./labels/e.nii.gz"}, "name its image"),
    "wrong_keys": ({"img": "./images/e.nii.gz", "seg": "./labels/e.nii.gz"}, "name its image"),
    "no_label": ({"image": "./images/e.nii.gz"}, "name its label"),
    "a_label_null": ({"image": "./images/e.nii.gz", "label": None}, "name its label"),
    "an_image_alone": ("./images/e.nii.gz", "name its label"),
    "missing_image": ({"image": "./images/none.nii.gz", "label": "./labels/e.nii.gz"}, "must exist"),
    "missing_label": ({"image": "./images/e.nii.gz", "label": "./labels/none.nii.gz"}, "must exist"),
    "a_number_for_a_path": ({"image": 7, "label": "./labels/e.nii.gz"}, "given as paths"),
    "an_object_for_a_path": ({"image": {"path": "e"}, "label": "./labels/e.nii.gz"}, "given as paths"),
    "true_for_a_path": ({"image": "./images/e.nii.gz", "label": True}, "given as paths"),
    "a_number_in_a_list": ({"image": ["./images/e.nii.gz", 7], "label": "./labels/e.nii.gz"}, "given as paths"),
    "a_null_byte": ({"image": "./images/e.nii.gz\0", "label": "./labels/e.nii.gz"}, "given as paths"),
    "half_a_character": ({"image": "./images/\ud800.nii.gz", "label": "./labels/e.nii.gz"}, "given as paths"),
    "a_name_of_5000_letters": ({"image": "./images/" + 5000 * "e", "label": "./labels/e.nii.gz"}, "must exist"),
    "up": ({"image": "../outside/e.nii.gz", "label": "./labels/e.nii.gz"}, "must lie inside"),
    "up_and_down": ({"image": "images/../../outside/e.nii.gz", "label": "./labels/e.nii.gz"}, "must lie inside"),
    "label_up": ({"image": "./images/e.nii.gz", "label": "../outside/e.nii.gz"}, "must lie inside"),
    "passwords": ({"image": "/etc/passwd", "label": "./labels/e.nii.gz"}, "must lie inside"),
    "a_link_out": ({"image": "./images/link_out.nii.gz", "label": "./labels/e.nii.gz"}, "must lie inside"),
    "a_linked_folder": ({"image": "./linked/e.nii.gz", "label": "./labels/e.nii.gz"}, "must lie inside"),
    "a_link_to_itself": ({"image": "./images/itself.nii.gz", "label": "./labels/e.nii.gz"}, "must exist"),
    "home": ({"image": "~/e.nii.gz", "label": "./labels/e.nii.gz"}, "must exist"),
    "an_address": ({"image": "https://example.org/e.nii.gz", "label": "./labels/e.nii.gz"}, "must exist"),
    "an_expression": ({"image": COMMAND, "label": "./labels/e.nii.gz"}, "must exist"),
    "a_reference": ({"image": "@network", "label": "%labels"}, "must exist"),
    "its_own_label": ({"image": "./images/e.nii.gz", "label": "./images/e.nii.gz"}, "must differ"),
    "one_file_for_two_modalities": ({"image": 2 * ["./images/e.nii.gz"], "label": "./labels/e.nii.gz"}, "must differ"),
    "a_modality_of_another_case": (
        {"image": [f"./images/{n}.nii.gz" for n in "ea"], "label": "./labels/e.nii.gz"},
        "listed once",
    ),
    "a_label_of_validation": ({"image": "./images/e.nii.gz", "label": "./labels/c.nii.gz"}, "must not share labels"),
    "a_list_of_subjects": ({"image": "./images/e.nii.gz", "label": "./labels/e.nii.gz", "subject": [1]}, "text or number"),
    "annotated_for_nothing": ({"image": "./images/e.nii.gz", "label": "./labels/e.nii.gz", "annotated": []}, "must list names"),
    "annotated_a_word": ({"image": "./images/e.nii.gz", "label": "./labels/e.nii.gz", "annotated": "liver"}, "must list names"),
    "annotated_a_value": ({"image": "./images/e.nii.gz", "label": "./labels/e.nii.gz", "annotated": [1]}, "must list names"),
    "listed_twice": (GOOD, "listed once"),
    "listed_twice_in_other_words": ({"image": "images/../images/a.nii.gz", "label": "labels/a.nii.gz"}, "listed once"),
    "listed_twice_without_dot": ({"image": "images/a.nii.gz", "label": "labels/a.nii.gz"}, "listed once"),
}


def write_dataset(folder: Path, content: Any) -> Path:
    """The images a to e with their labels, files and links around them, and the dataset.json: bytes, or what becomes JSON."""
    for kind, data in (("images", PLAIN), ("labels", image(LABEL).to_bytes())):
        (folder / kind).mkdir(parents=True)
        for name in "abcde":  # the bytes of each are its own
            put(data + name.encode())(folder / kind / f"{name}.nii.gz")
    outside = folder.parent / "outside"
    outside.mkdir()
    put(PLAIN)(outside / "e.nii.gz")
    (folder / "images" / "link_out.nii.gz").symlink_to(outside / "e.nii.gz")
    (folder / "images" / "itself.nii.gz").symlink_to("itself.nii.gz")
    os.symlink(outside, folder / "linked")
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "dataset.json").write_bytes(data)
    return folder
