"""The device that training runs on."""

from dataclasses import dataclass

import torch

from seq2seq_cli.devices import describe
from seq2seq_cli.kernels.library import build_in_use


@dataclass(frozen=True)
class Machine:
    """The device that training runs on, and the type of the model's products there."""

    device: torch.device
    precision: torch.dtype
    processes: int = 1

    def __str__(self) -> str:
        """The device for users to read; on a CPU with the build of the kernels in use."""
        text = describe(self.device, self.precision)
        if self.processes > 1:
            text = f"{self.processes} processes, each {text}"
        if self.device.type != "cpu":
            return text
        return f"{text}, kernels: {build_in_use() or 'none'}"
