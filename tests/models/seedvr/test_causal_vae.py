"""The autoencoder gives the numbers of the published class, whole and as a stream of slices."""

import pytest
import torch

from tests.seedvr import fixture, published_shapes, small_vae
from vsr.models.seedvr.causal_conv import StreamState
from vsr.models.seedvr.causal_vae import CausalVideoVae

FRAMES = 33


@pytest.fixture(scope="module")
def vae() -> CausalVideoVae:
    return small_vae()


def _close(found: torch.Tensor, expected: torch.Tensor, atol: float = 5e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@torch.no_grad()
def test_encoding_has_the_published_numbers(vae):
    given = fixture("vae_t5_40x48")
    found = vae.encode(given["frames"])
    _close(found.mean, given["mean"])
    _close(found.log_variance, given["logvar"])


@torch.no_grad()
def test_decoding_has_the_published_numbers(vae):
    given = fixture("vae_t5_40x48")
    _close(vae.decode(given["latents"]), given["decoded"])


def test_the_published_file_has_the_tensors_of_the_network():
    with torch.device("meta"):
        vae = CausalVideoVae()
    found = {key: tuple(value.shape) for key, value in vae.state_dict().items()}
    assert found == published_shapes("vae")


@torch.no_grad()
def test_a_stream_of_slices_encodes_as_the_whole(vae):
    frames = torch.randn(1, 3, FRAMES, 16, 24, generator=torch.Generator().manual_seed(0))
    whole, state = vae.encode(frames), StreamState()
    slices = [frames[:, :, :5], *frames[:, :, 5:].split(4, dim=2)]
    parts = [vae.encode(part, state) for part in slices]
    _close(torch.cat([part.mean for part in parts], dim=2), whole.mean, atol=1e-4)
    log_variance = torch.cat([part.log_variance for part in parts], dim=2)
    _close(log_variance, whole.log_variance, atol=1e-4)


@torch.no_grad()
def test_a_stream_of_slices_decodes_as_the_whole(vae):
    latents = torch.randn(1, 16, 9, 2, 3, generator=torch.Generator().manual_seed(0))
    stream = torch.cat(list(vae.decode_slices(latents)), dim=2)
    assert stream.shape[2] == FRAMES
    _close(stream, vae.decode(latents), atol=1e-4)


@torch.no_grad()
def test_a_state_continues_a_stream_and_may_wait_elsewhere(vae):
    latents = torch.randn(1, 16, 5, 2, 3, generator=torch.Generator().manual_seed(0))
    state = StreamState(parked=torch.device("cpu"))
    parts = [*vae.decode_slices(latents[:, :, :3], state)]
    parts += vae.decode_slices(latents[:, :, 3:], state)
    assert [part.shape[2] for part in parts] == [5, 4, 4, 4]
    assert state.nbytes > 0
    _close(torch.cat(parts, dim=2), vae.decode(latents), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("parked", [None, torch.device("cpu")])
def test_frames_that_wait_do_not_hold_the_maps_that_they_lay_in(vae, parked):
    state = StreamState(parked=parked)
    vae.decode(torch.zeros(1, 16, 2, 2, 3), state)
    assert state.nbytes == sum(x.untyped_storage().nbytes() for x in state.frames.values())


@torch.no_grad()
@pytest.mark.parametrize("strip_bytes", [1, 20_000, 60_000])
def test_strips_of_rows_give_the_numbers_of_whole_maps(vae, strip_bytes):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(1, 3, 9, 40, 24, generator=generator)
    latents = torch.randn(1, 16, 3, 5, 3, generator=generator)
    whole, by_rows = StreamState(), StreamState(strip_bytes=strip_bytes)
    for part in (frames[:, :, :5], frames[:, :, 5:]):
        expected, found = vae.encode(part, whole), vae.encode(part, by_rows)
        _close(found.mean, expected.mean, atol=1e-4)
        _close(found.log_variance, expected.log_variance, atol=1e-4)
    decoded = torch.cat(list(vae.decode_slices(latents, StreamState(strip_bytes=strip_bytes))), 2)
    _close(decoded, vae.decode(latents), atol=1e-4)


@torch.no_grad()
def test_a_stream_may_change_to_strips_between_slices(vae):
    latents = torch.randn(1, 16, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    state = StreamState(parked=torch.device("cpu"))
    parts = [*vae.decode_slices(latents[:, :, :3], state)]
    state.strip_bytes = 20_000
    parts += vae.decode_slices(latents[:, :, 3:], state)
    _close(torch.cat(parts, dim=2), vae.decode(latents), atol=1e-4)


@torch.no_grad()
def test_frames_do_not_depend_on_later_ones(vae):
    frames = torch.randn(1, 3, 9, 16, 16, generator=torch.Generator().manual_seed(0))
    other = torch.cat([frames[:, :, :5], -frames[:, :, 5:]], dim=2)
    first, second = (vae.encode(x).mean[:, :, :2] for x in (frames, other))
    assert torch.equal(first, second)
