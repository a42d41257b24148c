from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from drip_lightning.lit.callbacks.compilation import Compilation
from drip_lightning.lit.denoiser import Denoiser
from tests.networks import matting_batch, with_saved_vae


def _fit(folder: Path, *, compiled: bool, steps: int = 3, **more: Any) -> tuple[Trainer, Denoiser]:
    torch.manual_seed(0)
    stage = Denoiser(networks=with_saved_vae(folder / "vae"), optimizer=lambda p: torch.optim.Adam(p, lr=1e-3))
    batches = [matting_batch(2 * number, 2 * number + 1) for number in range(steps)]
    ckpt_path = more.pop("ckpt_path", None)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        callbacks=[Compilation("aot_eager" if compiled else None)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **more,
    )
    trainer.fit(stage, DataLoader(batches, batch_size=None), ckpt_path=ckpt_path)  # type: ignore[arg-type]
    return trainer, stage


@pytest.mark.slow
def test_a_compiled_run_trains_alike_and_the_plain_one_goes_on_from_it(tmp_path: Path) -> None:
    _, plain = _fit(tmp_path, compiled=False)
    _, compiled = _fit(tmp_path, compiled=True)
    assert compiled.joint_unet.unet._compiled_call_impl is not None
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict(), atol=2e-4, rtol=1e-3)

    first, _ = _fit(tmp_path, compiled=True, steps=2)
    first.save_checkpoint(tmp_path / "first.ckpt")
    _, resumed = _fit(tmp_path, compiled=False, ckpt_path=tmp_path / "first.ckpt")
    assert list(resumed.state_dict()) == list(compiled.state_dict()) == list(plain.state_dict())
    assert resumed.trainer.global_step == 3
