"""Recurrent cells (recurrent.cpp)."""

import torch
from torch import Tensor, nn

from seq2seq_cli.native import INT, POINTER, Linear, declaring

_compiled = declaring({"cell_step": (None, POINTER, POINTER, POINTER, INT, POINTER, POINTER)})


class Cell(nn.Module):
    """A layer of LSTM or GRU in one direction that runs token by token, called like torch's own."""

    def __init__(self, from_input: Linear, from_state: Linear) -> None:
        super().__init__()
        self.from_input, self.from_state = from_input, from_state

    def forward(
        self, x: Tensor, state: Tensor | tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """(N, T, inputs) and h, or h and c, (1, N, units) -> (N, T, units), the state after."""
        parts = state if isinstance(state, tuple) else (state,)
        own = [part[0].clone(memory_format=torch.contiguous_format) for part in parts]
        outputs = []
        for token in x.unbind(dim=1):
            token = token.contiguous()
            _compiled().cell_step(
                self.from_input.handle,
                self.from_state.handle,
                token.data_ptr(),
                token.size(0),
                own[0].data_ptr(),
                own[1].data_ptr() if len(own) > 1 else None,
            )
            outputs.append(own[0].clone())
        after = (own[0][None], own[1][None]) if len(own) > 1 else own[0][None]
        return torch.stack(outputs, dim=1), after
