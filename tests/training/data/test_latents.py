import dataclasses
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.data.test_samples import texture
from vsr.errors import ConfigError, InputError
from vsr.models.vae import AutoencoderKLVideo
from vsr.training.data.clip_row import ClipRow
from vsr.training.data.latent_clips import LatentClips, encoder_fingerprint, read_index
from vsr.training.data.manifest import Manifest, read_manifest, write_manifest, write_part
from vsr.training.data.samples import TrainingClips, TrainingClipsConfig
from vsr.training.preparation.latents import write_latents, write_prompts

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> TrainingClips:
    """Samples of three photographs, two of them with captions."""
    folder = tmp_path_factory.mktemp("photos")
    rows = []
    for number, caption in enumerate(("a hill", "a lake", None)):
        cv2.imwrite(str(folder / f"{number}.png"), texture(160, 200, number))
        row = ClipRow(f"{number}.png", "image", "train", 0, 0, 200, 160, caption=caption)
        rows.append(row)
    write_manifest(folder / "clips.parquet", Manifest(folder, tuple(rows)))
    return TrainingClips(
        TrainingClipsConfig(manifest=folder / "clips.parquet", crop=16, frames=2, cache=folder)
    )


def small_vae(seed: int = 0) -> AutoencoderKLVideo:
    torch.manual_seed(seed)
    return AutoencoderKLVideo(
        block_out_channels=(8, 8, 8), norm_groups=4, layers_per_block=1, mid_attention=False
    ).eval()


@pytest.fixture(scope="module")
def shards(clips: TrainingClips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    write_latents(clips.config, small_vae(), folder, samples=7, shard_samples=3)
    return folder


def stored(folder: Path) -> list[dict[str, torch.Tensor]]:
    """The rows of all shards in order."""
    index = read_index(folder)
    parts = [load_file(folder / index.shard(number)) for number in range(index.shards)]
    together = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return [{k: v[row] for k, v in together.items()} for row in range(index.samples)]


def test_shards_hold_what_the_autoencoder_makes_of_each_sample(
    clips: TrainingClips, shards: Path
) -> None:
    vae = small_vae()
    rows = stored(shards)
    assert len(rows) == 7
    for number in (0, 6):
        sample = clips[number]
        with torch.no_grad():
            hq = vae.encode_scaled(sample["hr"][None])[0]
        # Half precision keeps eleven bits.
        torch.testing.assert_close(rows[number]["hq_latents"].float(), hq, rtol=1e-3, atol=1e-4)
        assert int(rows[number]["prompt"]) == int(sample["caption"])


def test_an_epoch_gives_every_sample_once_with_its_small_frames_unchanged(
    clips: TrainingClips, shards: Path
) -> None:
    dataset = LatentClips(shards, crop=16, frames=2, seed=3)
    small = [clips[number]["lr"] for number in range(7)]
    for epoch in range(2):
        found = []
        for number in range(7 * epoch, 7 * (epoch + 1)):
            lr = dataset[number]["lr"]
            found += [i for i, known in enumerate(small) if torch.equal(known, lr)]
        assert sorted(found) == list(range(7))
    orders = [[dataset[n]["lr"].sum().item() for n in range(a, a + 7)] for a in (0, 7)]
    assert orders[0] != orders[1]
    again = LatentClips(shards, crop=16, frames=2, seed=3)
    assert torch.equal(again[9]["latents"], dataset[9]["latents"])


def test_work_that_was_broken_off_goes_on_and_more_is_added(
    clips: TrainingClips, shards: Path, tmp_path: Path
) -> None:
    write_latents(clips.config, small_vae(), tmp_path, samples=4, shard_samples=3)
    first = (tmp_path / "shard_00000.safetensors").stat().st_mtime_ns
    write_latents(clips.config, small_vae(), tmp_path, samples=7, shard_samples=3)
    assert (tmp_path / "shard_00000.safetensors").stat().st_mtime_ns == first
    for one, other in zip(stored(tmp_path), stored(shards), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_shards_of_other_settings_are_not_mixed(clips: TrainingClips, shards: Path) -> None:
    with pytest.raises(InputError, match="latents of another encoder; take another folder"):
        write_latents(clips.config, small_vae(1), shards, samples=7, shard_samples=3)
    with pytest.raises(InputError, match="another shard_samples"):
        write_latents(clips.config, small_vae(), shards, samples=7, shard_samples=4)


def test_a_stage_of_another_shape_or_model_is_told(shards: Path) -> None:
    with pytest.raises(ConfigError, match="clips of 2 frames and crop 16; the stage wants 5"):
        LatentClips(shards, crop=16, frames=5)
    dataset = LatentClips(shards, crop=16, frames=2)
    dataset.check_encoder(small_vae())
    with pytest.raises(ConfigError, match="latents of another autoencoder"):
        dataset.check_encoder(small_vae(1))


def test_packed_latents_need_no_weights_to_be_the_same() -> None:
    vaes = [
        AutoencoderKLVideo(
            latent_channels=48, latents="unshuffle", block_out_channels=(width,),
            layers_per_block=0, norm="none", mid_attention=False, scaling_factor=1.0,
        )
        for width in (8, 16)
    ]  # fmt: skip
    assert encoder_fingerprint(vaes[0]) == encoder_fingerprint(vaes[1])


def test_a_missing_shard_and_a_folder_without_any_are_input_errors(
    clips: TrainingClips, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"has no index\.json"):
        LatentClips(tmp_path, crop=16, frames=2)
    write_latents(clips.config, small_vae(), tmp_path, samples=2, shard_samples=2)
    (tmp_path / "shard_00000.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"shard_00000.*run vsr data precompute again"):
        LatentClips(tmp_path, crop=16, frames=2)[0]


def test_shards_of_a_manifest_in_parts_are_drawn_from_one_part_each(
    clips: TrainingClips, tmp_path: Path
) -> None:
    path = clips.config.manifest
    assert path is not None
    rows = read_manifest(path).rows
    (path.parent / "parts").mkdir(exist_ok=True)
    for number, some in enumerate((rows[:1], (), rows[1:])):
        write_part(path.parent / "parts", number, some, root=path.parent)
    config = dataclasses.replace(clips.config, manifest=path.parent / "parts")
    index = write_latents(config, small_vae(), tmp_path, samples=5, shard_samples=2)
    texts = [index.captions[int(row["prompt"])] for row in stored(tmp_path)]
    assert index.captions == ("", "a hill", "a lake")
    assert texts[:2] == texts[4:] * 2 == ["a hill"] * 2
    assert set(texts[2:4]) <= {"", "a lake"}


class Letters:
    """A tokenizer of letters, as long as a prompt may be."""

    model_max_length = 8

    def __call__(self, texts: list[str], **_: object) -> object:
        codes = [ord(letter) for letter in texts[0].ljust(8)[:8]]
        return type("Tokens", (), {"input_ids": torch.tensor([codes])})()


class Embedding(torch.nn.Embedding):
    """A text encoder that looks its tokens up."""

    device = torch.device("cpu")

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor]:
        return (super().forward(ids),)


def test_samples_bring_the_embedding_of_their_caption(
    clips: TrainingClips, shards: Path, tmp_path: Path
) -> None:
    write_latents(clips.config, small_vae(), tmp_path, samples=7, shard_samples=4)
    torch.manual_seed(0)
    encoder = Embedding(128, 4)
    assert clips.captions == ("", "a hill", "a lake")
    write_prompts(tmp_path, encoder, Letters(), clips.captions)
    known = {t: encoder(Letters()([t]).input_ids)[0][0] for t in clips.captions}  # pyright: ignore
    dataset = LatentClips(tmp_path, crop=16, frames=2)
    assert "prompt" not in LatentClips(shards, crop=16, frames=2)[0]
    for number in range(7):
        sample = dataset[number]
        texts = [clips.captions[int(clips[i]["caption"])] for i in range(7)
                 if torch.equal(clips[i]["lr"], sample["lr"])]  # fmt: skip
        torch.testing.assert_close(sample["prompt"], known[texts[0]], rtol=1e-3, atol=1e-3)


def test_shots_keep_captions_of_their_own(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12), options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for i in range(24):
            pixels = texture(96, 96, i // 12) // 2 + (0 if i < 12 else 120)
            frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole = ClipRow("film.mp4", "video", "train", 0, 0, 96, 96, end_frame=24, end=Fraction(2))
    rows = tuple(
        dataclasses.replace(
            whole, first_frame=12 * n, end_frame=12 * (n + 1),
            start=Fraction(n), end=Fraction(n + 1), caption=caption,
        )
        for n, caption in enumerate(("dark", "bright"))
    )  # fmt: skip
    write_manifest(tmp_path / "clips.parquet", Manifest(tmp_path, rows))
    clips = TrainingClips(
        TrainingClipsConfig(
            manifest=tmp_path / "clips.parquet",
            crop=16,
            frames=3,
            video_access="av",
            cache=tmp_path,
        )
    )
    assert clips.captions == ("", "bright", "dark")
    found = set()
    for number in range(12):
        sample = clips[number]
        caption = clips.captions[int(sample["caption"])]
        assert (float(sample["hr"].mean()) > 0) == (caption == "bright")
        found.add(caption)
    assert found == {"dark", "bright"}


def test_the_temporal_recipe_learns_the_same_from_shards(
    clips: TrainingClips, shards: Path, tmp_path: Path
) -> None:
    from tests.training.recipes.test_temporal import UNET
    from vsr.training.config_file import build_train_config
    from vsr.training.recipes.temporal import TemporalRecipe

    stage = {"name": "s", "steps": 1, "crop": 16, "frames": 2, "batch": 1}
    unet = UNET | {"attention": ["none"], "cross_attention_dim": None}
    values = {
        "recipe": "temporal",
        "run": str(tmp_path),
        "device": "cpu",
        "precision": "no",
        "stages": [stage],
        "data": {"latents": str(shards), "manifest": str(clips.config.manifest)},
        "model": {
            "unet": unet | {"in_channels": 7, "out_channels": 4},
            "vae": {
                "block_out_channels": [8, 8, 8], "norm_groups": 4, "layers_per_block": 1,
                "mid_attention": False,
            },
        },
        "validation": {"best": "loss"},
    }  # fmt: skip
    torch.manual_seed(0)
    recipe = TemporalRecipe(build_train_config(values), torch.device("cpu"))
    recipe.vae.load_state_dict(small_vae().state_dict())
    stage = recipe.config.stages[0]
    sample = recipe.dataset(stage)[4]
    made = next(s for s in map(clips.__getitem__, range(7)) if torch.equal(s["lr"], sample["lr"]))
    losses = []
    for one in (sample, {"lr": made["lr"], "hr": made["hr"], "index": torch.tensor(4)}):
        batch = {name: value[None] for name, value in one.items()}
        losses.append(recipe.terms(recipe.model, batch, stage)["denoise"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    with pytest.raises(ConfigError, match=r"data\.latents.*the recipe compact needs pixels"):
        build_train_config(values | {"recipe": "compact"})
