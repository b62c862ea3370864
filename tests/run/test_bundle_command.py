"""What a user typed -> words that fire, MONAI's parser and a shell give back as it was typed."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import fire
import pytest
from conftest import ROOT
from monai.bundle import ConfigParser
from ugly_words import UGLY

from scripts.run.bundle_command import bundle_words, read_setting, shell_line

ALPHABET = "ab1e.,:;#@%$!~-_=+*?/\\|&()[]{}<>'\"` \n\tä日\udcff"


def short(text: str) -> str:
    return ascii(text)[:30]


def arrives(options: dict[str, Any], configs: list[Path] | None = None) -> dict[str, Any]:
    """What a run is given for these options: through fire, as `monai.bundle run` is called, and through MONAI's parser."""
    seen: dict[str, Any] = {}

    def run(run_id: str, config_file: list[str], **override: Any) -> None:
        parser = ConfigParser({key.split("#")[0]: {} for key in override})
        parser.update(pairs={key: value for key, value in override.items() if value is not None})  # as MONAI does
        seen.update({"config_file": config_file, **{key: parser.get_parsed_content(key) for key in override}})

    words = bundle_words("training", configs or [Path("/train.json")], options)
    assert words[:4] == ["-m", "monai.bundle", "run", "training"]
    fire.Fire(run, command=words[3:])
    return seen


@pytest.mark.parametrize("text", UGLY, ids=short)
def test_a_path_arrives_as_it_was_typed_whatever_it_looks_like(text: str) -> None:
    path = Path("/data") / text
    seen = arrives({"output_dir": path, "input": Path(text), "network#weights": path}, [path, Path(text)])
    assert seen["output_dir"] == seen["network#weights"] == str(path)
    assert seen["input"] == str(Path(text))
    assert seen["config_file"] == [str(path), str(Path(text))]
    assert seen["bundle_root"] == str(ROOT)


@pytest.mark.parametrize("text", [text for text in UGLY if not text.startswith(("$", "@", "%"))], ids=short)
def test_a_name_arrives_as_it_was_typed(text: str) -> None:
    assert arrives({"name": text})["name"] == text


def test_any_string_of_odd_signs_arrives() -> None:
    generator = random.Random(0)
    texts = ["".join(generator.choices(ALPHABET, k=generator.randint(1, 12))) for _ in range(1000)]
    seen = arrives({f"x{i}": Path("/" + text) for i, text in enumerate(texts)})
    assert [seen[f"x{i}"] for i in range(len(texts))] == [str(Path("/" + text)) for text in texts]


@pytest.mark.parametrize("value", [2, -3, 1e-4, 0.5, True, False, None, [96, 96], [[]], {"a": "b", "c": [None, True]}])
def test_numbers_switches_lists_and_nothing_arrive_as_such(value: Any) -> None:
    seen = arrives({"value": value})["value"]
    assert (type(seen), seen) == (type(value), value)


def test_what_begins_with_a_dollar_at_or_percent_sign_has_monais_meaning() -> None:
    assert arrives({"a": 3, "b": "$@a + 1", "c": "@b"})["c"] == 4


@pytest.mark.parametrize("text", UGLY, ids=short)
def test_the_line_for_a_shell_holds_the_same_words_and_is_one_line(text: str) -> None:
    words = bundle_words("training", [Path("/a.json"), Path("/data") / text], {"input": Path("/data") / text})
    line = shell_line(words)
    assert line.startswith("python -m monai.bundle run training --config_file ")
    assert line.isprintable()
    printed = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout.decode()
    assert printed.split("\0")[1:-1] == words


def test_the_line_is_easy_to_read_where_nothing_is_odd() -> None:
    assert shell_line(bundle_words("training", [Path("/a b.json"), Path("/c.json")], {"input": Path("/data")})) == (
        f"python -m monai.bundle run training --config_file \"['/a b.json', '/c.json']\" --bundle_root {ROOT} --input /data"
    )


def test_several_processes_are_started_by_torchrun() -> None:
    words = bundle_words("training", [Path("/train.json")], {}, processes=2)
    assert words[:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle"]
    assert words[6:] == bundle_words("training", [Path("/train.json")], {})[2:]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("2", 2), ("1e-4", 1e-4), ("true", True), ("True", True), ("False", False), ("null", None), ("None", None)],
        *[("[96, 96]", [96, 96]), ('{"a": "b"}', {"a": "b"}), ('"2"', "2"), ("$@labels", "$@labels")],
        *[(text, text) for text in ("2024-03-01", "007", "a,b", "scans#2", "x=y", "NaN", "it's", "-", "sam_b.pth")],
    ],
)
def test_a_setting_is_json_or_a_string_as_it_stands(text: str, value: Any) -> None:
    read = read_setting(f"network_def#x={text}")
    assert read == ("network_def#x", value)
    assert type(read[1]) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch_size", "must be ID=VALUE"),
        ("=4", "must be ID=VALUE"),
        ("batch_size=", "must be ID=VALUE"),
        ("batch-size=4", "must be ID=VALUE"),
        ("keys=[image, label]", r'lists and dictionaries are JSON, such as \["image", "label"\]'),
        ("labels={0: liver}", "JSON"),
    ],
)
def test_what_is_no_setting_is_refused_with_an_example(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_setting(text)


def test_a_json_string_may_look_like_anything() -> None:
    assert read_setting(f"name={json.dumps('1e5')}") == ("name", "1e5")
