"""The three stages at the smallest size that still has every part, through the command line."""

from pathlib import Path

from drip_lightning.cli.fit import run

CONFIGS = Path(__file__).parents[1] / "configs"
STAGES = ("autoencoder", "denoiser", "transparency")
NETWORKS = "--model.init_args.networks.init_args."
SCHEDULE = (
    '--model.init_args.lr_scheduler={"class_path": "torch.optim.lr_scheduler.LinearLR", '
    '"init_args": {"start_factor": 1.0, "end_factor": 0.05, "total_iters": 220}}'
)
"""Not tied to `max_steps`, so that a run that ends early is the beginning of a longer one."""
QUIET = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")


def tiny_arguments(stage: str, data: Path, runs: Path, *more: str, verb: str = "fit") -> list[str]:
    """A verb's arguments for two steps of a stage on 32 pixels; the runs live in `runs/STAGE`, `more` comes last."""
    arguments = [verb, f"--config={CONFIGS / stage}.yaml", f"--config={CONFIGS / 'scale' / 'tiny.yaml'}"]
    arguments += [f"--data.{split}={data / split}" for split in ("foregrounds", "backgrounds", "evaluation")]
    arguments += ["--data.image_size=32", "--data.batch_size=2", "--data.num_workers=0", "--trainer.accelerator=cpu"]
    arguments += ["--trainer.max_steps=2", "--trainer.val_check_interval=2", SCHEDULE, *QUIET]
    arguments += [f"{NETWORKS}vae_channels=[4,4,4,4]", f"{NETWORKS}norm_groups=4", f"{NETWORKS}prompt_channels=4"]
    arguments += [f"{NETWORKS}unet_channels=[8,8]", f"{NETWORKS}attention_head_width=4"]
    arguments += [f"{NETWORKS}transparency_channels=[4,4,4,4]", f"{NETWORKS}vae={runs / 'autoencoder' / 'pretrained'}"]
    arguments += [] if stage == "autoencoder" else ["--model.init_args.sampling_steps=2"]
    arguments += [f"--model.init_args.denoiser={runs / 'denoiser'}"] if stage == "transparency" else []
    return [*arguments, f"--trainer.default_root_dir={runs / stage}", *more]


def train_all_stages(data: Path, runs: Path) -> Path:
    for stage in STAGES:
        run(tiny_arguments(stage, data, runs))
    return runs
