"""Batches of an endless, numbered set of samples: a pure function of the position."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler


class NumberedBatches(Sampler[list[int]]):
    """Batches of sample numbers from `start` on, for one of several processes.

    All processes together draw every number once, in order: a batch of the whole run is
    `processes * batch` numbers in a row, of which process `rank` takes the `rank`-th part.
    """

    def __init__(
        self, *, start: int, batches: int, batch: int, rank: int = 0, processes: int = 1
    ) -> None:
        super().__init__()
        self.start, self.batches, self.batch = start, batches, batch
        self.rank, self.processes = rank, processes

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(self.batches):
            first = self.start + (number * self.processes + self.rank) * self.batch
            yield list(range(first, first + self.batch))

    def __len__(self) -> int:
        return self.batches


class Numbered(Dataset[dict[str, Tensor]]):
    """A numbered set whose samples also say their number, as `index`."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {**self.samples[index], "index": torch.tensor(index)}


def sample_generator(seed: int, number: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Randomness of one sample: the same in every run, whatever the batches and processes."""
    state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state))
