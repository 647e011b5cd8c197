"""The loader of training batches and its worker processes."""

import signal

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vsr.training.data.sampler import NumberedBatches


def make_loader(
    dataset: Dataset[dict[str, Tensor]],
    batches: NumberedBatches,
    *,
    workers: int,
    prefetch: int,
    pin_memory: bool,
) -> DataLoader:
    """The batches of a dataset, made by `workers` processes (0: this one).

    Each worker keeps `prefetch` batches ready.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        generator=torch.Generator(),  # else it draws from the one that a resumed run restores
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        worker_init_fn=_prepare_worker,
        pin_memory=pin_memory,
    )


def _prepare_worker(worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for number in (signal.SIGTERM, signal.SIGINT):  # they reach the whole group of processes
        signal.signal(number, signal.SIG_IGN)
