"""Folders of cases that may not leave their sites -> one network, by federated averaging with NVFlare.

    python docs/examples/federated/job.py SITE_A SITE_B --preset hippocampus --output runs/federated

simulates the sites as processes of this machine. In OUTPUT then lies model.pt, for `sam3d evaluate` and `sam3d segment`.
"""

import argparse
import shlex
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism
from nvflare.app_opt.pt.file_model_persistor import PTFileModelPersistor
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv
from nvflare.recipe.utils import set_per_site_config

from scripts.files.checkpoint_file import write_checkpoint
from scripts.run.config_files import CONFIGS, network_configs, preset_config
from scripts.run.settings import read_settings

CLIENT = Path(__file__).with_name("client.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sites", nargs="+", type=Path, help="for each site a folder with images, labels and dataset.json")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--network", default="detail+no_encoder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="of every site in a round")
    parser.add_argument("--seed", type=int, default=0)
    job = parser.parse_args()
    output = job.output.resolve()
    output.mkdir(parents=True)

    files = [str(file) for file in (CONFIGS / "train.json", *network_configs(job.network), preset_config(job.preset))]
    set_determinism(job.seed)
    first = ConfigParser(ConfigParser.load_config_files(files)).get_parsed_content("network_def").state_dict()
    told = [f"--max_epochs={job.rounds}", f"--epoch_length={job.steps}", f"--seed={job.seed}", "--val_fraction=0"]
    about = read_settings(["monai.bundle", "run", "training", "--config_file", str(files), *told])  # for `sam3d evaluate`
    write_checkpoint(output / "first.pt", first, about)

    shared = [
        "--preset",
        job.preset,
        "--network",
        job.network,
        "--rounds",
        job.rounds,
        "--steps",
        job.steps,
        "--seed",
        job.seed,
    ]
    recipe = FedAvgRecipe(
        name="sam3d",
        model_persistor=PTFileModelPersistor(source_ckpt_file_full_name=str(output / "first.pt")),
        min_clients=len(job.sites),
        num_rounds=job.rounds,
        train_script=str(CLIENT),
        launch_external_process=True,
        shutdown_timeout=60.0,  # seconds, for a site to end by itself
        key_metric="train_loss",
        key_metric_mode="min",
    )
    names = {f"site-{number}": folder.resolve() for number, folder in enumerate(job.sites, 1)}
    own = {name: ["--dataset_dir", folder, "--output_dir", output / name, *shared] for name, folder in names.items()}
    set_per_site_config(recipe, {name: {"train_args": shlex.join(map(str, words))} for name, words in own.items()})
    recipe.execute(SimEnv(clients=[*names], workspace_root=str(output / "nvflare")))

    [averaged] = (output / "nvflare").rglob("FL_global_model.pt")
    state = torch.load(averaged, weights_only=True)["model"]
    write_checkpoint(output / "model.pt", {name: state[name].to(first[name].dtype) for name in first}, about)


if __name__ == "__main__":
    main()
