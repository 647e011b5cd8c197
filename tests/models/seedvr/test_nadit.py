"""The transformer gives the numbers of the published classes, and windows their integer tables."""

import json
from itertools import accumulate

import pytest
import torch

from tests.models.seedvr.plain_loop import plain_attention, plain_network
from tests.seedvr import FOLDER, fixture, published_shapes, small_dit
from vsr.models.rope import turned
from vsr.models.seedvr.nadit import NaDiT
from vsr.models.seedvr.rope import WindowRope, whole_turns
from vsr.models.seedvr.windows import token_windows, window_size

WINDOWS = json.loads((FOLDER / "windows.json").read_text())
SEVEN = {
    **{"width": 3072, "heads": 24, "layers": 36, "separate_layers": 36},
    **{"mlp": "gelu", "rope": "window", "output_norm": False},
}


def _close(found: torch.Tensor, expected: torch.Tensor, atol: float = 5e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@torch.no_grad()
def _velocity(network: NaDiT, given: dict[str, torch.Tensor]) -> torch.Tensor:
    return network(given["sample"], given["cond"], given["text"], float(given["timestep"]))


@pytest.mark.parametrize("kind", ["3b", "7b"])
def test_one_frame_has_the_published_numbers(kind):
    given = fixture(f"dit_{kind}_t1_8x8")
    _close(_velocity(small_dit(kind), given), given["output"])


def test_many_ragged_windows_have_the_published_numbers():
    given = fixture("dit_3b_t5_44x26")
    _close(_velocity(small_dit("3b"), given)[:, ::2, ::2], given["output"])


@pytest.mark.parametrize("kind", ["3b", "7b"])
def test_the_time_embedding_has_the_published_numbers(kind):
    given = fixture(f"dit_{kind}_t1_8x8")
    with torch.no_grad():
        found = small_dit(kind).emb_in(float(given["timestep"]))
    _close(found[None], given["time_embedding"])


@pytest.mark.parametrize(("name", "config"), [("dit_3b", {}), ("dit_7b", SEVEN)])
def test_published_files_have_the_tensors_of_the_network(name, config):
    with torch.device("meta"):
        network = NaDiT(**config)
    found = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    published = published_shapes(name)
    assert found == {k: v for k, v in published.items() if not k.endswith("rope.freqs")}


@pytest.mark.parametrize("row", WINDOWS, ids=lambda row: "{width}x{height}x{frames}".format(**row))
@pytest.mark.parametrize("shifted", [False, True])
def test_windows_are_those_of_the_tables(row, shifted):
    tokens = tuple(row["tokens"])
    assert window_size(tokens) == tuple(row["window"])
    groups = token_windows(tokens, shifted=shifted)
    expected = row["shifted" if shifted else "plain"]
    for axis in "thw":
        runs = dict.fromkeys(getattr(group, axis) for group in groups)
        sizes = [run.size for run in runs for _ in range(run.count)]
        assert [0, *accumulate(sizes)] == expected[axis]
    assert sum(group.count for group in groups) == expected["count"]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["3b", "7b"])
def test_attention_equals_a_loop_over_windows(kind):
    attention = small_dit(kind).blocks[0].attn
    shape, words = (3, 19, 23), 5
    generator = torch.Generator().manual_seed(0)
    video, text = torch.randn(*shape, 64, generator=generator), torch.randn(words, 64)
    groups = token_windows(shape, shifted=True)
    found = attention(video, text, groups)
    for ours, plain in zip(found, plain_attention(attention, video, text, groups), strict=True):
        _close(ours, plain, atol=1e-5)


@pytest.mark.parametrize("kind", ["3b", "7b"])
def test_the_network_equals_one_with_a_loop_over_windows(kind):
    given = fixture(f"dit_{kind}_t1_8x8")
    found, plain = small_dit(kind), plain_network(small_dit(kind))
    _close(_velocity(found, given), _velocity(plain, given), atol=1e-5)


@pytest.mark.parametrize("kind", ["integer", "window"])
def test_rotation_is_a_product_of_complex_numbers_in_float32(kind):
    rope, size = WindowRope(kind, 32), (2, 3, 4)
    angles = rope.video(size, 7, device=torch.device("cpu"))
    assert angles.dtype == torch.float32 and angles.shape == (24, 3 * rope.pairs)
    x = torch.randn(24, 1, 32)
    pairs = torch.view_as_complex(x[..., : 6 * rope.pairs].unflatten(-1, (-1, 2)))
    expected = torch.view_as_real(pairs * torch.exp(1j * angles[:, None])).flatten(-2)
    _close(turned(x, whole_turns(angles, 32))[..., : 6 * rope.pairs], expected, atol=1e-5)


def test_frequencies_stay_exact_in_a_network_of_16_bits():
    rope = small_dit("7b").to(torch.bfloat16).blocks[0].attn.rope
    exact = WindowRope("window", 32).video((1, 2, 3), 0, device=torch.device("cpu"))
    assert torch.equal(rope.video((1, 2, 3), 0, device=torch.device("cpu")), exact)
