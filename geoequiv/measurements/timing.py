"""Seconds per sample at inference."""

import statistics
import time

import torch

from geoequiv.fields import call_model
from geoequiv.measurements.batches import first_items
from geoequiv.measurements.measurement import Measured, Reading, Subject

#: forward passes before the timed ones
WARM_UP = 2


def timing(subject: Subject) -> Measured:
    """Seconds per sample: the median of repeated forward passes over one batch, without gradients, after a warm-up.

    On an accelerator the clock is read when the device has finished.
    """
    model, task, config = subject.model, subject.task, subject.evaluate
    batch = first_items(task.splits["test"], config.batch_size, model)
    size = min(config.batch_size, len(task.splits["test"]))
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    was_training = model.training
    model.eval()
    seconds = []
    with torch.no_grad():  # not inference_mode: a force field may differentiate inside
        for _ in range(WARM_UP + config.repeats):
            synchronize(device)
            start = time.perf_counter()
            call_model(model, task.signature, batch)
            synchronize(device)
            seconds.append(time.perf_counter() - start)
    model.train(was_training)
    median = statistics.median(seconds[WARM_UP:]) / size
    return Measured(
        {"seconds/inference": Reading(median)}, {"timing": {"batch_size": size, "threads": torch.get_num_threads()}}
    )  # fmt: skip


def synchronize(device: torch.device) -> None:
    """Wait until a device has computed all that it was given; the CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
