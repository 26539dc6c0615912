"""Models made ready for search on a CPU: packed weights, in float32 or in 8 bits, without torch.

`architectures` says which models there are kernels for; `search` and `translation.loading` ask it.

To read it, begin with `base`, then `transformer`.

- `plain_model`: a model as its settings and weights
- `weights`: the weights of a model by name
- `positions`: vectors for the positions of tokens
- `base`: what models in kernels have in common
- `transformer_positions`: how the Transformer in kernels encodes positions
- `transformer`: the Transformer in kernels
- `conv`: the convolutional model in kernels
- `recurrent`: what both recurrent models in kernels have in common
- `attention_rnn`: the RNN with attention in kernels
- `rnn`: the RNN with a fixed context in kernels
- `architectures`: the model in kernels for the settings of a model
"""
