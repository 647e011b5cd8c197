"""Evaluates a set of clips: every figure that can be had, and the reason for those that cannot."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from vsr import __version__
from vsr.errors import ConfigError
from vsr.evaluation.clip import EVERY, evaluate_clip, mean_of, pictures, truth_figures
from vsr.evaluation.frechet import frame_features, frechet_distance
from vsr.evaluation.meters import Figures, Picture
from vsr.evaluation.networks import Networks, load_networks
from vsr.evaluation.protocol import protocol
from vsr.evaluation.record import ClipScore, Record
from vsr.evaluation.sets import Pair, find_clips, find_pairs
from vsr.evaluation.vsreval import FIGURES, VsrevalResults, command
from vsr.video.content import content_hash


@dataclass(frozen=True, slots=True)
class Sources:
    """Files beside the clips: all may be None.

    `reference` is a set of clean films or pictures for FID (None: the ground truth). `raft` holds
    weights for EvalCrafter's warping error. `vsreval` is the `results.json` of vsreval. `record`
    keeps the clips that are measured, so that an interrupted evaluation goes on.
    """

    reference: Path | None = None
    raft: Path | None = None
    vsreval: Path | None = None
    record: Path | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All scores of a set; `inputs` are hashes of contents by path.

    `of_set` are figures that the set has as a whole; `protocol` defines all figures.
    """

    protocol: Mapping[str, object]
    inputs: Mapping[str, str]
    clips: tuple[ClipScore, ...]
    missing: Mapping[str, str]
    of_set: Figures

    @property
    def mean(self) -> Figures:
        """The mean of each figure over the clips that have it, and the figures of the set."""
        return mean_of([clip.figures for clip in self.clips]) | self.of_set


def evaluate(
    outputs: Path,
    truth: Path | None = None,
    *,
    every: int = EVERY,
    jobs: int = 1,
    sources: Sources | None = None,
) -> Evaluation:
    """Measure a video, a folder of pictures, or a folder of these, against `truth` if given.

    `every`: perceptual networks see every Nth frame. `jobs`: clips at the same time.
    """
    for name, value in (("every", every), ("jobs", jobs)):
        if value < 1:
            raise ConfigError(f"{name} = {value} is too small; it must be 1 or more")
    sources = sources or Sources()
    pairs = find_pairs(outputs, truth)
    results = VsrevalResults.load(sources.vsreval) if sources.vsreval else None
    networks = load_networks(sources.raft)
    run = _Run(pairs, networks, every, protocol(networks, every, results), _hashes(pairs))
    clips = run.clips(jobs, Record(sources.record))
    of_set, missing = run.distance(sources.reference)
    missing |= _missing_vsreval(clips, results, outputs)
    if truth is None:
        without = dict.fromkeys(truth_figures(networks), "there is no ground truth")
        missing = without | missing
    for clip in clips:
        missing |= {name: f"{clip.name}: {reason}" for name, reason in clip.missing.items()}
    merged = tuple(_merged(clip, results) for clip in clips)
    return Evaluation(run.protocol, run.inputs, merged, dict(networks.missing) | missing, of_set)


@dataclass(frozen=True, slots=True)
class _Run:
    pairs: Sequence[Pair]
    networks: Networks
    every: int
    protocol: Mapping[str, object]
    inputs: Mapping[str, str]

    def clips(self, jobs: int, record: Record) -> tuple[ClipScore, ...]:
        """The scores of all clips, those of an earlier run from the record."""

        def score(pair: Pair) -> ClipScore:
            key = self._key(pair)
            found = record.find(key)
            if found is None:
                found = evaluate_clip(pair, self.networks, every=self.every)
                record.add(key, found)
            return replace(found, name=pair.name)

        with ThreadPoolExecutor(jobs) as pool:
            return tuple(pool.map(score, self.pairs))

    def distance(self, reference: Path | None) -> tuple[Figures, dict[str, str]]:
        """FID of the outputs against a set or the truths, or the reason why there is none."""
        if self.networks.features is None:
            return {}, {}
        truths = [pair.truth for pair in self.pairs if pair.truth is not None]
        references = find_clips(reference) if reference else truths
        if not references:
            return {}, {"fid": "there is neither a ground truth nor a set given by --reference"}
        sets = (
            frame_features(self._frames(paths), self.networks.features)
            for paths in ([pair.output for pair in self.pairs], references)
        )
        return {"fid": frechet_distance(*sets)}, {}

    def _frames(self, paths: Sequence[Path]) -> Iterator[Picture]:
        for path in paths:
            yield from islice(pictures(path), None, None, self.every)

    def _key(self, pair: Pair) -> str:
        """Everything that the score of a clip depends on."""
        hashes = [self.inputs[str(path)] for path in pair.paths]
        parts = [__version__, self.protocol, sorted(self.networks.missing), hashes]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _hashes(pairs: Sequence[Pair]) -> dict[str, str]:
    return {str(path): content_hash(path) for pair in pairs for path in pair.paths}


def _missing_vsreval(
    clips: Sequence[ClipScore], results: VsrevalResults | None, outputs: Path
) -> dict[str, str]:
    if results is None:
        return dict.fromkeys(FIGURES.values(), f"they come from vsreval: {command(outputs)}")
    absent = [clip.name for clip in clips if clip.name not in results.clips]
    if not absent:
        return {}
    return dict.fromkeys(FIGURES.values(), f"the results of vsreval lack {', '.join(absent)}")


def _merged(clip: ClipScore, results: VsrevalResults | None) -> ClipScore:
    more = results.clips.get(clip.name, {}) if results else {}
    return replace(clip, figures=clip.figures | more)
