"""RecurrentUpscalePipeline: a network whose features go along the flow, from clip to clip too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.models.basicvsr import BasicVsr
from vsr.models.blocks import channels_innermost
from vsr.models.flow_estimators import DisFlow, FlowEstimator
from vsr.ops.flow import Flows
from vsr.ops.frame_formats import LargeFrames, as_low_res, checked_output_type, collect
from vsr.ops.frames import match_groups, require_shape
from vsr.pipelines.clip_length import RECURRENT_LOOK_AHEAD
from vsr.pipelines.memory import MemoryTraits
from vsr.pipelines.settings import SamplingConfig, given, only_useful
from vsr.pipelines.streaming import StreamingPipeline
from vsr.propagation.propagator import PropagationState
from vsr.runtime.device import place_and_format
from vsr.runtime.timing import NullTimer, Timer, timed

RECURRENT_SAMPLING = SamplingConfig(
    num_inference_steps=1,
    guidance_scale=1.0,
    noise_level=0,
    segment_length=1,
    segment_stride=1,
    color="none",
)
"""The settings of recurrent networks: one step, no noise, no text, features instead of fusion."""
_CHOICES = ("color", "seed", "propagation_steps")
"""The fields of SamplingConfig that a recurrent network has a use for; it draws no noise."""


@dataclass(slots=True)
class RecurrentUpscaleOutput:
    """A finished clip."""

    frames: LargeFrames
    state: PropagationState | None
    """The features of the last frame, for the next clip of the same shot."""


class RecurrentUpscalePipeline(StreamingPipeline):
    """Upscales clips by a network that carries features both ways in time; see `__call__`.

    Forward features go from clip to clip as state. Backward features begin anew in each clip, a few
    frames after its end: `look_ahead` says how many frames of the next clip are looked at.
    """

    look_ahead = RECURRENT_LOOK_AHEAD

    def __init__(self, network: BasicVsr, name: str, settings: SamplingConfig | None = None):
        self.network = network
        self.name = name
        self.settings = settings or RECURRENT_SAMPLING
        self.flow_estimator: FlowEstimator | None = None
        channels_innermost(network)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        torch_dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Returns the pipeline of the network in a .safetensors or .pth file.

        Raises ModelError if the file is missing, broken or of another network.
        """
        path = Path(path)
        return cls(BasicVsr.load(path).to(device, torch_dtype), path.name)

    @property
    def scale(self) -> int:
        """The factor by which frames grow."""
        return self.network.scale

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the network."""
        return self.network.fusion.weight.dtype

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.network.fusion.weight.device

    def to(self, *places: torch.dtype | torch.device | str) -> Self:
        """Move the network to a device, or change its number format, or both."""
        device, dtype = place_and_format(places, self.device, self.dtype)
        self.network.to(device, dtype)
        return self

    @torch.no_grad()
    def __call__(
        self,
        frames: Any,
        *,
        ahead: Any = None,
        first_frame: int | Sequence[int] = 0,
        state: PropagationState | None = None,
        settings: SamplingConfig | None = None,
        flows: Flows | tuple[Tensor, Tensor] | None = None,
        output_type: str = "np",
        timer: Timer | None = None,
        **overrides: Any,
    ) -> RecurrentUpscaleOutput:
        """Returns the frames of one clip, `scale` times larger, with its state.

        Takes what VideoUpscalePipeline takes, as far as a network without text, noise and steps has
        a use for it. `ahead`: the frames that follow the clip in its shot, any number of them; the
        nearest `look_ahead` are looked at, so that the clip's last frames are as those within.
        `flows`, if given, cover the frame before the clip (with a `state`), the clip and those
        frames. `first_frame` changes nothing: no noise is drawn.

        Raises ConfigError for a value without use, InputError for frames of another form.
        """
        timer = timer or NullTimer()
        form = checked_output_type(output_type)
        del first_frame
        settings = self.configured(overrides, base=settings)
        low_res = as_low_res(frames).to(self.device)
        seen = self._with_ahead(low_res, ahead)
        with timer("flow"):
            flow = self._flows(seen, state) if flows is None else Flows.of(flows).to(self.device)
        run = _ClipRun(self.network, low_res, seen, flow, state)
        large = timed(run.large_frames(), timer, "network")
        coloured = match_groups(large, low_res, color=settings.color, timer=timer)
        images = collect(coloured, form, like=frames)
        return RecurrentUpscaleOutput(images, run.state())

    def configured(
        self,
        overrides: Mapping[str, Any],
        *,
        preset: str | None = None,
        base: SamplingConfig | None = None,
    ) -> SamplingConfig:
        """Returns the settings of a call: the pipeline's own (or `base`) and overrides.

        Raises ConfigError for what a recurrent network has no use for, a preset among them.
        """
        settings = self.settings if base is None else base
        chosen = given({**overrides, "preset": preset})
        only_useful(chosen, settings, used=_CHOICES, who=self.name)
        if chosen.get("propagation_steps"):
            raise ConfigError(
                f"propagation_steps = {','.join(map(str, chosen['propagation_steps']))}, but "
                f"{self.name} carries features itself: it can be none"
            )
        return settings.overridden(chosen)

    @property
    def memory_traits(self) -> MemoryTraits:
        """The ways in which this pipeline can use less memory: shorter clips, not tiles."""
        return MemoryTraits(smallest_tile=None)

    def set_attention_backend(self, backend: str) -> None:
        """Accept "sdpa", for there is no attention; ConfigError for another."""
        if backend != "sdpa":
            raise ConfigError(f"attention = {backend}, but {self.name} has none: leave it out")

    def offload_idle_networks(self, device: torch.device) -> None:
        """Change nothing: a single network is never idle."""

    def _with_ahead(self, low_res: Tensor, ahead: Any) -> Float[Tensor, "1 3 t h w"]:
        """The frames of the clip, and after them those to look at."""
        if ahead is None or self.look_ahead == 0:
            return low_res
        after = as_low_res(ahead)[:, :, : self.look_ahead].to(low_res)
        _, _, count, *_ = after.shape
        require_shape("ahead", after, (1, 3, count, *low_res.shape[3:]))
        return torch.cat([low_res, after], dim=2)

    def _flows(self, seen: Tensor, state: PropagationState | None) -> Flows:
        if self.flow_estimator is None:
            self.flow_estimator = DisFlow(fine=True)
        if state is not None:
            frame = require_shape("state.frame", state.frame, seen[:, :, 0].shape)
            seen = torch.cat([frame[:, :, None].to(seen), seen], dim=2)
        return self.flow_estimator(seen)


@dataclass(slots=True)
class _ClipRun:
    """One clip in the network, and the state that it leaves."""

    network: BasicVsr
    low_res: Float[Tensor, "1 3 t h w"]
    seen: Float[Tensor, "1 3 t2 h w"]
    flows: Flows
    before: PropagationState | None
    last: Float[Tensor, "1 c h w"] | None = None

    def large_frames(self) -> Iterator[Float[Tensor, "1 3 1 h2 w2"]]:
        """The large frames in [-1, 1], one by one."""
        skipped = 0 if self.before is None else 1
        seen, count = self.seen / 2 + 0.5, self.low_res.shape[2]
        backward = self.network.backward_features(
            seen, self.flows.forward[:, :, skipped:], keep=count
        )
        forward = self.network.forward_features(
            seen[:, :, :count], self.flows.backward, previous=self._previous()
        )
        for i, features in enumerate(forward):
            large = self.network.large_frame(seen[:, :, i], backward.pop(0), features)
            self.last = features
            yield (large.clamp(0, 1) * 2 - 1)[:, :, None]

    def state(self) -> PropagationState:
        """The state for the next clip, once all frames are made."""
        assert self.last is not None, "a clip has frames"
        so_far = 0 if self.before is None else self.before.frames
        return PropagationState(
            latents=self.last,
            frame=self.low_res[:, :, -1].clone(),
            frames=so_far + self.low_res.shape[2],
        )

    def _previous(self) -> Tensor | None:
        if self.before is None:
            return None
        _, _, _, h, w = self.low_res.shape
        return require_shape("state.latents", self.before.latents, (1, self.network.channels, h, w))
