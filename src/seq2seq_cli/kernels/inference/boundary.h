// The structs that Python fills for the kernels of search. The Python files beside this one declare
// the same structs, and tests/unit/test_boundary.py compares names, kinds and sizes.
//
// Dimensions: N rows of hypotheses, B sentences, D width, H heads, T target tokens, V columns of
// logits.

#pragma once

#include <cstdint>

// The numbers of an embedding, which are widened row by row. In the order of EMBEDDING_TYPES in
// encoder_memory.py.
enum EmbeddingType { FLOAT32, FLOAT16, BFLOAT16 };

// What an encoder reads: the tokens of all sentences, one after the other, without padding.
struct SourceTokens {
    int32_t sentences;
    int32_t embedding_type;    // EmbeddingType
    const int64_t *tokens;     // (tokens of all sentences,)
    const int32_t *lengths;    // (sentences,)
    const void *embedding;     // (vocabulary, D)
    const float *positions;    // (longest, D), added to embeddings; or null
    const float *rotations;    // (longest, 2, head_width / 2): cosines, then sines; or null
    // (H, 2 reach - 1), added to unscaled scores by the offset from a token to the one it looks at,
    // the first being 1 - reach; or null. `reach` is at least the longest
    const float *biases;
    int64_t reach;
    void *const *keys_values;  // written: for each decoder layer (tokens, 2, H head_width)
};

// The input of one step of a decoder.
struct StepInput {
    int32_t rows;               // N
    int32_t rows_per_sentence;  // which follow each other
    int32_t past_length;        // T, the number of earlier tokens in the cache
    int32_t tokens_read;        // all earlier tokens, also those that the cache has dropped
    int32_t embedding_type;     // EmbeddingType
    const int64_t *tokens;      // (N,), the tokens to read
    const void *embedding;      // (vocabulary, D)
    const float *position;      // (D,), added to embeddings; or null
    const float *rotations;     // (2, head_width / 2): cosines, then sines; or null
    const float *biases;        // (H, T + 1), added to unscaled scores of self-attention; or null
    int64_t bias_stride;        // from a head's biases to those of the next one
    const int32_t *paths;       // (N, T): the row that a row's token had in each earlier step
    int32_t *paths_after;       // written: (N, T + 1), or the last columns of it
    // T + 1 steps of the cache, (layers, rows then, numbers); the last is written
    void *const *past;
    const int32_t *past_rows;  // (T,), rows of each step
    // For each layer, keys and values (source tokens of all sentences, 2, D)
    const void *const *memory;
    const int32_t *starts;     // (sentences,), the first source token of each
    const int32_t *lengths;    // (sentences,), source tokens of each
    const int32_t *sentences;  // (N / rows_per_sentence,), indices of sentences in the search
    // Written unless null: the weights of cross-attention, (layers, heads, N, attention_stride) as
    // `DecoderSizes` counts them; what lies beyond the tokens of a row's sentence is left alone
    float *attention;
    int64_t attention_stride;  // at least the tokens of each sentence that is read
};

// What a decoder returns, and keeps in its cache.
struct DecoderSizes {
    int32_t width;              // of hidden states
    int32_t max_cached_tokens;  // the cache holds at most so many, the last ones
    int64_t token_bytes;        // in the cache, for each token of a row
    int32_t attention_layers;   // of cross-attention; 0 if the decoder does not attend to the source
    int32_t attention_heads;    // of each
};

struct TransformerSettings {
    int32_t width, heads, head_width, feed_forward, activation, decoder_attention;
    int32_t pre_norm;
    int32_t float16_keys_values;  // whether keys and values are float16, not float32
    float residual;               // that residuals are multiplied with
    float embedding_scale;
    float norm_epsilon;
};

// The norms before and after all layers, (D,) each; null if there are none, biases also in RMSNorm.
struct EndNorms {
    const float *embedding_weight, *embedding_bias, *last_weight, *last_bias;
};

// The weights of one layer; those of cross-attention are null in an encoder. The linear layers of
// self-attention are queries, keys and values together, and the output. In place of these, average
// attention has its feed-forward layer and the gates, and an SSRU the forget gate and the input
// together. The others are null.
struct LayerWeights {
    const void *self_input, *self_output, *self_gates;
    const void *cross_query, *cross_output, *inner, *outer;
    const float *self_weight, *self_bias, *cross_weight, *cross_bias;
    const float *feed_forward_weight, *feed_forward_bias;
};

struct ConvolutionSettings {
    int32_t width, channels, kernel;
    int32_t float16_keys_values;  // as in `TransformerSettings`
};

// The linear layers of one layer of the decoder.
struct ConvolutionWeights {
    const void *convolution, *query, *context;
};

struct RecurrentSettings {
    int32_t width, units;
    int32_t cell_states;     // 2 in an LSTM, hidden and cell; otherwise 1, hidden
    int32_t directions;      // in which the encoder reads
    int32_t reverse_source;  // whether the encoder reads the tokens before EOS from last to first
    int32_t input_feeding;   // whether the last hidden state of the decoder is read with a token
    int32_t float16_keys_values;  // as in `TransformerSettings`
};

// Attention of an RNN's decoder.
struct RecurrentAttention {
    int32_t score, heads;
    int32_t window;  // source tokens that are seen on each side of a centre; 0 if all are
    float scale;     // that dot products are multiplied with
    // Linear layers; null where the score has none. `centre` belongs to a predicted centre
    const void *query, *key, *value, *output, *centre;
    const float *score_weight;   // (U,), of additive scores and of the strength of cosines; or null
    const float *centre_weight;  // (U,), or null
    float strength;              // the bias of the strength of cosines
};

// One direction of a layer.
struct CellWeights {
    const void *from_input, *from_state;
};

// Settings of a search for a batch. Lengths are in tokens, with EOS.
struct SearchSettings {
    int32_t sentences;  // B
    int32_t beam;       // 0: `n_best` hypotheses of each sentence are drawn
    int32_t n_best;
    const int32_t *min_lengths;      // (B,)
    const int32_t *max_lengths;      // (B,)
    const double *length_penalties;  // (largest of `max_lengths` + 2,): divisors by length
    // Forced prefixes: the number of states of each sentence's, the last left out (B,), and the
    // first state in which it is complete (B,); whether the score of its first token does not
    // count (B,); for each state, one sentence after the other, the
    // number of its moves; and for each of these a column, ascending in a state, and the state
    // after it
    const int32_t *prefix_states;
    const int32_t *prefix_complete;
    const bool *first_is_free;
    const int32_t *move_counts;
    const int32_t *move_columns;
    const int32_t *move_states;
    double coverage_penalty;     // 0: none
    float repetition_penalty;    // 1: none
    int32_t no_repeat_ngram;     // 0: none
    double temperature, top_p;   // of draws
    int32_t top_k;               // of draws; 0: all columns
    const int64_t *column_tokens;  // (V,), the token of each column; null: the column itself
    const bool *absent;            // (B, V), columns that a sentence may not use; or null
};

// A model that a search uses, and the state that it starts from.
struct SearchModel {
    const void *decoder, *output;
    const void *embedding;      // (vocabulary, D)
    const void *const *memory;  // as in `StepInput`
    const int32_t *starts, *lengths;
    const void *initial_cache;  // the decoder's cache before the first token, or null
    float log_weight;           // of its probabilities in an ensemble
    int32_t alignment_layer;    // whose attention is averaged; -1: all layers
    int32_t alignment_head;     // -1: all heads
    int32_t embedding_type;     // EmbeddingType
    // Of a model that copies from the source: its gate, D weights and a bias, and the tokens of all
    // sentences; else null
    const float *copy_gate;
    const int64_t *source_tokens;
};

// Targets of a batch that a model reads, whatever it would choose. `tokens` are those to be
// predicted, with EOS, of one sentence after the other; each begins with BOS, which is not among
// them.
struct ForcedTargets {
    int32_t sentences;
    const int64_t *tokens;   // (tokens of all sentences,)
    const int32_t *lengths;  // (sentences,)
    float *scores;           // written: log-probabilities, (tokens of all sentences,); or null
    // Written unless null, where the token before each is read: of each model the weights of
    // attention, (layers, heads, tokens of all sentences, attention_stride), 0 beyond a source
    float *const *attention;
    float *mean_attention;  // written unless null: (tokens of all sentences, attention_stride)
    int64_t attention_stride;
};

// Tables of positions from 0 on, up to those that a search reaches; null if the model has none.
struct PositionTables {
    int32_t width, rotation_width;  // numbers for each position
    const float *positions;         // for each position, as in `StepInput`
    const float *rotations;
    // (H, reach), by the offset from a token to the one it looks at, the first being 1 - reach
    const float *biases;
    int64_t reach;
};
