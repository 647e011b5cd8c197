import pytest

from vsr.cli.arguments import positionals_first
from vsr.cli.parsers import make_parsers

UPSCALE = make_parsers()[1]["upscale"]


@pytest.mark.parametrize(
    ("args", "ordered"),
    [
        (["--cluster", "in", "out"], ["in", "out", "--cluster=auto"]),
        (["in", "--cluster", "out"], ["in", "out", "--cluster=auto"]),
        (["in", "out", "--cluster"], ["in", "out", "--cluster=auto"]),
        (["in", "--cluster", "auto", "out"], ["in", "out", "--cluster=auto"]),
        (["--cluster", "10.0.0.1:6379", "in"], ["in", "--cluster=10.0.0.1:6379"]),
        (["--cluster", "[::1]:6379", "in"], ["in", "--cluster=[::1]:6379"]),
        (["--cluster=head:1", "in"], ["in", "--cluster=head:1"]),
        (["in", "--cluster", "--scale", "2"], ["in", "--cluster=auto", "--scale", "2"]),
    ],
)
def test_the_address_of_a_cluster_may_be_missing(args: list[str], ordered: list[str]) -> None:
    assert positionals_first(args, UPSCALE) == ordered
    assert UPSCALE.parse_args(ordered).cluster == ordered[-1].partition("=")[2] or "--scale" in args
