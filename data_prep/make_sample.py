"""Draws vsr/assets/sample.mp4: a camera moves over three free photographs, and a few notes sound.

    pip install scikit-image ".[data]" && python data_prep/make_sample.py vsr/assets/sample.mp4

Without the sample, `--truth FILE.mkv` writes the large frames, lossless, as the ground truth for
`vsr benchmark`.
The photographs come inside the scikit-image wheel: the portrait of Eileen Collins (NASA, public
domain), the cat Chelsea (Stefan van der Walt, CC0) and the cup of coffee (Rachel Michetti, CC0).
"""

import argparse
import importlib.util
import tempfile
import wave
from pathlib import Path

import cv2
import ffmpeg
import imageio_ffmpeg
import numpy as np

WIDTH, HEIGHT, RATE, SECONDS_A_SHOT = 128, 96, 25, 1
AUDIO_RATE = 44100
# Each shot: file, then centre x, centre y and width of the view, in widths of the photograph,
# at the first and at the last frame.
SHOTS = (
    ("astronaut.png", (0.42, 0.30, 0.78), (0.44, 0.26, 0.62)),
    ("chelsea.png", (0.46, 0.33, 0.86), (0.52, 0.32, 0.74)),
    ("coffee.png", (0.44, 0.36, 0.72), (0.56, 0.33, 0.78)),
)


def draw_frames(folder: Path) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [degrade(frame, rng) for frame in draw_large_frames(folder)]


def draw_large_frames(folder: Path) -> list[np.ndarray]:
    """The frames before they are made small."""
    frames = []
    for name, first, last in SHOTS:
        photo = cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)
        count = RATE * SECONDS_A_SHOT
        for share in np.linspace(0, 1, count):
            x, y, view = (1 - share) * np.array(first) + share * np.array(last)
            frames.append(crop(photo, x, y, view))
    return frames


def crop(photo: np.ndarray, x: float, y: float, view: float) -> np.ndarray:
    """The view four times as large as a sample frame."""
    scale = view * photo.shape[1] / (4 * WIDTH)
    centre = np.array([x, y]) * photo.shape[1]
    corner = centre - scale * np.array([4 * WIDTH, 4 * HEIGHT]) / 2
    matrix = np.float64([[scale, 0, corner[0]], [0, scale, corner[1]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    size = (4 * WIDTH, 4 * HEIGHT)
    return cv2.warpAffine(photo, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT)


def degrade(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, reduction by 4, noise: the codec does the rest."""
    soft = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 1.0)
    small = cv2.resize(soft, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(small + rng.normal(0, 3, small.shape)), 0, 255).astype(np.uint8)


def play_notes(seconds: float) -> np.ndarray:
    """A broken chord, samples in [-1, 1]."""
    time = np.arange(round(seconds * AUDIO_RATE)) / AUDIO_RATE
    sound = np.zeros_like(time)
    for i, pitch in enumerate((262, 330, 392, 523, 392, 330)):
        since = time - i * seconds / 6
        ring = np.exp(-3 * since.clip(min=0)) * (since >= 0)
        sound += 0.15 * ring * np.sin(2 * np.pi * pitch * since)
    return sound


def write(path: Path, frames: list[np.ndarray]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".wav") as sound:
        save_wave(sound.name, play_notes(len(frames) / RATE))
        output = ffmpeg.output(
            piped(frames).video,
            ffmpeg.input(sound.name).audio,
            str(path),
            vcodec="libx264",
            pix_fmt="yuv420p",
            crf=25,
            preset="slow",
            acodec="aac",
            audio_bitrate="48k",
            movflags="faststart",
        )
        encode(frames, output)


def write_truth(path: Path, frames: list[np.ndarray]) -> None:
    encode(frames, ffmpeg.output(piped(frames), str(path), vcodec="ffv1", pix_fmt="gbrp"))


def piped(frames: list[np.ndarray]) -> ffmpeg.Stream:
    """The stream of the frames that `encode` writes."""
    height, width = frames[0].shape[:2]
    size = f"{width}x{height}"
    return ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=size, framerate=RATE)


def encode(frames: list[np.ndarray], output: ffmpeg.Stream) -> None:
    command = {"cmd": imageio_ffmpeg.get_ffmpeg_exe(), "overwrite_output": True, "quiet": True}
    ffmpeg.run(output, input=b"".join(frame.tobytes() for frame in frames), **command)


def save_wave(path: str, sound: np.ndarray) -> None:
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(AUDIO_RATE)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, nargs="?", help="the sample; not needed with --truth")
    parser.add_argument("--truth", type=Path, help="file for the large frames, lossless")
    parser.add_argument("--photos", type=Path, help="folder of the photographs; else scikit-image")
    arguments = parser.parse_args()
    folder = arguments.photos
    if folder is None:
        spec = importlib.util.find_spec("skimage")
        if spec is None or spec.origin is None:
            raise SystemExit("scikit-image is not installed, and --photos is not given")
        folder = Path(spec.origin).parent / "data"
    if arguments.truth:
        write_truth(arguments.truth, draw_large_frames(folder))
    if arguments.output:
        write(arguments.output, draw_frames(folder))


if __name__ == "__main__":
    main()
