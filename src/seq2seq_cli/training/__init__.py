"""From settings to a trained run folder.

To read how a model is trained, begin with `run` and `trainer`.

- `diagnosis`: what the figures of training say is wrong
- `optimization`: AdamW, and the learning rate as a function of the update
- `limits`: when training ends, and a schedule with it
- `averaging`: means of weights
- `checkpointing`: tensors of the training state
- `torch_compile`: layers through torch.compile
- `fine_tuning`: training that begins with the weights of another run
- `cross_entropy`: cross-entropy fused with the projection to the vocabulary
- `copying`: the loss of models that copy from the source
- `r_drop`: R-Drop fused with the projection
- `objective`: the loss that training minimises
- `memory`: how many tokens of a batch fit a device, and less memory for the same gradients
- `distributed`: the processes that train together, and what they exchange
- `gradient_exchange`: sums of gradients over all processes
- `micro_batch`: the share of an update that a process computes
- `sharding`: models that outgrow a device, by FSDP2
- `signals`: SIGINT and SIGTERM save first
- `progress`: figures, time and the listener
- `gradients`: those of an update, from batches that fit into memory
- `trackers`: who else gets the figures of training
- `storage`: tensors of a training, into the run folder and back
- `best_weights`: weights that are saved, averaged and chosen
- `trainer`: the loop, resumable at any update
- `validation`: loss and scores of a model between updates
- `preparation`: text to token pairs
- `data_faults`: repetitions, and text in two places
- `machine`: the device that training runs on
- `planning`: whether a run begins or continues, and its complete settings
- `settings`: a preset, a settings file and single settings to the settings of a run
- `process_checks`: what processes that train together must have alike
- `initial_model`: the model that training begins with
- `run`: settings to a trained run folder
"""
