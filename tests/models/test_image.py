"""Networks for images come from files that are not trusted, and keep spandrel's results."""

from collections.abc import Callable
from pathlib import Path

import pytest
import spandrel
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks import compact, saved, swinir
from vsr.errors import ConfigError, ModelError
from vsr.models.image import ImageNetwork

CPU = torch.device("cpu")


def picture(h: int, w: int) -> Tensor:
    """Smooth colours in [-1, 1]."""
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    waves = [torch.sin(columns / 5), torch.cos(rows / 4), torch.sin((rows + columns) / 6)]
    return 0.8 * torch.stack(waves)[None]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_network_says_what_it_is(tmp_path: Path, suffix: str) -> None:
    network = ImageNetwork.load(saved(swinir(), tmp_path / f"net{suffix}"))
    assert network.architecture.startswith("SwinIR")
    assert (network.scale, network.grey, network.purpose) == (2, False, "SR")
    assert network.sizes.minimum == 16
    assert network.parameters == sum(p.numel() for p in swinir().parameters())
    assert torch.float16 not in network.dtypes


@pytest.mark.parametrize("make", [compact, swinir])
def test_it_computes_what_spandrel_computes(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    path = saved(make(), tmp_path / "net.safetensors")
    image = (picture(16, 24) + 1) / 2
    expected = 2 * spandrel.ModelLoader().load_from_file(path).eval()(image) - 1
    assert torch.allclose(ImageNetwork.load(path)(picture(16, 24)), expected, atol=1e-6)


def test_networks_of_convolutions_keep_channels_innermost(tmp_path: Path) -> None:
    network = ImageNetwork.load(saved(compact(), tmp_path / "net.safetensors"))
    kernels = [p for p in network.descriptor.model.parameters() if p.ndim == 4]
    assert kernels and all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)


@pytest.mark.parametrize(("h", "w"), [(1, 1), (7, 9), (17, 33), (16, 16)])
@pytest.mark.parametrize(
    ("make", "scale"),
    [(lambda: compact(scale=2), 2), (swinir, 2), (lambda: compact(scale=1), 1)],
    ids=["compact", "swinir", "restoration"],
)
def test_every_size_comes_out_scale_times_larger(
    tmp_path: Path, make: Callable[[], nn.Module], scale: int, h: int, w: int
) -> None:
    network = ImageNetwork.load(saved(make(), tmp_path / "net.safetensors"))
    large = network(picture(h, w))
    assert large.shape == (1, 3, scale * h, scale * w)
    assert large.abs().max() <= 1


def test_a_grey_network_gives_luma_and_leaves_the_colours(tmp_path: Path) -> None:
    network = ImageNetwork.load(saved(compact(scale=2, channels=1), tmp_path / "net.pth"))
    frame = picture(12, 14) / 2
    large, enlarged = network(frame), F.interpolate(frame, (24, 28), mode="bicubic")
    for other in (1, 2):
        found, expected = large[:, 0] - large[:, other], enlarged[:, 0] - enlarged[:, other]
        assert torch.allclose(found, expected, atol=1e-5)
    assert network.grey
    assert (large - enlarged).abs().max() > 0.01


def test_a_number_format_that_it_does_not_compute_in_is_refused(tmp_path: Path) -> None:
    network = ImageNetwork.load(saved(swinir(), tmp_path / "net.pth"))
    with pytest.raises(ConfigError, match=r"net.pth .* float16; it can be float32, bfloat16"):
        network.to(CPU, torch.float16)
    assert network.to(CPU, torch.bfloat16)(picture(8, 8)).dtype == torch.float32


def test_values_that_are_no_picture_are_an_error(tmp_path: Path) -> None:
    network = compact()
    nn.init.constant_(network.body[0].weight, float("nan"))
    loaded = ImageNetwork.load(saved(network, tmp_path / "net.pth"))
    with pytest.raises(ModelError, match="finite"):
        loaded(picture(8, 8))


class Bomb:
    """Its pickle makes a file when it is opened without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_that_holds_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"params": compact().state_dict(), "x": Bomb(tmp_path / "ran")}, tmp_path / "n.pth")
    with pytest.raises(ModelError, match="could run code"):
        ImageNetwork.load(tmp_path / "n.pth")
    assert not (tmp_path / "ran").exists()


def truncated(folder: Path, name: str) -> Path:
    path = saved(compact(), folder / name)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def text(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("This is not a network.\n" * 20)
    return path


def other_weights(folder: Path, name: str) -> Path:
    save_file({"layer.weight": torch.zeros(3, 3)}, folder / name)
    return folder / name


def no_weights(folder: Path, name: str) -> Path:
    torch.save([1, 2, 3], folder / name)
    return folder / name


def tensor_missing(folder: Path, name: str) -> Path:
    state = compact().state_dict()
    del state["body.2.weight"]
    save_file(state, folder / name)
    return folder / name


def four_channels(folder: Path, name: str) -> Path:
    return saved(compact(channels=4), folder / name)


def million_layers(folder: Path, name: str) -> Path:
    state = compact().state_dict() | {"body.1000000.weight": torch.zeros(48, 8, 3, 3)}
    if name.endswith(".pth"):
        torch.save({"params": state}, folder / name)
    else:
        save_file(state, folder / name)
    return folder / name


def larger_than_its_data(folder: Path, name: str) -> Path:
    state = compact().state_dict() | {"body.2.weight": torch.zeros(1).expand(10**6, 10**6, 3, 3)}
    torch.save(state, folder / name)
    return folder / name


def not_only_tensors(folder: Path, name: str) -> Path:
    torch.save({"params": compact().state_dict() | {"body.2.weight": "text"}}, folder / name)
    return folder / name


def hole_in_the_archive(folder: Path, name: str) -> Path:
    path = saved(compact(), folder / name)
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes(200) + content[240:])
    return path


def missing(folder: Path, name: str) -> Path:
    return folder / name


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (truncated, "net.safetensors", "cannot be read"),
        (truncated, "net.pth", "cannot be read"),
        (text, "net.safetensors", "cannot be read"),
        (text, "net.pth", "net.pth"),
        (text, "net.onnx", "it can end in .safetensors, .pth"),
        (other_weights, "net.safetensors", "holds no image network that is known"),
        (no_weights, "net.pth", "holds a list, not a state dict"),
        (tensor_missing, "net.safetensors", "body.2"),
        (four_channels, "net.safetensors", "takes 4 channels and gives 4"),
        (million_layers, "net.safetensors", "body.1000000.weight has too high a layer number"),
        (million_layers, "net.pth", "body.1000000.weight has too high a layer number"),
        (larger_than_its_data, "net.pth", "larger than its data"),
        (not_only_tensors, "net.pth", "holds no image network that is known"),
        (hole_in_the_archive, "net.pth", "net.pth"),
        (missing, "net.pth", "is missing"),
    ],
)
def test_a_file_that_is_no_network_is_an_error_that_says_why(
    tmp_path: Path, make: Callable[[Path, str], Path], name: str, says: str
) -> None:
    with pytest.raises(ModelError, match=says) as raised:
        ImageNetwork.load(make(tmp_path, name))
    assert "\n" not in str(raised.value)
    assert name in str(raised.value)
