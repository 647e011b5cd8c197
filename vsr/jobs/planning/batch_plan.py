"""The plan of a batch: that of each film, and the time and disk of all."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from vsr.config import UpscaleConfig
from vsr.errors import InputError, VsrError, explained_os_error
from vsr.jobs.films import Batch, BatchFilm
from vsr.jobs.planning.plan import Plan, plan, sized


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The plans of the films, those whose outputs exist, and those that cannot be upscaled."""

    plans: tuple[Plan, ...]
    skipped: tuple[BatchFilm, ...]
    failed: tuple[tuple[BatchFilm, VsrError], ...]

    @property
    def refusal(self) -> VsrError | None:
        """The reason why not all films can be upscaled; None if there is none."""
        reasons = [error for _, error in self.failed]
        reasons += [found.refusal for found in self.plans if found.refusal is not None]
        if not reasons:
            return None
        total = len(self.plans) + len(self.skipped) + len(self.failed)
        return InputError(f"{len(reasons)} of {total} films cannot be upscaled, as listed")

    def __str__(self) -> str:
        """The totals: the plans themselves are shown as they are made."""
        seconds = sum(found.forecast.seconds for found in self.plans)
        output = sum(found.forecast.output_bytes for found in self.plans)
        counts = [f"{len(self.plans)} to upscale"]
        counts += [f"{len(self.skipped)} made before"] if self.skipped else []
        counts += [f"{len(self.failed)} that cannot be upscaled"] if self.failed else []
        return (
            f"films  {', '.join(counts)}\n"
            f"disk   about {sized(output)} for all outputs\n"
            f"time   about {timedelta(seconds=round(seconds))} in all"
        )

    def to_json(self) -> str:
        """Return the plans as JSON."""
        values: dict[str, Any] = {
            "films": [json.loads(found.to_json()) for found in self.plans],
            "skipped": [str(film.source) for film in self.skipped],
            "failed": {str(film.source): str(error) for film, error in self.failed},
        }
        return json.dumps(values, indent=2)


def plan_batch(batch: Batch, config: UpscaleConfig, show: Callable[[str], None]) -> BatchPlan:
    """Return the plans of all films; `show` gets each one in words as soon as it is made.

    Nothing is written. A film whose output exists is skipped unless `config.overwrite`.
    """
    plans: list[Plan] = []
    skipped: list[BatchFilm] = []
    failed: list[tuple[BatchFilm, VsrError]] = []
    for film in batch.films:
        try:
            if film.output.exists() and not config.overwrite:
                skipped.append(film)
                show(f"source  {film.source}: {film.output} exists, which is skipped\n")
                continue
            found = plan(film.source, film.output, config, makes_folder=True)
        except (VsrError, OSError) as error:
            reason = explained_os_error(error) if isinstance(error, OSError) else error
            failed.append((film, reason))
            show(f"source  {film.source}: FAILED {reason}\n")
            continue
        plans.append(found)
        refusal = f"FAILED  {found.refusal}\n" if found.refusal is not None else ""
        show(f"{found}\n{refusal}")
    return BatchPlan(tuple(plans), tuple(skipped), tuple(failed))
