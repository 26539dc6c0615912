"""The run folder: everything that a trained model is, and all that training needs to resume.

To read it, begin with `layout` and `run_folder`.

- `layout`: what lies where in a run folder
- `lock`: only one training writes into a run folder
- `new_folder`: folders that appear when they are complete
- `arrays`: weights of safetensors files, mapped and checked
- `packed_weights`: packed weights, kept for the next start
- `stored_weights`: weights that are read when they are written
- `tensors`: safetensors files that carry their hash, from and to PyTorch
- `shards`: tensors of a checkpoint that several processes write a shard of each
- `metrics`: metrics.jsonl, the record of training
- `events`: event files of TensorBoard
- `training_state`: where training stands, apart from tensors
- `saved_weights`: weights that training puts aside
- `checkpoints`: what training resumes from
- `tokenizers`: the tokenizers of both sides
- `origin`: where an imported run came from
- `run_config`: the settings of a run, in config.toml
- `run_folder`: the folder as a whole

All but `tensors` and `shards` are free of torch until they write, so that translating needs none,
and a command can refuse a wrong path or setting at once. Nothing is pickled: reading a stranger's
folder runs none of its code. A file or a checkpoint appears in one step (temporary name, fsync,
rename), so that a kill leaves either the old or the new one.
"""
