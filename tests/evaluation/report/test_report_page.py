"""report.html as a file: what it shows, what it escapes, what it weighs, and what becomes of a run that it cannot show."""

import base64
import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from scripts.evaluation.report.run_files import curves_of

from .conftest import HOSTILE, Evaluated, Reading, entry, evaluate, segmentation_page, volumes, write_case


def test_it_asks_no_network_and_forbids_itself_to(hostile_page: Path) -> None:
    reading = Reading(hostile_page)
    sources = [attributes[key] for _, attributes in reading.tags for key in ("src", "href", "xlink:href") if key in attributes]
    assert len(sources) > 50
    assert [source for source in sources if not str(source).startswith(("data:image/", "#"))] == []
    assert [tag for tag, _ in reading.tags if tag in ("link", "iframe", "object", "embed", "base", "form")] == []
    assert "@import" not in hostile_page.read_text()
    assert not re.search(r"https?:", re.sub(r"data:image/[^\"]*", "", hostile_page.read_text()))
    (policy,) = [found["content"] for _, found in reading.tags if found.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'; img-src data:;")


def test_its_one_script_is_the_one_that_it_names_by_its_hash(hostile_page: Path) -> None:
    reading = Reading(hostile_page)
    kinds = [attributes.get("type") for tag, attributes in reading.tags if tag == "script"]
    assert kinds == ["application/json", None]
    (policy,) = [found["content"] for _, found in reading.tags if found.get("http-equiv") == "Content-Security-Policy"]
    text = hostile_page.read_text()
    script = text[text.rindex("<script>") + len("<script>") : text.rindex("</script>")]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in str(policy)


def test_names_of_cases_are_text_wherever_they_stand(hostile_page: Path) -> None:
    reading = Reading(hostile_page)
    for name in HOSTILE:
        assert name in reading.text
    assert {case["name"] for case in json.loads(reading.scripts[0])["cases"]} & {*HOSTILE}
    assert {name for _, attributes in reading.tags for name in attributes if name.startswith("on")} == set()
    assert [found for tag, found in reading.tags if tag == "img" and not str(found["src"]).startswith("data:image/")] == []
    assert "{{ 7 * 7 }}" in reading.text


def test_every_id_is_there_once_and_every_link_leads_to_one(hostile_page: Path) -> None:
    reading = Reading(hostile_page)
    assert len(reading.ids()) == len(set(reading.ids()))
    targets = {str(found[key])[1:] for _, found in reading.tags for key in ("href", "xlink:href") if key in found}
    assert targets <= set(reading.ids())


def test_the_figures_are_those_of_the_metrics(evaluated: Evaluated) -> None:
    page, summary = evaluated.page.read_text(), evaluated.metrics.summary()
    assert f"<strong>{summary['mean_dice']:.3f}</strong>" in page
    low, high = summary["mean_dice_interval"]
    assert f"95 % interval {low:.3f} to {high:.3f}" in page
    for row in evaluated.metrics.rows:
        assert f'data-value="{row["dice"]}"' in page
        assert f'data-value="{row["hd95_mm"]}"' in page
    counts = summary["confusion"]["liver"]
    assert f"{counts['liver']} voxels of liver are called liver" in page
    assert f"{counts['liver'] / sum(counts.values()):.1%}" in page


def test_of_forty_cases_the_worst_the_median_and_the_best_have_pictures(evaluated: Evaluated) -> None:
    reading = Reading(evaluated.page)
    shown = [case["name"] for case in json.loads(reading.scripts[0])["cases"]]
    dice = evaluated.metrics.mean_dice_of()
    order = sorted(dice, key=lambda case: dice[case])
    assert shown == [*order[:2], *order[19:21], *order[-2:]]
    assert evaluated.page.stat().st_size < 25e6
    assert len([name for name in reading.ids() if name.startswith("case-")]) == 40


def test_sections_without_content_are_absent(tmp_path: Path) -> None:
    page = segmentation_page(tmp_path, [entry(write_case(tmp_path, "a"))])
    ids = Reading(page).ids()
    assert {"examples", "viewer", "cases", "provenance"} <= set(ids)
    assert {"summary", "problems", "plots", "confusion", "curves", "calibration", "quality"}.isdisjoint(ids)


def test_a_segmentation_shows_volumes_and_those_in_doubt_first(tmp_path: Path) -> None:
    files = [write_case(tmp_path, f"scan{k}", k, spacing=(1, 2, 3)) for k in range(8)]
    entries = [entry(one) for one in files]
    entries[7] |= {"rule": "the mask should not be empty", "reason": "it is <b>empty</b>"}
    entries.append(entry({"image": "/data/broken.nii.gz"}, "refused", "the file must be whole", "it is empty; copy it again"))
    page = segmentation_page(tmp_path, entries)
    reading = Reading(page)
    shown = [case["name"] for case in json.loads(reading.scripts[0])["cases"]]
    assert shown == ["scan7", *(f"scan{k}" for k in range(5))]
    assert "it is <b>empty</b>" in reading.text
    assert "/data/broken.nii.gz" in reading.text
    shown = np.array([float(value) for value in re.findall('class="number" data-value="([^"]+)"', page.read_text())])
    due = [[(volumes(number)["mask"] == value).sum() * 6 / 1000 for value in (1, 4)] for number in range(8)]
    np.testing.assert_allclose(shown.reshape(8, 2), due)  # ml


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("random, seed 3", True),
        ({"file": "sam.pth", "sha256": "a" * 64}, False),
        (None, False),
    ],
)
def test_a_random_encoder_has_a_banner(tmp_path: Path, weights: Any, said: bool) -> None:
    files = write_case(tmp_path, "a")
    record = {"software": "SAM-3D", "encoder_weights": weights, "checkpoint": [{"file": "<i>a.pt", "sha256": "b" * 64}]}
    Path(files["mask"].replace(".nii.gz", ".json")).write_text(json.dumps(record))
    reading = Reading(segmentation_page(tmp_path, [entry(files)]))
    assert ("The encoder has random weights" in reading.text) == said
    assert ("random, seed 3" in reading.text) == said
    assert f"<i>a.pt (sha256 {'b' * 64})" in reading.text


def test_learning_curves_are_those_of_the_run_and_a_resumed_epoch_counts_once(tmp_path: Path) -> None:
    for part, steps in enumerate((range(1, 4), range(3, 6))):
        with SummaryWriter(str(tmp_path / "run" / "events")) as writer:
            for step in steps:
                writer.add_scalar("train_loss", 1 / step, step)
                writer.add_scalar("val_dice/liver", 0.5 + part / 10, step)
                writer.add_scalar("learning_rate", 0.1, step)
    curves = curves_of(str(tmp_path / "run" / "model.pt"))
    assert set(curves) == {"Training loss", "Validation Dice"}
    steps, values = curves["Validation Dice"]["liver"]
    assert (list(steps), list(values)) == ([1, 2, 3, 4, 5], pytest.approx([0.5, 0.5, 0.6, 0.6, 0.6]))
    page = segmentation_page(tmp_path, [entry(write_case(tmp_path, "a"))], checkpoint=str(tmp_path / "run" / "model.pt"))
    assert "curves" in Reading(page).ids()
    several = curves_of([str(tmp_path / "run" / "model.pt"), str(tmp_path / "other" / "model.pt")])
    assert set(several["Validation Dice"]) == {"run: liver"}


def test_calibration_and_predicted_quality_are_shown_where_they_are(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "calibration.png")
    (tmp_path / "calibration.json").write_text(json.dumps({"temperature": 1.25, "ece": {"before": [0.08]}, "curve": [1, 2]}))
    (tmp_path / "quality.csv").write_text('case,predicted_dice,mask\n"<u>a",0.875,m.nii\nb,,\n')
    reading = Reading(segmentation_page(tmp_path, [entry(write_case(tmp_path, "a"))]))
    assert {"calibration", "quality"} <= set(reading.ids())
    for words in ("temperature", "1.250", "ece before", "0.080", "predicted dice", "<u>a", "0.875"):
        assert words in reading.text


def test_a_damaged_file_costs_its_part_of_the_page_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = write_case(tmp_path, "good"), write_case(tmp_path, "bad")
    Path(bad["image"]).write_bytes(b"no image")
    (tmp_path / "calibration.json").write_text("{")
    reading = Reading(segmentation_page(tmp_path, [entry(good), entry(bad)]))
    assert [case["name"] for case in json.loads(reading.scripts[0])["cases"]] == ["good"]
    assert "Could not be shown on this page" in reading.text
    assert "calibration: JSONDecodeError" in reading.text
    assert "bad: left out of the report" in caplog.text


def test_a_page_that_cannot_be_drawn_costs_a_warning_and_no_masks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        page = segmentation_page(tmp_path, [{"no": "entry"}])
    assert "report.html was not drawn, masks and tables are whole: KeyError" in caplog.text
    assert not page.exists()


def test_pages_of_others_are_refused_and_own_ones_made_anew(tmp_path: Path) -> None:
    page = segmentation_page(tmp_path, [entry(write_case(tmp_path, "a"))])
    before = page.read_bytes()
    segmentation_page(tmp_path, [])
    assert page.read_bytes() != before
    page.write_text("<!doctype html><title>my thesis</title>")
    with pytest.raises(FileExistsError, match=r"report\.html is there and was not written by this bundle"):
        segmentation_page(tmp_path, [])
    assert "my thesis" in page.read_text()


def test_regions_are_measured_and_labels_shown(tmp_path: Path) -> None:
    reading = Reading(evaluate(tmp_path, ["a"], regions={"whole": [1, 4], "$core_1$": [4]}).page)
    assert "confusion" not in reading.ids()
    assert reading.text.count("$core_1$") > 5  # tables and plots, where it is no mathematics
    assert [label["name"] for label in json.loads(reading.scripts[0])["labels"]] == ["liver", "kidney & co"]


def test_a_page_without_cases_says_so(tmp_path: Path) -> None:
    reading = Reading(evaluate(tmp_path, []).page)
    assert "0 cases" in reading.text
    assert "viewer" not in reading.ids()
