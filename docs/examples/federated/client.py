"""The global network -> one epoch on this site's own cases -> the network again: a site of NVFlare's Client API."""

import argparse
from pathlib import Path

import nvflare.client as flare
from monai.bundle import ConfigWorkflow

from scripts.run.config_files import BUNDLE_ROOT, CONFIGS, network_configs, overlay_config, preset_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset_dir", required=True, help="this site's images, labels and dataset.json, which stay here")
    parser.add_argument("--output_dir", required=True, help="for the cache and the list of what was checked")
    parser.add_argument("--preset", required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="in a round, of --batch_size crops each")
    parser.add_argument("--seed", type=int, default=0)
    site = parser.parse_args()

    files = [CONFIGS / "train.json", *network_configs(site.network), overlay_config("cached"), preset_config(site.preset)]
    workflow = ConfigWorkflow(
        workflow_type="train",
        config_file=[str(file) for file in files],
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=str(CONFIGS / "logging.conf"),
        bundle_root=str(BUNDLE_ROOT),
        dataset_dir=site.dataset_dir,
        output_dir=site.output_dir,
        val_fraction=0.0,  # every case trains; the learning rate falls over all rounds
        max_epochs=site.rounds,
        epoch_length=site.steps,
        seed=site.seed,
    )
    workflow.initialize()
    Path(site.output_dir).mkdir(parents=True, exist_ok=True)
    network, trainer = workflow.network_def, workflow.trainer

    flare.init()
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        network.load_state_dict(received.params)  # refused if this site has another slice encoder
        trainer.state.max_epochs = trainer.state.epoch + 1
        trainer.run()
        trained = {name: tensor.cpu() for name, tensor in network.state_dict().items()}  # without the frozen encoder
        loss = trainer.state.metrics["train_loss"]
        flare.send(flare.FLModel(params=trained, metrics={"train_loss": loss}, meta={"NUM_STEPS_CURRENT_ROUND": site.steps}))


if __name__ == "__main__":
    main()
