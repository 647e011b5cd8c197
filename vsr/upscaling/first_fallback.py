"""The reductions with which a run of SeedVR begins, where its memory is known to be too small."""

import logging
from dataclasses import dataclass, replace
from math import sqrt
from typing import Self

from vsr.errors import DeviceError
from vsr.pipelines.seedvr.memory import MemoryNeed, room
from vsr.pipelines.seedvr.networks import Networks
from vsr.upscaling.fallback import AS_ASKED, Fallback
from vsr.upscaling.sizes import Size

_log = logging.getLogger(__name__)


def first_fallback(networks: Networks, size: Size) -> Fallback:
    """Returns the least reduction that is expected to fit frames of `size`, and says so.

    Raises DeviceError where even all of them need more than the device has.
    """
    fit = _Fit.of(networks, size)
    free, total = room(networks)
    fitting = [step for step in fit.steps if fit.bytes(step) <= free]
    if AS_ASKED in fitting:
        return AS_ASKED
    last = fit.steps[-1]
    asked = f"SeedVR at {size} needs about {_gigabytes(fit.bytes(AS_ASKED))} of memory"
    here = f"{_gigabytes(free)} of {_gigabytes(total)} are free on {networks.device}"
    least = f"even with {last} {_gigabytes(fit.bytes(last))}"
    if fit.bytes(last) > total:
        raise DeviceError(f"{asked}, {least}, and {here}: {fit.remedy(total)}")
    if not fitting:
        _log.warning(
            "%s, %s, and %s: end other programs, or %s", asked, least, here, fit.remedy(free)
        )
        return last
    _log.warning("%s, and %s: it begins with %s", asked, here, fitting[0])
    return fitting[0]


@dataclass(frozen=True, slots=True)
class _Fit:
    """The need of a run, and the reductions that its device allows, the cheapest first."""

    networks: Networks
    need: MemoryNeed
    steps: tuple[Fallback, ...]
    size: Size

    @classmethod
    def of(cls, networks: Networks, size: Size) -> Self:
        need = MemoryNeed.of(networks, size.height, size.width)
        steps = (AS_ASKED, Fallback(offload=True), Fallback(offload=True, by_rows=True))
        if networks.device.type == "cpu" or networks.waits:
            steps = (AS_ASKED, Fallback(by_rows=True))
        return cls(networks, need, steps, size)

    def bytes(self, step: Fallback) -> float:
        return self.need.bytes(waits=self._waits(step), by_rows=step.by_rows)

    def remedy(self, given: float) -> str:
        """A storage or a size of the output with which the last step fits into `given` bytes."""
        least, need = self.bytes(self.steps[-1]), self.need
        stored = replace(self, need=need.in_eight_bits())
        if not self.networks.is_stored and stored.bytes(self.steps[-1]) <= given:
            return "take --storage fp8"
        fixed = need.vae + (need.block if self._waits(self.steps[-1]) else need.transformer)
        share = max(given - fixed, 0.0) / max(least - fixed, 1.0)
        height = int(self.size.height * sqrt(min(share, 1.0))) // 16 * 16
        return f"take a smaller output, as --height {height}" if height else "take a larger machine"

    def _waits(self, step: Fallback) -> bool:
        return self.networks.waits or step.offload


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
