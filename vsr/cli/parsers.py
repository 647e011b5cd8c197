"""The parsers of the commands, with their options by group."""

from collections.abc import Container, Mapping
from functools import partial
from types import MappingProxyType, NoneType
from typing import Any, Literal, Union, get_args, get_type_hints

from jsonargparse import ArgumentParser

from vsr import __version__
from vsr.cli.arguments import PRINT_COMPLETION, PRINT_CONFIG
from vsr.cli.new_parser import add_cluster, add_common, new_parser
from vsr.cli.page_parsers import comfyui_parser, ui_parser
from vsr.config import Dtype, UpscaleConfig
from vsr.option_values import FILM, GROUPS, Flag, parse_time

_GROUPS_OF_NETWORKS = ("model", "texture", "quality", "advanced")
_OF_NETWORKS = ("device", "dtype", "attention", "tile")
"""The options that mean nothing without a network: whole groups, and names."""


def make_parsers() -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    """Return the parser of `vsr`, and those of its commands by name."""
    commands = {
        "upscale": _upscale_parser(),
        "restore": _restore_parser(),
        "plan": _plan_parser(),
        "info": _info_parser(),
        "compare": _compare_parser(),
        "models": _models_parser(),
        "convert": _convert_parser(),
        "train": _train_parser(),
        "evaluate": _evaluate_parser(),
        "benchmark": _benchmark_parser(),
        "export": _export_parser(),
        "data": _data_parser(),
        "ui": ui_parser(),
        "comfyui": comfyui_parser(),
    }
    parser = new_parser("vsr", "COMMAND ...", "Upscale videos, steady from frame to frame.")
    version = f"vsr {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version")
    parser.add_argument(
        PRINT_COMPLETION,
        type=str,
        metavar="SHELL",
        help="print the completion for bash or zsh, and exit",
    )
    subcommands = parser.add_subcommands(
        dest="command", metavar="COMMAND", title="commands", description=None
    )
    for name, command in commands.items():
        subcommands.add_subcommand(name, command, help=command.description)
    return parser, commands


def _upscale_parser() -> ArgumentParser:
    parser = new_parser(
        "upscale",
        "INPUT [OUTPUT] [options]",
        "Upscale a video, or every video of a folder or list.",
    )
    _add_films(parser, "x4", "upscale")
    _add_config(parser)
    return parser


def _restore_parser() -> ArgumentParser:
    parser = new_parser(
        "restore",
        "INPUT [OUTPUT] [options]",
        "Repair an old film, or every one of a folder or list, at its own size.",
    )
    _add_films(parser, "restored", "restore")
    _add_config(
        parser,
        without=_OF_NETWORKS,
        without_groups=_GROUPS_OF_NETWORKS,
        defaults={"restore": FILM},
    )
    return parser


def _add_films(parser: ArgumentParser, suffix: str, verb: str) -> None:
    """Add the arguments that name films and outputs, and those of trying it out."""
    group = parser.add_argument_group(GROUPS[0])
    group.add_argument(
        "input",
        type=str,
        metavar="INPUT",
        help="video, folder of pictures, folder of videos, or list of videos (.txt)",
    )
    group.add_argument(
        "output",
        type=str,
        nargs="?",
        metavar="OUTPUT",
        help=f"file or folder to write (default: INPUT_{suffix} beside INPUT, with every stream"
        " kept)",
    )
    group.add_argument(
        "--preview",
        type=str,
        metavar="TIME",
        help=f"{verb} this much from --start, with a page to compare, and stop",
    )
    group.add_argument(
        "--report",
        action="store_true",
        help="also write a page about the run: settings, times, shots, warnings, how it looks",
    )
    group.add_argument(
        "--restore-report",
        action="store_true",
        help="also write a page about the repairs: before, after and mask of the worst frames",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="only say what would be made, as vsr plan does"
    )
    add_cluster(group, verb)


def _plan_parser() -> ArgumentParser:
    parser = new_parser(
        "plan",
        "INPUT [OUTPUT] [options]",
        "Say what upscale would make of each stream, and the time, memory and disk it takes.",
    )
    group = parser.add_argument_group(GROUPS[0])
    group.add_argument(
        "input", type=str, metavar="INPUT", help="video, folder, or list, as for upscale"
    )
    group.add_argument(
        "output", type=str, nargs="?", metavar="OUTPUT", help="as for upscale; nothing is written"
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    _add_config(parser)
    return parser


def _info_parser() -> ArgumentParser:
    parser = new_parser("info", "PATH [options]", "Show what a video or a model contains.")
    parser.add_argument(
        "path",
        type=str,
        metavar="PATH",
        help="video, folder of pictures, model folder, embedded model or image network",
    )
    parser.add_argument(
        "--allow-playlists",
        action="store_true",
        help="let a playlist (.m3u8) read the local files that it names",
    )
    add_common(parser, parser)
    return parser


def _compare_parser() -> ArgumentParser:
    parser = new_parser(
        "compare", "A B [C ...] [options]", "Show versions of one film side by side, in a page."
    )
    parser.add_argument(
        "films", type=str, nargs="+", metavar="FILM", help="videos or folders of pictures"
    )
    parser.add_argument(
        "--frame", type=int, metavar="N", help="frame to show, from 0 (default: differs most)"
    )
    parser.add_argument(
        "--crop", type=str, metavar="X,Y,W,H", help="part to zoom (default: where they differ most)"
    )
    parser.add_argument(
        "--output",
        type=str,
        default="compare",
        metavar="FOLDER",
        help="folder for the page, the picture and the video (default: compare)",
    )
    add_common(parser, parser)
    return parser


def _models_parser() -> ArgumentParser:
    parser = new_parser(
        "models",
        "[NAME | compare CLIP] [options]",
        "List the models with their cost on this machine, or show a moment in each.",
    )
    parser.add_argument(
        "name",
        type=str,
        nargs="?",
        metavar="NAME",
        help="show this model alone (default: all); compare: make a picture of a moment in each",
    )
    parser.add_argument(
        "clip", type=str, nargs="?", metavar="CLIP", help="video to compare the models on"
    )
    at = "moment to compare, as 90, 2.5s or 0:10 (default: the middle)"
    parser.add_argument("--at", type=partial(parse_time, name="at"), metavar="TIME", help=at)
    only = "models to compare, as compact,realesrgan-x4plus (default: all that are here)"
    parser.add_argument("--only", type=str, metavar="NAMES", help=only)
    picture = "picture to write (default: CLIP.models.png beside CLIP)"
    parser.add_argument("--output", type=str, metavar="FILE", help=picture)
    device = "auto, cpu, cuda, cuda:N or mps (default: auto)"
    parser.add_argument("--device", type=str, default="auto", metavar="NAME", help=device)
    dtype = "precision: auto, float32, bfloat16 or float16 (default: auto)"
    parser.add_argument("--dtype", type=Dtype, default="auto", metavar="NAME", help=dtype)
    add_common(parser, parser)
    return parser


def _convert_parser() -> ArgumentParser:
    parser = new_parser(
        "convert", "SOURCE [TARGET] [options]", "Convert published weights to a model folder."
    )
    source = "Upscale-A-Video's folder, lavie_vsr.pt, the SD x4 upscaler's folder, a SeedVR2 file"
    parser.add_argument("source", type=str, metavar="SOURCE", help=source)
    parser.add_argument(
        "target",
        type=str,
        nargs="?",
        metavar="TARGET",
        help="model folder to write (default: in the models folder, under the model's name)",
    )
    parser.add_argument(
        "--vae",
        type=Literal["3d", "video"],
        default="3d",
        metavar="NAME",
        help="which VAE of Upscale-A-Video to take: 3d or video (default: 3d)",
    )
    parser.add_argument(
        "--upscaler",
        type=str,
        metavar="FOLDER",
        help="SD x4 upscaler, for the parts that SOURCE lacks (text encoder, schedulers)",
    )
    kind = "seedvr2 (one step) or seedvr (50 steps), where the file name does not tell"
    parser.add_argument("--kind", type=Literal["seedvr2", "seedvr"], metavar="NAME", help=kind)
    parser.add_argument("--overwrite", action="store_true", help="replace a model that exists")
    add_common(parser, parser)
    return parser


def _train_parser() -> ArgumentParser:
    parser = new_parser(
        "train", "CONFIG [KEY=VALUE ...] [options]", "Train a model, or resume a run."
    )
    parser.add_argument(
        "config", type=str, metavar="CONFIG", help="YAML file, or the name of a shipped one"
    )
    parser.add_argument(
        "overrides",
        type=str,
        nargs="*",
        metavar="KEY=VALUE",
        help="values that replace those of the file, as stages.first.lr=1e-4",
    )
    add_common(parser, parser)
    return parser


def _export_parser() -> ArgumentParser:
    parser = new_parser(
        "export", "RUN FOLDER [options]", "Write the model of a training run as a model folder."
    )
    parser.add_argument("run", type=str, metavar="RUN", help="run folder of a training")
    parser.add_argument("folder", type=str, metavar="FOLDER", help="model folder to write")
    parser.add_argument("--best", action="store_true", help="the best checkpoint, not the newest")
    merge = "of a LoRA run: write the whole model, not only the LoRA for upscale --lora"
    parser.add_argument("--merge", action="store_true", help=merge)
    parser.add_argument("--clean", action="store_true", help="add them to FOLDER for clean frames")
    add_common(parser, parser)
    return parser


def _data_parser() -> ArgumentParser:
    """Return the parser whose help names the data commands; each of these has its own parser."""
    parser = new_parser(
        "data", "STEP ARGUMENTS ...", "Prepare training data; vsr data STEP --help."
    )
    steps = "probe, split, filter, caption, degrade, precompute or shards"
    parser.add_argument("step", type=str, metavar="STEP", help=steps)
    add_common(parser, parser)
    return parser


def _evaluate_parser() -> ArgumentParser:
    parser = new_parser(
        "evaluate", "OUTPUTS [options]", "Measure videos, against a ground truth or by themselves."
    )
    clips = "video, folder of pictures, or folder of these"
    parser.add_argument("outputs", type=str, metavar="OUTPUTS", help=clips)
    parser.add_argument(
        "--gt", type=str, metavar="GT", help=f"ground truth: {clips}, paired by name"
    )
    every, jobs = "networks see every Nth frame (default: 4)", "clips measured at once (default: 1)"
    parser.add_argument("--every", type=int, default=4, metavar="N", help=every)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help=jobs)
    parser.add_argument(
        "--json",
        type=str,
        metavar="FILE",
        help="write the figures as JSON; FILE.partial lets an interrupted evaluation go on",
    )
    parser.add_argument(
        "--csv", type=str, metavar="FILE", help="write the figures of every frame as CSV"
    )
    parser.add_argument(
        "--reference", type=str, metavar="SET", help="clean films or pictures for FID (default: GT)"
    )
    parser.add_argument(
        "--vsreval", type=str, metavar="FILE", help="results.json of vsreval, to be merged"
    )
    parser.add_argument(
        "--raft", type=str, metavar="FILE", help="weights of RAFT for EvalCrafter's warping error"
    )
    add_common(parser, parser)
    return parser


def _benchmark_parser() -> ArgumentParser:
    parser = new_parser(
        "benchmark", "SET [options]", "Measure models and interpolation side by side on a set."
    )
    parser.add_argument(
        "set", type=str, metavar="SET", help="set.json, its folder, or inputs with --gt"
    )
    parser.add_argument(
        "--gt", type=str, metavar="GT", help="ground truths of the inputs, paired by name"
    )
    parser.add_argument(
        "--models", type=str, metavar="LIST", help="as compact,my.safetensors (default: embedded)"
    )
    parser.add_argument(
        "--outputs", type=str, metavar="LIST", help="outputs of other tools, as NAME=FOLDER,..."
    )
    parser.add_argument(
        "--output",
        type=str,
        default="benchmark",
        metavar="FOLDER",
        help="folder for tables, pages and clips (default: benchmark)",
    )
    every, repeats = "networks see every Nth frame (default: 4)", "runs of each (default: 1)"
    parser.add_argument("--every", type=int, default=4, metavar="N", help=every)
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help=repeats)
    parser.add_argument(
        "--device", type=str, default="auto", metavar="NAME", help="as for upscale (default: auto)"
    )
    add_common(parser, parser)
    return parser


def _add_config(
    parser: ArgumentParser,
    *,
    without: Container[str] = (),
    without_groups: Container[str] = (),
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Add a flag for each field of UpscaleConfig, under the title of its group.

    `without` are fields that the command does not have, `without_groups` groups of such fields;
    `defaults` replace those of the config.
    """
    groups = {group.title: group for group in parser._action_groups}  # pyright: ignore[reportPrivateUsage]
    hints = get_type_hints(UpscaleConfig, include_extras=True)
    known = {name: get_args(hint) for name, hint in hints.items() if name not in without}
    chosen = {name: one for name, one in known.items() if one[1].group not in without_groups}
    used = {flag.group for _, flag in chosen.values()} | {GROUPS[-1]}
    for title in GROUPS[1:]:
        if title in used:
            groups[title] = parser.add_argument_group(title)
    for name, (kind, flag) in chosen.items():
        default = defaults.get(name, getattr(UpscaleConfig(), name))
        _add_flag(groups[flag.group], name, kind, flag, default)
    advanced: Any = groups[GROUPS[-1]]
    advanced._print_config = PRINT_CONFIG  # the parser adds this option beside --config
    advanced.add_argument(
        "--config", action="config", metavar="FILE", help="YAML file with any of these options"
    )
    advanced._group_actions[-1].help = "print all options as YAML, for --config, and exit"
    add_common(parser, advanced)


def _add_flag(group: Any, name: str, kind: Any, flag: Flag, default: Any) -> None:
    option = "--" + name.replace("_", "-")
    if kind is bool:
        group.add_argument(option, action="store_true", default=default, help=flag.help)
        return
    parse = partial(parse_time, name=name) if flag.value == "TIME" else _without_none(kind)
    group.add_argument(option, type=parse, default=default, metavar=flag.value, help=flag.help)


def _without_none(kind: Any) -> Any:
    """Return `int` for `int | None`: on the command line, None is the option that was left out."""
    kinds = tuple(one for one in get_args(kind) if one is not NoneType)
    return Union[kinds] if NoneType in get_args(kind) else kind  # noqa: UP007
