import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.description import config_to_choice
from drip_lightning.lit.objectives import draw_diffusion
from drip_lightning.lit.stage import Stage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.attention import IndependentAttention
from drip_lightning.nn.noise import GaussianNoise
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.pretrained import FromScratch
from drip_lightning.nn.switcher import PosEncSwitcher
from drip_lightning.ops.domains import split_domains, stack_domains
from drip_lightning.ops.losses import laplacian_loss
from drip_lightning.ops.randomness import sample_generator
from tests.networks import NETWORKS, fit, matting_batch, shake, with_saved_vae

SCHEDULES = {
    "epsilon": NoiseSchedule(),
    "v_prediction": NoiseSchedule(prediction_type="v_prediction", zero_terminal_snr=True),
    "sample": NoiseSchedule(prediction_type="sample", zero_terminal_snr=True),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> FromScratch:
    return with_saved_vae(tmp_path_factory.mktemp("autoencoder"))


def built(stage: Stage) -> Stage:
    torch.manual_seed(0)
    stage.configure_model()
    return stage.train()


@pytest.fixture(scope="module")
def run(networks, tmp_path_factory) -> tuple[Path, Denoiser]:
    """A denoiser trained for two steps, and its run folder."""
    folder = tmp_path_factory.mktemp("runs") / "denoiser"
    stage = Denoiser(
        networks=networks,
        attention=IndependentAttention(),
        noise=GaussianNoise(),
        switcher=PosEncSwitcher(frequencies=3),
        noise_schedule=SCHEDULES["v_prediction"],
        sampling_steps=2,
        seed=7,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    )
    trainer = fit(stage, [matting_batch(0, 1), matting_batch(2, 3)], folder)
    trainer.save_checkpoint(folder / "checkpoints" / "last.ckpt")
    return folder, stage


def draw(stage: Denoiser, numbers: list[int], latents: Tensor) -> tuple[Tensor, Tensor]:
    """The timesteps and noise of samples by their numbers."""
    generators = [sample_generator(stage.seed, number, "diffusion") for number in numbers]
    return draw_diffusion(stage.noise, stage.noise_schedule, latents, generators)


def gradients_after_two_steps(stage: Stage, *batches) -> dict[str, Tensor]:
    """Each trainable parameter's gradient in the step after the first."""
    optimizer = torch.optim.SGD((p for p in stage.parameters() if p.requires_grad), lr=1e-2)
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        stage.training_step(batch, 0).backward()
        optimizer.step()
    return {name: p.grad for name, p in stage.named_parameters() if p.requires_grad}


class TestDenoiser:
    @pytest.mark.parametrize("prediction_type", SCHEDULES)
    def test_loss_equals_equation_5(self, networks, prediction_type) -> None:
        """Latents, forward process, target and squared error written out, with the timesteps and noises drawn."""
        stage = built(Denoiser(networks=networks, noise_schedule=SCHEDULES[prediction_type]))
        shake(stage.joint_unet.unet.class_embedding)
        batch = matting_batch(3, 4, 5)
        loss = stage.training_step(batch, 0)

        vae, scale = stage.codec.vae, stage.codec.vae.config["scaling_factor"]
        latent = {
            name: scale * vae.encode(2 * batch[name].repeat(1, 3 // batch[name].shape[1], 1, 1) - 1).latent_dist.mean
            for name in ("image", "trimap", "foreground", "alpha")
        }
        timestep, noise = draw(stage, batch["number"], torch.cat([latent["foreground"], latent["alpha"]]))
        expected = torch.zeros(())
        alphas_cumprod = SCHEDULES[prediction_type].alphas_cumprod()[timestep].view(-1, 1, 1, 1)
        noisy = [alphas_cumprod.sqrt() * latent[name] + (1 - alphas_cumprod).sqrt() * own
                 for name, own in zip(("foreground", "alpha"), noise.chunk(2), strict=True)]  # fmt: skip
        answers = stage.joint_unet(torch.cat(noisy), torch.cat([latent["image"], latent["trimap"]], dim=1), timestep)
        for name, own, answer in zip(("foreground", "alpha"), noise.chunk(2), answers.chunk(2), strict=True):
            target = {
                "epsilon": own,
                "sample": latent[name],
                "v_prediction": alphas_cumprod.sqrt() * own - (1 - alphas_cumprod).sqrt() * latent[name],
            }[prediction_type]
            expected = expected + (answer - target).square().mean()
        torch.testing.assert_close(loss, expected)

    def test_a_pair_shares_its_timestep_and_not_its_noise(self, networks) -> None:
        stage = built(Denoiser(networks=networks))
        seen: list[Tensor] = []
        stage.joint_unet.unet.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
        stage.training_step(matting_batch(0, 1, 2), 0)
        (timesteps,) = seen
        assert torch.equal(*split_domains(timesteps))
        assert len(set(timesteps.tolist())) == 3

        numbers = list(range(64))
        timestep, noise = draw(stage, numbers, torch.zeros(128, 4, 8, 8))
        foreground, alpha = split_domains(noise)
        assert abs(torch.corrcoef(torch.stack([foreground.flatten(), alpha.flatten()]))[0, 1]) < 0.05
        assert 350 < timestep.float().mean() < 650
        assert 0 <= timestep.min() < 100
        assert 900 < timestep.max() < 1000

    def test_draws_depend_on_the_sample_and_the_seed_alone(self, networks) -> None:
        stage = Denoiser(networks=networks, seed=1)
        timesteps, noise = draw(stage, [5, 6, 7], torch.zeros(6, 4, 4, 4))
        alone = draw(stage, [6], torch.zeros(2, 4, 4, 4))
        assert timesteps[1] == alone[0]
        assert torch.equal(noise[[1, 4]], alone[1])
        other = draw(Denoiser(networks=networks, seed=2), [6], torch.zeros(2, 4, 4, 4))
        assert not torch.equal(alone[1], other[1])

    def test_coarse_noise_follows_each_samples_own_timestep(self, networks) -> None:
        """Early timesteps' noise is white; late timesteps' neighbours are correlated."""
        stage = Denoiser(networks=networks)
        numbers = list(range(48))
        timesteps, noise = draw(stage, numbers, torch.zeros(96, 4, 24, 24))
        foreground, _ = split_domains(noise)
        left, right = foreground[..., :-1].flatten(1), foreground[..., 1:].flatten(1)
        correlation = torch.nn.functional.cosine_similarity(left, right)
        assert correlation[timesteps < 100].abs().max() < 0.1
        assert correlation[timesteps > 900].min() > 0.1

    def test_gradient_reaches_every_trainable_parameter_by_the_second_step(self, networks) -> None:
        stage = built(Denoiser(networks=networks))
        grads = gradients_after_two_steps(stage, matting_batch(0, 1), matting_batch(2, 3))
        assert [name for name, grad in grads.items() if grad is None or not grad.abs().sum()] == []
        assert all(name.startswith("joint_unet.unet.") for name in grads)

    def test_the_optimizer_has_the_trainable_parameters_alone(self, networks) -> None:
        stage = built(Denoiser(networks=networks))
        optimizer = stage.configure_optimizers()
        given = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        assert given == {id(parameter) for parameter in stage.joint_unet.parameters()}

    def test_training_leaves_the_autoencoder_as_it_was(self, run, networks) -> None:
        _, stage = run
        frozen = networks.trained_vae().state_dict()
        torch.testing.assert_close(stage.codec.vae.state_dict(), frozen, rtol=0, atol=0)


class TestCheckpoint:
    def test_round_trip(self, run) -> None:
        folder, stage = run
        loaded = Denoiser.from_checkpoint(folder / "checkpoints" / "last.ckpt")
        torch.testing.assert_close(loaded.state_dict(), stage.state_dict(), rtol=0, atol=0)
        assert loaded.as_config() == stage.as_config()
        assert (loaded.seed, loaded.sampling_steps, loaded.attention) == (7, 2, IndependentAttention())
        assert not any(module.training for module in loaded.modules())
        assert not any(parameter.requires_grad for parameter in loaded.parameters())

    def test_the_loaded_stage_mattes_as_the_trained_one(self, run) -> None:
        folder, stage = run
        batch = matting_batch(8)
        ours, loaded = (one.matte(batch, one.sampler) for one in (stage.eval(), Denoiser.from_checkpoint(folder)))
        torch.testing.assert_close(ours.alpha, loaded.alpha, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.foreground, loaded.foreground, atol=1e-5, rtol=0)

    def test_holds_trained_weights_and_plain_values_alone(self, run) -> None:
        folder, stage = run
        checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        names = set(checkpoint["state_dict"])
        assert names == {name for name in stage.state_dict() if not name.startswith("codec.")}
        assert {name.split(".")[0] for name in names} == {"joint_unet"}
        assert checkpoint["drip"]["class_path"] == "Denoiser"

    def test_training_goes_on_from_it(self, run, tmp_path) -> None:
        """Frozen weights are not in the file, and loading is strict nevertheless."""
        folder, stage = run
        path = folder / "checkpoints" / "last.ckpt"
        config = stage.as_config()
        again = config_to_choice(config, Denoiser)
        trainer = fit(again, [matting_batch(4), matting_batch(5), matting_batch(6)], tmp_path, ckpt_path=path)
        assert trainer.global_step > 2

    def test_is_found_in_a_run_folder_the_newest_of_several(self, run, tmp_path) -> None:
        folder, _ = run
        moved = Path(shutil.copytree(folder, tmp_path / "run"))
        older = moved / "checkpoints" / "last.ckpt"
        newer = torch.load(older, weights_only=True)
        assert newer["drip"]["init_args"]["sampling_steps"] != 7
        newer["drip"]["init_args"]["sampling_steps"] = 7
        torch.save(newer, moved / "checkpoints" / "last-v1.ckpt")
        later = older.stat().st_mtime + 10
        os.utime(moved / "checkpoints" / "last-v1.ckpt", (later, later))
        assert Denoiser.from_checkpoint(moved).sampling_steps == 7

    def test_a_moved_run_is_found_beside_its_autoencoder(self, tmp_path, monkeypatch) -> None:
        """`runs/autoencoder` was relative to where training ran; the tree moves and the working folder changes."""
        monkeypatch.chdir(tmp_path)
        vae = with_saved_vae(Path("here/runs/autoencoder"))
        monkeypatch.chdir("here")
        stage = Denoiser(networks=replace(vae, vae="runs/autoencoder"))
        fit(stage, [matting_batch(0)], Path("runs/denoiser")).save_checkpoint("runs/denoiser/last.ckpt")
        monkeypatch.chdir(tmp_path)
        shutil.move("here", "there")
        loaded = Denoiser.from_checkpoint("there/runs/denoiser")
        assert loaded.networks.vae == str(tmp_path / "there/runs/autoencoder")
        torch.testing.assert_close(loaded.state_dict(), stage.state_dict(), rtol=0, atol=0)

    def test_arguments_can_be_changed_on_loading(self, run) -> None:
        folder, _ = run
        assert Denoiser.from_checkpoint(folder, sampling_steps=5).sampling_steps == 5

    @pytest.mark.parametrize(
        ("prepare", "message"),
        [
            (lambda path: None, "no checkpoint at"),
            (lambda path: path.mkdir(), "no checkpoint in"),
            (lambda path: path.write_bytes(b""), "damaged, or not a checkpoint"),
            (lambda path: path.write_bytes(b"not a checkpoint\n" * 9), "damaged, or not a checkpoint"),
            (lambda path: torch.save({"state_dict": {}}, path), "was not written by drip"),
            (lambda path: torch.save([1, 2], path), "was not written by drip"),
            (lambda path: torch.save({"drip": {"format": 99}}, path), "has format 99, this version reads 1 to 3"),
        ],
        ids=["missing", "empty folder", "empty file", "text", "foreign", "foreign list", "newer"],
    )
    def test_what_is_no_checkpoint_is_told_in_one_line(self, prepare, message, tmp_path) -> None:
        path = tmp_path / "last.ckpt"
        prepare(path)
        with pytest.raises(InputError, match=message) as error:
            Denoiser.from_checkpoint(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
    def test_a_truncated_file_is_told_in_one_line(self, run, tmp_path, share) -> None:
        content = (run[0] / "checkpoints" / "last.ckpt").read_bytes()
        path = tmp_path / "cut.ckpt"
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match=f"cannot read checkpoint {path}: damaged") as error:
            Denoiser.from_checkpoint(path)
        assert "\n" not in str(error.value)

    def test_code_in_a_file_is_not_run(self, tmp_path) -> None:
        path = tmp_path / "evil.ckpt"
        torch.save({"drip": _Evil(str(tmp_path / "proof"))}, path)
        with pytest.raises(InputError, match="damaged, or not a checkpoint"):
            Denoiser.from_checkpoint(path)
        assert not (tmp_path / "proof").exists()

    def test_another_stage_is_told_in_one_line(self, run) -> None:
        for other in (Autoencoder, TransparencyDecoder):
            with pytest.raises(InputError, match=f"is of the stage Denoiser, expected {other.__name__}") as error:
                other.from_checkpoint(run[0])
            assert "\n" not in str(error.value)

    def test_a_description_that_does_not_fit_is_told_in_one_line(self, run, tmp_path) -> None:
        checkpoint = torch.load(run[0] / "checkpoints" / "last.ckpt", weights_only=True)
        checkpoint["drip"]["init_args"]["colour"] = "blue"
        torch.save(checkpoint, tmp_path / "odd.ckpt")
        with pytest.raises(InputError, match=r"cannot build drip_lightning\.lit\.denoiser\.Denoiser") as error:
            Denoiser.from_checkpoint(tmp_path / "odd.ckpt")
        assert "\n" not in str(error.value)


class _Evil:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


class TestTransparencyDecoder:
    @pytest.fixture
    def stage(self, run) -> TransparencyDecoder:
        return built(TransparencyDecoder(denoiser=str(run[0]), networks=NETWORKS, sampling_steps=2))

    def test_training_leaves_the_denoiser_bit_equal_and_takes_1_to_10_steps(self, stage, run, monkeypatch) -> None:
        before = Denoiser.from_checkpoint(run[0]).state_dict()
        start = {name: value.clone() for name, value in stage.latent_decoder.state_dict().items()}
        taken: list[int] = []
        sample = type(stage.denoiser_sampler).sample

        def spy(sampler, condition, *, steps, generators):
            taken.extend(steps)
            return sample(sampler, condition, steps=steps, generators=generators)

        monkeypatch.setattr(type(stage.denoiser_sampler), "sample", spy)
        fit(stage, [matting_batch(*range(place, place + 24)) for place in (0, 24, 48)])
        assert set(taken) == set(range(1, 11))
        after = {name: value for name, value in stage.state_dict().items() if name in before}
        assert set(after) == set(before)
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        assert any(not torch.equal(start[name], value) for name, value in stage.latent_decoder.state_dict().items())

    def test_sampled_latents_do_not_depend_on_the_batch(self, stage) -> None:
        together = stage.sample_latents(matting_batch(3, 4, 5, 6))
        alone = stage.sample_latents(matting_batch(5))
        torch.testing.assert_close(together[[2, 6]], alone, atol=1e-4, rtol=1e-4)
        assert (together[[3, 7]] - alone).abs().max() > 0.1

    def test_starts_from_what_the_denoiser_alone_gives(self, stage, run) -> None:
        batch = matting_batch(1, 2)
        plain = stage.matte(batch, stage.denoiser_sampler)
        whole = stage.matte(batch, stage.sampler)
        assert torch.equal(plain.alpha, whole.alpha)
        assert torch.equal(plain.foreground, whole.foreground)

    def test_loss_is_the_matting_loss_of_the_decoded_latents(self, stage) -> None:
        batch = matting_batch(1, 2)
        foreground, alpha = stage.codec.decode(stage.sample_latents(batch))  # the decoder's change starts at zero
        expected = stage.loss(
            foreground=foreground,
            alpha=alpha,
            true_foreground=batch["foreground"],
            true_alpha=batch["alpha"],
            trimap=batch["trimap"],
        )
        torch.testing.assert_close(stage.training_step(batch, 0), expected.total)

    def test_gradient_reaches_every_trainable_parameter_by_the_second_step(self, stage) -> None:
        grads = gradients_after_two_steps(stage, matting_batch(0, 1), matting_batch(2, 3))
        assert [name for name, grad in grads.items() if grad is None or not grad.abs().sum()] == []
        assert all(name.startswith("latent_decoder.") for name in grads)

    def test_checkpoint_round_trip_without_the_denoiser_in_it(self, stage, tmp_path) -> None:
        fit(stage, [matting_batch(0), matting_batch(1)]).save_checkpoint(tmp_path / "last.ckpt")
        names = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
        assert {name.split(".")[0] for name in names} == {"latent_decoder"}
        loaded = TransparencyDecoder.from_checkpoint(tmp_path)
        torch.testing.assert_close(loaded.state_dict(), stage.state_dict(), rtol=0, atol=0)

    def test_a_missing_denoiser_is_told_in_one_line(self, tmp_path) -> None:
        with pytest.raises(InputError, match="no checkpoint") as error:
            TransparencyDecoder(denoiser=str(tmp_path), networks=NETWORKS).configure_model()
        assert "\n" not in str(error.value)


class TestAutoencoder:
    def test_loss_by_hand(self) -> None:
        """L1 + 0.2 Laplacian + 0.3 KL to the standard normal, of all four maps, from the posterior samples drawn."""
        stage = built(Autoencoder(networks=NETWORKS, laplacian_weight=0.2, kl_weight=0.3))
        batch = matting_batch(1, 2)
        drawn: list[Tensor] = []
        stage.vae.decoder.register_forward_hook(lambda _, args, output: drawn.append(output))
        loss = stage.training_step(batch, 0)
        maps = [batch["image"], batch["trimap"], batch["alpha"], batch["foreground"]]
        target = torch.cat([one.repeat(1, 3 // one.shape[1], 1, 1) for one in maps])
        preds = (drawn[0] + 1) / 2
        mean, logvar = stage.vae.quant_conv(stage.vae.encoder(2 * target - 1)).chunk(2, dim=1)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        expected = (preds - target).abs().mean() + 0.2 * laplacian_loss(preds, target) + 0.3 * kl
        torch.testing.assert_close(loss, expected)

    def test_posterior_samples_depend_on_the_sample_alone(self) -> None:
        stage = built(Autoencoder(networks=NETWORKS))
        drawn: list[Tensor] = []
        stage.vae.post_quant_conv.register_forward_pre_hook(lambda _, args: drawn.append(args[0]))
        stage.training_step(matting_batch(1, 2), 0)
        stage.training_step(matting_batch(2), 0)
        torch.testing.assert_close(drawn[0][1::2], drawn[1], atol=1e-5, rtol=1e-5)

    def test_gradient_reaches_every_parameter(self) -> None:
        stage = built(Autoencoder(networks=NETWORKS))
        grads = gradients_after_two_steps(stage, matting_batch(0, 1), matting_batch(2, 3))
        assert [name for name, grad in grads.items() if grad is None or not grad.abs().sum()] == []

    def test_fit_writes_the_autoencoder_for_the_next_stage(self, tmp_path) -> None:
        stage = Autoencoder(networks=NETWORKS)
        trainer = fit(stage, [matting_batch(number) for number in range(3)], tmp_path)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        loaded = replace(NETWORKS, vae=str(tmp_path / "pretrained")).trained_vae()
        torch.testing.assert_close(loaded.state_dict(), stage.vae.state_dict(), rtol=0, atol=0)
        again = Autoencoder.from_checkpoint(tmp_path)
        torch.testing.assert_close(again.state_dict(), stage.state_dict(), rtol=0, atol=0)
        assert sorted(path.name for path in (tmp_path / "pretrained").iterdir()) == ["vae"]

    def test_saving_again_replaces_the_folder(self, tmp_path) -> None:
        stage = built(Autoencoder(networks=NETWORKS))
        for variance, scale in ((4.0, 0.5), (0.25, 2.0)):
            stage.latent_variance.fill_(variance)
            stage.save_pretrained(tmp_path)
            assert AutoencoderKL.from_pretrained(tmp_path / "vae").config["scaling_factor"] == pytest.approx(scale)


def test_stacked_latents_follow_the_order_of_the_domains(networks) -> None:
    """The foreground's error is logged as the foreground's: an alpha that is predicted perfectly costs nothing."""
    stage = built(Denoiser(networks=networks, noise_schedule=SCHEDULES["sample"]))
    batch = matting_batch(0, 1)
    logged: dict[str, Tensor] = {}
    stage.log_dict = logged.update
    stage.log = lambda *args, **kwargs: None
    (alpha,) = stage.codec.encode(batch["alpha"])
    stage.joint_unet.forward = lambda noisy, condition, timestep: stack_domains(alpha + 1, alpha)
    stage.training_step(batch, 0)
    assert logged["train/alpha"] == 0
    assert logged["train/foreground"] > 0.1


def test_an_optimizer_that_takes_several_losses_a_step_is_refused(networks) -> None:
    stage = Denoiser(networks=networks, optimizer=torch.optim.LBFGS)
    with pytest.raises(InputError, match=r"optimizer: LBFGS evaluates a step's loss several times, .*such as torch"):
        fit(stage, [matting_batch(0, 1)])


def test_an_optimizer_of_sparse_gradients_is_refused(networks) -> None:
    stage = Denoiser(networks=networks, optimizer=torch.optim.SparseAdam)
    with pytest.raises(InputError, match=r"^optimizer: SparseAdam takes sparse gradients alone, .*choose torch"):
        fit(stage, [matting_batch(0, 1)])


def test_adafactor_trains_and_is_resumed(networks, tmp_path) -> None:
    first, again = (Denoiser(networks=networks, optimizer=torch.optim.Adafactor) for _ in range(2))
    file = tmp_path / "step=0000001.ckpt"
    fit(first, [matting_batch(0)]).save_checkpoint(file)
    before = {name: weight.clone() for name, weight in first.joint_unet.named_parameters()}
    fit(again, [matting_batch(0), matting_batch(1)], ckpt_path=file)
    assert any(not torch.equal(weight, before[name]) for name, weight in again.joint_unet.named_parameters())


def test_weights_alone_are_loaded_but_not_resumed_from(networks, tmp_path) -> None:
    stage, file = Denoiser(networks=networks), tmp_path / "weights.ckpt"
    fit(stage, [matting_batch(0, 1)]).save_checkpoint(file, weights_only=True)
    torch.testing.assert_close(Denoiser.from_checkpoint(file).state_dict(), stage.state_dict(), rtol=0, atol=0)
    with pytest.raises(InputError, match=f"{file} holds weights alone .*: give a checkpoint of RUN/checkpoints"):
        fit(Denoiser(networks=networks), [matting_batch(0, 1)], ckpt_path=file)
