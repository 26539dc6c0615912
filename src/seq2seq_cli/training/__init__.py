"""From settings to a trained run folder.

- `diagnosis`: what the figures of training say is wrong
- `optimization`: AdamW, and the learning rate as a function of the update
- `averaging`: means of weights
- `torch_compile`: layers through torch.compile
- `fine_tuning`: starts from the weights of another run
- `cross_entropy`: cross-entropy fused with the projection to the vocabulary
- `r_drop`: R-Drop fused with the projection
- `objective`: what training minimises
- `memory`: what fits a device, and less memory for the same gradients
- `trainer`: the loop, resumable at any update
- `validation`: what training asks about a model between updates
- `run`: settings to a trained run folder
"""
