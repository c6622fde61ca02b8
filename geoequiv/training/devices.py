"""How many devices share the steps of one training."""

import torch

from geoequiv.errors import ConfigError


def check_devices(device: torch.device, count: int) -> None:
    """Make sure that this machine has as many devices as a training asks for.

    Args:
        device: of the session; on "cuda", the first `count` GPUs are taken. On the CPU, `count` processes share its
            cores.
        count: `devices` of the training.

    Raises:
        ConfigError: there are fewer, or the device names one of them.
    """
    if count == 1 or device.type == "cpu":
        return
    asked = f"`train: {{devices: {count}}}` needs {count} {device.type} devices"
    if device.index is not None:
        raise ConfigError(f"{asked}, and the device {device} is one: take --device {device.type}.")
    there = torch.cuda.device_count() if device.type == "cuda" else 1
    if count > there:
        raise ConfigError(f"{asked}; this machine has {there}.")
