"""The layout of the help: lines that hold their own types and defaults, and examples at the end."""

from argparse import Action
from textwrap import dedent

from jsonargparse import DefaultHelpFormatter

from vsr.cli.arguments import PRINT_CONFIG

EXAMPLES = {
    "vsr": """
        vsr upscale film.mkv                     make film_x4.mkv beside it
        vsr upscale film.mkv --preview 2s        make two seconds and a page to compare
        vsr ui --open                            do the same in a page of the browser
        vsr plan film.mkv                        say what will be made, and how long it takes
        vsr COMMAND --help                       list the options of a command
    """,
    "upscale": """
        vsr upscale film.mkv
        vsr upscale film.mkv large.mkv --height 1080 --crf 14
        vsr upscale film.mkv --preview 2s --start 0:10
        vsr upscale FOLDER_OF_VIDEOS OUT_FOLDER
    """,
    "restore": """
        vsr restore film.mkv                     make film_restored.mkv beside it
        vsr restore film.mkv --restore dust,scratches --lossless
        vsr restore film.mkv --restore dust=0.8,flicker --preview 2s
        vsr restore film.mkv --restore film,colour --colour-references REFERENCES
        vsr restore FOLDER_OF_PICTURES out.mkv --fps 18
    """,
    "plan": """
        vsr plan film.mkv
        vsr plan film.mkv large.mkv --height 1080 --codec x265
        vsr plan FOLDER_OF_VIDEOS OUT_FOLDER
        vsr plan film.mkv --json
    """,
    "info": """
        vsr info film.mkv
        vsr info compact
        vsr info realesrgan-x4plus
    """,
    "compare": """
        vsr compare film.mkv film_x4.mkv
        vsr compare a.mp4 b.mp4 c.mp4 --frame 20 --crop 100,80,160,120
    """,
    "models": """
        vsr models                               list all models
        vsr models realesrgan-x4plus             show one of them
    """,
    "convert": """
        vsr convert UpscaleAVideo models/upscale-a-video --vae video
        vsr convert SeedVR2/seedvr2_ema_3b.pth models/seedvr2
        vsr convert lavie_vsr.pt models/lavie --upscaler stable-diffusion-x4-upscaler
    """,
    "train": """
        vsr train compact data.photos=PHOTOS data.clips=CLIPS
        vsr train temporal init=MODEL_FOLDER stages.prompts.lr=1e-5
        vsr train my_config.yaml
    """,
    "export": """
        vsr export runs/compact my_model
        vsr export runs/compact my_model --best
    """,
    "data": """
        vsr data probe MEDIA clips.parquet     list the videos and pictures
        vsr data split clips.parquet           cut the videos into shots
        vsr data filter clips.parquet          measure and select the clips
        vsr data caption clips.parquet         describe the clips in words
        vsr data degrade clips.parquet PAIRS   write pairs of good and bad clips
        vsr data precompute clips.parquet OUT  store the latents of samples
        vsr data shards SHARDS ...             store shots with their key frames
    """,
    "evaluate": """
        vsr evaluate large.mkv --gt truth.mkv
        vsr evaluate OUTPUTS --gt TRUTHS --json scores.json --csv frames.csv
        vsr evaluate large.mkv                   measure what needs no ground truth
    """,
    "ui": """
        vsr ui                                   the page is at http://127.0.0.1:7860
        vsr ui --open                            and opens in the browser
        vsr ui --host 0.0.0.0                    other machines, with a password
    """,
    "comfyui": """
        vsr comfyui install ~/ComfyUI            write its custom_nodes/vsr_nodes
        vsr comfyui install .                    inside the folder of ComfyUI
    """,
    "benchmark": """
        vsr benchmark PAIRS/set.json
        vsr benchmark INPUTS --gt TRUTHS --models compact,network.safetensors
    """,
}
"""Examples by command, for the end of its help."""


class HelpFormatter(DefaultHelpFormatter):
    """Shows each line of help as it is written; the parser would add types and defaults."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _get_help_string(self, action: Action) -> str:
        return (action.help or "").replace("%", "%%")

    def _format_action_invocation(self, action: Action) -> str:
        flags = [flag for flag in action.option_strings if not flag.endswith("+")]
        if not flags:
            return super()._format_action_invocation(action)
        shown = action.metavar and flags != [PRINT_CONFIG]
        value = f" {action.metavar}" if shown else ""
        return ", ".join(flags) + value

    def _format_action(self, action: Action) -> str:
        text = super()._format_action(action)
        return text.partition("\n")[2] if action.dest == "command" else text

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return text
        return super()._fill_text(text, width, indent)


def examples(command: str) -> str:
    """Return the end of the help of a command (or of `vsr`)."""
    lines = dedent(EXAMPLES[command]).strip().splitlines()
    return "\n".join(["examples:", *(f"  {line}" for line in lines)])
