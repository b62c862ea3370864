"""A folder of one's own -> its dataset.json and a preset proposed from it.

find_cases -> describe_dataset (split_subjects, label_names) -> dataset.json -> measure_dataset -> propose_preset -> preset_yaml
"""
