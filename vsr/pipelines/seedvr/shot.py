"""One clip through the networks: encoded and decoded in the stream of its shot, one segment."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.models.seedvr.causal_vae import FRAMES_PER_LATENT, PIXELS_PER_LATENT
from vsr.models.seedvr.nadit import LATENT_CHANNELS
from vsr.ops.frame_formats import as_low_res
from vsr.pipelines.seedvr.canvas import Canvas
from vsr.pipelines.seedvr.networks import Networks
from vsr.pipelines.seedvr.noise import Draws
from vsr.pipelines.seedvr.plan import OVERLAP, SHORTEST, ClipPlan, fade_weights, frames_of
from vsr.pipelines.seedvr.sampler import FlowSampling, condition_timestep, noisy, sample
from vsr.pipelines.seedvr.state import ShotState, Streams
from vsr.propagation.propagator import PropagationState
from vsr.runtime.timing import Timer, timed

_KEPT = SHORTEST + OVERLAP
"""Conditions that are kept for the next segment."""
_FIRST_SLICE = 2
"""Latents in the first slice of a stream: longer than the others, so that it may round otherwise.
"""


@dataclass(frozen=True, slots=True)
class Texts:
    """The fixed embeddings; the negative one is needed with guidance alone."""

    positive: Float[Tensor, "words c"]
    negative: Float[Tensor, "words2 c"] | None = None


@dataclass(slots=True)
class ClipRun:
    """A clip with the frames after it, and the state that the clip before it left.

    `given` are source frames `t h w 3` as the caller has them: `count` of the clip, then others.
    """

    networks: Networks
    canvas: Canvas
    draws: Draws
    sampling: FlowSampling
    texts: Texts
    given: Tensor
    count: int
    first_frame: int
    before: ShotState | None
    timer: Timer
    latents: Float[Tensor, "t h w 16"] = field(init=False)
    """Final latents of the clip."""
    _plan: ClipPlan = field(init=False)
    _streams: Streams = field(init=False)
    _conditions: Tensor = field(init=False)
    _predicted: Tensor = field(init=False)
    _waiting: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        before = self.before
        self._plan = ClipPlan.of(
            self.count,
            len(self.given) - self.count,
            finished=self._finished,
            encoded=0 if before is None else before.encoded,
            decoded=0 if before is None else before.decoded,
            kept=0 if before is None else len(before.conditions),
        )
        self._waiting = [] if before is None else [before.waiting]

    def frames(self) -> Iterator[Float[Tensor, "1 3 _ h w"]]:
        """Yields the decoded frames of the clip, without padding and colour transfer."""
        self._streams = self._started()
        self._encode()
        self._denoise()
        yield from self._decode()

    def reference(self, start: int, count: int) -> Float[Tensor, "1 3 t h w"]:
        """Returns source frames of the clip at the size of the result."""
        return self._resized(self.given[start : start + count])

    def state(self, pixels: PropagationState | None) -> ShotState:
        """Returns the state for the next clip, once all frames are made."""
        vae, plan = self.networks.vae, self._plan
        source_length = FRAMES_PER_LATENT * (vae.encoder_reach + _FIRST_SLICE - 1) + 1
        clean = self.latents
        if self.before is not None:
            clean = torch.cat([self.before.clean, clean])
        return ShotState(
            frames=self._finished + self.count,
            decoded=plan.decode.stop,
            encoded=plan.encode.stop,
            source=self._source(range(0, plan.encode.stop))[-source_length:].clone(),
            clean=clean[-vae.decoder_reach - _FIRST_SLICE :].clone(),
            conditions=self._conditions[-_KEPT:].clone(),
            predicted=self._predicted.clone(),
            waiting=self._joined_waiting(),
            streams=self._streams,
            pixels=pixels,
        )

    def _joined_waiting(self) -> Tensor:
        if self._waiting:
            return torch.cat(self._waiting, dim=2)
        return torch.zeros(1, 3, 0, *self.canvas.shown, device=self.networks.device)

    @property
    def _finished(self) -> int:
        return 0 if self.before is None else self.before.frames

    @property
    def _latent_size(self) -> tuple[int, int]:
        h, w = self.canvas.padded
        return h // PIXELS_PER_LATENT, w // PIXELS_PER_LATENT

    @property
    def _shot_start(self) -> int:
        """Absolute number of the shot's first frame."""
        return self.first_frame - self._finished

    def _started(self) -> Streams:
        """The streams at the start of this clip: new, handed over, or made again."""
        new = Streams(self.networks.new_stream(), self.networks.new_stream())
        if self.before is None:
            return new
        streams = self.before.take_streams()
        return self._rebuilt(self.before, new) if streams is None else streams

    def _rebuilt(self, before: ShotState, streams: Streams) -> Streams:
        networks = self.networks
        with self.timer("encode"), networks.awake(networks.vae):
            frames, count = before.source, before.encoded
            latents = range(count - (len(frames) - 1) // FRAMES_PER_LATENT - 1, count)
            for part, of in _slices(frames, latents):
                mean = torch.zeros(1, LATENT_CHANNELS, len(of), *self._latent_size)
                networks.encode(self._prepared(part), streams.encoder, mean)
        with self.timer("decode"), networks.awake(networks.vae):
            # the frames are finished; only what the decoder carries after them is needed
            deque(networks.decode(before.clean, streams.decoder), maxlen=0)
        return streams

    def _encode(self) -> None:
        """Find the conditions of the latents that come with this clip."""
        networks, plan = self.networks, self._plan
        source = self._source(plan.encode)
        noise = self.draws.of_posterior(plan.encode, self._shot_start, self._latent_size)
        parts = [] if self.before is None else [self.before.conditions]
        with networks.awake(networks.vae):
            for part, latents in _slices(source, plan.encode):
                first = latents.start - plan.encode.start
                with self.timer("encode"):
                    found = networks.encode(
                        self._prepared(part),
                        self._streams.encoder,
                        noise[:, :, first : first + len(latents)],
                    )
                parts.append(self._noisy(found, latents))
        self._conditions = torch.cat(parts)

    def _noisy(self, found: Tensor, latents: range) -> Tensor:
        level = self.sampling.condition_noise
        if level == 0:
            return found
        h, w = self._latent_size
        noise = self.draws.of_condition(self._plan.encode, self._shot_start, (h, w)).to(found)
        first = latents.start - self._plan.encode.start
        timestep = condition_timestep(level, height=h, width=w)
        return noisy(found, noise[first : first + len(latents)], timestep)

    def _denoise(self) -> None:
        """Find the final latents of the clip, and those for the next one to fade out."""
        segment, decode = self._plan.segment, self._plan.decode
        condition = self._conditions[len(self._conditions) - len(segment) :]
        noise = self.draws.of_sampling(segment, self._shot_start, self._latent_size)
        networks = self.networks
        with self.timer("denoise"), networks.awake(networks.transformer):
            noise = noise.to(networks.device, torch.float32)
            velocity = partial(self._velocity, condition=condition)
            clean = sample(noise, velocity, steps=self.sampling.steps)
        clean = clean[decode.start - segment.start :]
        if self.before is not None:
            clean = _faded(self.before.predicted, clean)
        self.latents, self._predicted = clean[: len(decode)], clean[len(decode) :]

    def _velocity(self, x: Tensor, timestep: float, *, condition: Tensor) -> Tensor:
        guidance, texts = self.sampling.guidance, self.texts
        positive = self.networks.velocity(x, condition, texts.positive, timestep)
        if guidance == 1:
            return positive
        assert texts.negative is not None, "guidance needs negative text"
        negative = self.networks.velocity(x, condition, texts.negative, timestep)
        return negative + guidance * (positive - negative)

    def _decode(self) -> Iterator[Tensor]:
        """Yield the frames of the clip; those after it wait for the next one."""
        kept, self._waiting, missing = self._waiting, [], self.count
        for frames in chain(kept, self._decoded()):
            here = min(missing, frames.shape[2])
            if here > 0:
                yield frames[:, :, :here]
            if here < frames.shape[2]:
                self._waiting.append(frames[:, :, here:].clone())
            missing -= here

    def _decoded(self) -> Iterator[Tensor]:
        networks = self.networks
        made = networks.decode(self.latents, self._streams.decoder)
        with networks.awake(networks.vae):
            for frames in timed(made, self.timer, "decode"):
                yield self.canvas.finish(frames)

    def _source(self, latents: range) -> Tensor:
        """The source frames of latents, those of earlier clips as far as they are kept."""
        frames, before = frames_of(latents), self.before
        start, known = 0, self.given
        if before is not None:
            start = before.source_start
            encoded = start + len(before.source) - before.frames
            known = torch.cat([before.source, self.given[encoded:]])
        known = known[max(frames.start - start, 0) : frames.stop - start]
        copies = self._plan.padding if latents.stop == self._plan.encode.stop else 0
        return torch.cat([known, known[-1:].expand(copies, -1, -1, -1)]) if copies else known

    def _prepared(self, frames: Tensor) -> Tensor:
        return self.canvas.padded_frames(self._resized(frames))

    def _resized(self, frames: Tensor) -> Tensor:
        return self.canvas.resized(as_low_res(frames).to(self.networks.device))


def _slices(frames: Tensor, latents: range) -> Iterator[tuple[Tensor, range]]:
    """Slices of frames with their latents: 4 frames each, and the single first one with its next.

    Frames that begin a stream have one frame for their first latent: they are 4 n + 1.
    """
    count = len(frames)
    head = FRAMES_PER_LATENT + count % FRAMES_PER_LATENT
    first = 0
    for begin, end in pairwise(sorted({0, *range(head, count, FRAMES_PER_LATENT), count})):
        stop = first + ceil((end - begin) / FRAMES_PER_LATENT)
        yield frames[begin:end], latents[first:stop]
        first = stop


def _faded(before: Tensor, after: Tensor) -> Tensor:
    """The latents `after`, its first ones faded in over those that the last segment predicted."""
    count = min(len(before), len(after))
    if count == 0:
        return after
    weights = after.new_tensor(fade_weights(count)).view(-1, 1, 1, 1)
    mixed = before[:count] + weights * (after[:count] - before[:count])
    return torch.cat([mixed, after[count:]])
