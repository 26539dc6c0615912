"""Kernels of search.

Dimensions: N rows of hypotheses, D width, H heads, S source tokens, T target tokens, V columns.

To read them, begin with `decoding`, then `search`.

- `linear`: linear layers with packed weights, float32 or 8 bits
- `encoder_memory`: what encoders read, and what they leave for decoders
- `decoding`: a decoder that reads one token of each row
- `transformer`: encoder and decoder of the Transformer
- `convolution`: encoder and decoder of the convolutional model
- `recurrent`: cells, and the decoder of the RNN with attention
- `search`: whole searches, by beam or by sampling
- `forced_decoding`: scores of given targets, and attention
"""
