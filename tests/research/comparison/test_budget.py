"""The same epochs, or the same time, for every network."""

from pathlib import Path

import pytest

from scripts.research.comparison.budget import PROBE_STEPS, Budget, read_pace, seconds_a_step, steps_options


def probe(first: float, others: float, batches: int = 80) -> dict[str, object]:
    warm_up = {"step_seconds": [30.0] + [9.0] * (PROBE_STEPS - 1)}
    return {"batches": batches, "epochs": [warm_up, {"step_seconds": [first] + [others] * (PROBE_STEPS - 1)}]}


def test_epochs_are_the_same_for_all_and_nothing_is_validated_before_the_end() -> None:
    options = Budget(max_epochs=7).options(None, "unet")
    assert (options["max_epochs"], options["val_interval"]) == (7, 7)
    assert "epoch_length" not in options


@pytest.mark.parametrize(("minutes", "seconds", "steps"), [(10, 1.0, 600), (10, 0.25, 2400), (1, 2.0, 30), (0.5, 100.0, 1)])
def test_minutes_are_filled_with_the_steps_that_fit(minutes: float, seconds: float, steps: int) -> None:
    options = Budget(minutes=minutes).options(probe(first=seconds, others=seconds), "unet")
    epochs, length = options["max_epochs"], options["epoch_length"]
    assert length <= 80  # so that no crop of an epoch comes twice
    assert abs(epochs * length - steps) <= epochs / 2
    assert options["val_interval"] == epochs


def test_warming_up_does_not_count_and_the_start_of_an_epoch_counts_once_an_epoch() -> None:
    assert seconds_a_step(probe(first=0.5, others=0.5)) == pytest.approx(0.5)
    assert seconds_a_step(probe(first=8.5, others=0.5)) == pytest.approx(0.5 + 8.0 / 80)
    assert seconds_a_step(probe(first=0.1, others=0.5)) == pytest.approx(0.5)  # its crop was read ahead


def test_a_probe_that_is_over_at_once_is_followed_by_one_that_lasts() -> None:
    assert Budget(minutes=3).longer_probe(probe(first=2.0, others=2.0)) is None
    assert Budget(minutes=3).longer_probe(probe(first=0.05, others=0.05)) == pytest.approx(100, abs=1)  # 5 s
    assert Budget(minutes=0.05).longer_probe(probe(first=0.025, others=0.025)) == pytest.approx(12, abs=1)  # a tenth of 3 s


def test_few_batches_do_not_cost_half_of_the_steps() -> None:
    options = steps_options(499, batches=2)
    assert options["max_epochs"] * options["epoch_length"] == 500


def test_every_plan_holds_a_step() -> None:
    assert steps_options(0, batches=80) == steps_options(1, batches=80)


def test_a_budget_is_one_thing() -> None:
    for wrong in ({}, {"max_epochs": 3, "minutes": 1.0}, {"max_epochs": 0}, {"minutes": -1.0}):
        with pytest.raises(ValueError, match="budget"):
            Budget(**wrong)


def test_a_training_that_strays_from_its_minutes_is_known() -> None:
    assert not Budget(minutes=2).is_missed_by(2.3)
    assert Budget(minutes=2).is_missed_by(1.4)
    assert Budget(minutes=2).is_missed_by(2.6)
    assert not Budget(max_epochs=2).is_missed_by(100)


def test_minutes_of_another_machine_are_the_steps_that_it_makes_in_them(tmp_path: Path) -> None:
    pace = tmp_path / "comparison.csv"
    pace.write_text("network,dice,step_seconds\nunet,0.8,0.5\nsam3d+cached,0.8,0.25\n")
    budget = Budget(minutes=2, pace=pace)
    fast = probe(first=0.01, others=0.01)
    assert budget.longer_probe(fast) is None
    for name, steps in (("unet", 240), ("sam3d+cached", 480)):
        options = budget.options(fast, name)
        assert options["max_epochs"] * options["epoch_length"] == steps
    assert not budget.is_missed_by(0.1)
    assert str(budget) == "2 min of training at the pace of comparison.csv"


def test_a_pace_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    pace = tmp_path / "comparison.csv"
    pace.write_text("network,step_seconds\nunet,0.5\n")
    with pytest.raises(ValueError, match=r"comparison.csv has no pace of vnet: .* it has unet"):
        read_pace(pace, "vnet")
    pace.write_text("nothing of the kind")
    with pytest.raises(ValueError, match="it has no network"):
        read_pace(pace, "unet")
    with pytest.raises(ValueError, match="give minutes with it"):
        Budget(max_epochs=2, pace=pace)
