"""Propagator: fuses the frames of a clip along its flow, and hands its state to the next clip."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor

from vsr.errors import InputError
from vsr.models.flow_estimators import FlowEstimator
from vsr.ops.flow import Flows
from vsr.ops.frames import require_shape
from vsr.propagation.detail import restore_high_band
from vsr.propagation.fusion import PropagationConfig, propagate_frames
from vsr.propagation.shares import GatedShares, RoundTripShares


@dataclass(frozen=True, slots=True)
class PropagationState:
    """The end of a clip, with which the next clip of its shot begins; a cut drops it."""

    latents: Float[Tensor, "b c h w"]
    """Fused latents (or pixels) of the last frame, at the last of the propagation steps."""
    frame: Float[Tensor, "b 3 h2 w2"]
    """The last small frame, from which flow to the next clip's first frame is estimated."""
    frames: int
    """Frames of the shot so far."""
    earlier: Float[Tensor, "steps b c h w"] | None = None
    """The latents at the propagation steps before the last one, where there are any."""
    weight: Float[Tensor, "b 1 h2 w2"] | None = None
    """The number of frames that each place of the last frame counts for; None without a gate."""

    def at(self, step: int) -> Self:
        """Returns the state with which the propagation step of that number, from 0, begins."""
        if self.earlier is None or step >= len(self.earlier):
            return self
        return replace(self, latents=self.earlier[step])

    def to_bytes(self) -> bytes:
        """Returns the state as bytes, for a file: the number of frames, then safetensors."""
        tensors = {name: getattr(self, name) for name in ("latents", "frame", "earlier", "weight")}
        stored = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in tensors.items()
            if tensor is not None
        }
        return struct.pack("<Q", self.frames) + save(stored)

    @classmethod
    def from_bytes(cls, data: bytes, device: torch.device) -> Self:
        """Returns the state of `to_bytes`, with its tensors on `device`."""
        (frames,) = struct.unpack_from("<Q", data)
        tensors = {name: tensor.to(device) for name, tensor in load(data[8:]).items()}
        return cls(frames=frames, **tensors)


class Propagator:
    """Fuses a clip along the flow of its small frames `low_res`: latents and pixels alike.

    `flow` estimates that flow, or is it. The frames to fuse are `scale` times larger. `state` is
    that of the clip before, of the same shot. With `restore_detail` each fused frame gets its own
    fine detail's energy back; that is for pixels, or latents that are pixels.

    Raises InputError where flows or state do not fit the frames.
    """

    def __init__(
        self,
        config: PropagationConfig,
        low_res: Float[Tensor, "b 3 t h w"],
        *,
        flow: FlowEstimator | Flows,
        scale: float = 1.0,
        state: PropagationState | None = None,
        restore_detail: bool = False,
    ) -> None:
        self.config = config
        self.restore_detail = restore_detail
        self._low_res = low_res
        self._before = state
        self._scale = scale
        self._shares = self._all_shares(flow)
        self._last: list[Float[Tensor, "b c h w"]] = []

    def fuse(
        self, frames: Iterable[Float[Tensor, "b c h2 w2"]]
    ) -> Iterator[Float[Tensor, "b c h2 w2"]]:
        """Yields the fused frames of one propagation step, as float32; they may be of any size.

        `frames` are gone through twice, the second time each just before its fused one is asked
        for: they are no iterator.
        """
        assert iter(frames) is not frames
        own = list(frames)
        last = own[0]
        size = (last.shape[-2], last.shape[-1])
        fused = propagate_frames(
            own,
            lambda i, n: self._shares.link(i, n, size),
            config=self.config,
            previous=self._previous(last),
        )
        for original in frames:
            last = next(fused).float()
            yield restore_high_band(last, original.float()) if self.restore_detail else last
        self._last.append(last.clone())  # a view would keep the whole clip in memory

    def state(self) -> PropagationState:
        """Returns what the next clip of the shot begins with, after all propagation steps."""
        so_far = 0 if self._before is None else self._before.frames
        *earlier, last = self._last
        return PropagationState(
            latents=last,
            frame=self._low_res[:, :, -1].clone(),
            frames=so_far + self._low_res.shape[2],
            earlier=torch.stack(earlier) if earlier else None,
            weight=self._shares.weight if isinstance(self._shares, GatedShares) else None,
        )

    def _all_shares(self, flow: FlowEstimator | Flows) -> RoundTripShares | GatedShares:
        low_res, before = self._low_res, self._before
        if before is not None:
            frame = require_shape("state.frame", before.frame, low_res[:, :, 0].shape)
            low_res = torch.cat([frame[:, :, None].to(low_res), low_res], dim=2)
        flows = flow.to(low_res.device) if isinstance(flow, Flows) else flow(low_res)
        needed = low_res.shape[2] - 1
        if flows.pairs != needed:
            frames = f"{self._low_res.shape[2]} frames{'' if before is None else ' after a state'}"
            raise InputError(
                f"flows do not fit the frames: found {flows.pairs} pairs, {frames} need {needed}"
            )
        if self.config.gate is None:
            return RoundTripShares(flows, self.config, 0 if before is None else 1)
        return GatedShares(low_res, flows, self.config, scale=self._scale, weight=self._weight())

    def _weight(self) -> Float[Tensor, "b 1 h w"] | None:
        """The weight of the frame before the clip, one if its clip was made without a gate."""
        if self._before is None:
            return None
        if self._before.weight is None:
            return torch.ones_like(self._low_res[:, :1, 0])
        return self._before.weight.to(self._low_res)

    def _previous(self, first: Tensor) -> Float[Tensor, "b c h2 w2"] | None:
        if self._before is None:
            return None
        return require_shape(
            "state.latents", self._before.at(len(self._last)).latents, first.shape
        ).to(first)
