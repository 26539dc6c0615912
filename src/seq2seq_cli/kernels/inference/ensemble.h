// One model or several, with their caches, while they read a token of each row at a time.
//
// Dimensions: N rows of hypotheses, S source tokens, V columns of logits.

#pragma once

#include <stdexcept>

#include "candidates.h"
#include "copying.h"
#include "decoding.h"

namespace {

constexpr int PAD = 0, BOS = 2, EOS = 3;  // as in symbols.py; translations never contain 0 to BOS

// One model and its cache.
struct ModelState {
    const SearchModel given;
    const Decoder &decoder;
    const Linear &output;
    // The cache, as in `StepInput`
    std::vector<std::unique_ptr<AlignedBuffer<char>>> rooms;
    std::vector<void *> past;
    std::vector<int32_t> past_rows, paths, paths_after;
    AlignedBuffer<float> attention;    // of the last step, if it is captured
    std::unique_ptr<Copying> copying;  // null if it does not copy

    // `rows` are the sentences of the first rows.
    ModelState(const SearchModel &given, int sentences, const std::vector<int32_t> &rows)
        : given(given), decoder(*static_cast<const Decoder *>(given.decoder)),
          output(*linear(given.output)) {
        if (output.inputs != decoder.sizes.width)
            throw std::invalid_argument("an output layer does not fit its decoder");
        if (given.alignment_layer >= std::max(1, decoder.sizes.attention_layers) ||
            given.alignment_head >= std::max(1, decoder.sizes.attention_heads))
            throw std::invalid_argument("attention that aligns words does not exist");
        if (given.copy_gate)
            copying = std::make_unique<Copying>(given, sentences, output.inputs, output.outputs);
        if (!given.initial_cache) return;
        past.push_back(const_cast<void *>(given.initial_cache));  // only the last step is written
        rooms.emplace_back();
        past_rows.push_back(sentences);
        paths = rows;
    }

    // Adds a step to the cache, in the memory of a step that the decoder does not need any more.
    void grow(size_t rows) {
        std::unique_ptr<AlignedBuffer<char>> room;
        if (static_cast<int>(rooms.size()) > decoder.sizes.max_cached_tokens) {
            room = std::move(rooms.front());
            rooms.erase(rooms.begin());
            past.erase(past.begin());
            past_rows.erase(past_rows.begin());
        }
        if (!room) room = std::make_unique<AlignedBuffer<char>>();
        past.push_back(room->reserve(std::max<size_t>(1, rows * decoder.sizes.token_bytes)));
        rooms.push_back(std::move(room));
    }

    // Reads the tokens at a position -> hidden states (N, D). Captures attention if `stride` > 0.
    void read(const std::vector<int64_t> &tokens, const std::vector<int32_t> &sentences,
              int position, const PositionTables &tables, int64_t stride, float *hidden) {
        const int rows = static_cast<int>(tokens.size());
        grow(rows);
        const int past_length = static_cast<int>(past.size()) - 1;
        paths_after.resize(static_cast<size_t>(rows) *
                           std::min(past_length + 1, decoder.sizes.max_cached_tokens));
        const auto at = [&](const float *table, size_t width) {
            return table ? table + position * width : nullptr;
        };
        StepInput input{};
        input.rows = rows;
        input.rows_per_sentence = 1;
        input.past_length = past_length;
        input.tokens_read = position;
        input.tokens = tokens.data();
        input.embedding = given.embedding;
        input.embedding_type = given.embedding_type;
        input.position = at(tables.positions, tables.width);
        input.rotations = at(tables.rotations, tables.rotation_width);
        if (tables.biases) input.biases = tables.biases + (tables.reach - 1 - position);
        input.bias_stride = tables.reach;
        input.paths = paths.data();
        input.paths_after = paths_after.data();
        input.past = past.data();
        input.past_rows = past_rows.data();
        input.memory = given.memory;
        input.starts = given.starts;
        input.lengths = given.lengths;
        input.sentences = sentences.data();
        if (stride) {
            input.attention = attention.reserve(attention_heads() * rows * stride);
            input.attention_stride = stride;
        }
        decoder.step(input, hidden);
        past_rows.push_back(rows);
    }

    // Of all layers together.
    size_t attention_heads() const {
        return static_cast<size_t>(decoder.sizes.attention_layers) * decoder.sizes.attention_heads;
    }

    // How many layers, and heads of each, are averaged.
    int aligning_layers() const {
        return given.alignment_layer < 0 ? decoder.sizes.attention_layers : 1;
    }

    int aligning_heads() const {
        return given.alignment_head < 0 ? decoder.sizes.attention_heads : 1;
    }

    // The index among `attention_heads` of a head that is averaged.
    size_t aligning_head(int layer, int head) const {
        layer = std::max(layer, given.alignment_layer);
        head = std::max(head, given.alignment_head);
        return static_cast<size_t>(layer) * decoder.sizes.attention_heads + head;
    }

    // Makes row i the continuation of the row origins[i] of `rows` rows.
    void follow(const std::vector<int32_t> &origins, size_t rows) {
        const size_t length = paths_after.size() / rows;
        paths.resize(origins.size() * length);
        for (size_t i = 0; i < origins.size(); i++)
            std::copy_n(paths_after.data() + origins[i] * length, length,
                        paths.data() + i * length);
    }
};

// Results of a step, kept between searches so that memory is not allocated again.
struct StepResults {
    AlignedBuffer<float> hidden, combined, own, mean, copied;
};

thread_local StepResults results_of_step;

struct Ensemble {
    std::vector<std::unique_ptr<ModelState>> models;
    std::vector<int32_t> sentences;  // of the rows
    const bool *absent;              // (sentences, V), columns that a sentence may not use; or null
    int position = 0;                // of the tokens to read
    int64_t attention_stride = 0;    // 0: attention is not captured

    // `rows` are the sentences of the first rows.
    Ensemble(const SearchModel *given, int models_count, int sentence_count,
             const std::vector<int32_t> &rows, const bool *absent, bool captures_attention)
        : sentences(rows), absent(absent) {
        for (int i = 0; i < models_count; i++) {
            models.push_back(std::make_unique<ModelState>(given[i], sentence_count, rows));
            if (columns() != models[i]->output.outputs)
                throw std::invalid_argument("models of an ensemble differ in their columns");
            if (models[i]->copying && absent)
                throw std::invalid_argument("a shortlist does not have what a model copies");
            captures_attention = captures_attention || models[i]->copying;
        }
        for (int i = 0; captures_attention && i < models_count; i++)
            for (int s = 0; s < sentence_count; s++)
                attention_stride = std::max<int64_t>(attention_stride, given[i].lengths[s]);
    }

    int columns() const { return models[0]->output.outputs; }

    // Reads a token of each row, and calls use(model, logits) with the logits (N, V) of each model,
    // which `use` may change. Those of a model that copies are of its vocabulary alone.
    template <typename Use>
    void read(const std::vector<int64_t> &tokens, const PositionTables *tables, const Use &use) {
        const size_t rows = tokens.size();
        for (size_t i = 0; i < models.size(); i++) {
            const float *states = read_with(*models[i], tokens, tables[i]);
            float *logits = (i ? results_of_step.own : results_of_step.combined).reserve(rows * columns());
            apply(models[i]->output, states, static_cast<int>(rows), logits);
            use(static_cast<int>(i), logits);
        }
        position++;
    }

    // Whether `scan` does what `logits` does.
    bool can_scan() const { return models.size() == 1 && !absent; }

    // Reads a token of each row, and scans the logits of the next one part by part, so that those
    // of all rows and columns are never in memory at once. A scan for each row has begun.
    void scan(const std::vector<int64_t> &tokens, const PositionTables *tables,
              std::vector<RowScan> &scans) {
        const int rows = static_cast<int>(tokens.size());
        const float *states = read_with(*models[0], tokens, tables[0]);
        Copying *copying = models[0]->copying.get();
        apply_in_parts(models[0]->output, states, rows, [&](int first, int count, float *part) {
            for (int r = 0; r < rows; r++, part += count) {
                scans[r].read(part, first, count);
                if (copying) copying->rows[r].read(part, first, count);
            }
        });
        for (int r = 0; copying && r < rows; r++) copying->rows[r].mix(scans[r]);
        position++;
    }

    // Reads a token of each row, and computes no logits.
    void read(const std::vector<int64_t> &tokens, const PositionTables *tables) {
        for (size_t i = 0; i < models.size(); i++) read_with(*models[i], tokens, tables[i]);
        position++;
    }

    // Reads a token of each row with one model; returns hidden states (N, D).
    const float *read_with(ModelState &model, const std::vector<int64_t> &tokens,
                           const PositionTables &tables) {
        float *states = results_of_step.hidden.reserve(tokens.size() * model.decoder.sizes.width);
        model.read(tokens, sentences, position, tables, attention_stride, states);
        if (!model.copying) return states;
        const size_t size = tokens.size() * attention_stride;
        float *attention = results_of_step.copied.reserve(size);
        std::fill_n(attention, size, 0.0f);
        add_attention(model, model.aligning_layers(), attention);
        model.copying->begin(sentences, states, attention, attention_stride, columns());
        return states;
    }

    // Reads a token of each row; returns logits (N, V) of the next one, those of several models and
    // of one that copies as log-probabilities.
    float *logits(const std::vector<int64_t> &tokens, const PositionTables *tables) {
        const size_t rows = tokens.size(), size = columns();
        read(tokens, tables, [&](int number, float *logits) {
            for (size_t r = 0; r < rows; r++) {
                float *row = logits + r * size;
                if (Copying *copying = models[number]->copying.get())
                    copying->rows[r].mix(row, static_cast<int>(size));
                if (absent) {
                    const bool *without = absent + sentences[r] * size;
                    for (size_t i = 0; i < size; i++) row[i] = without[i] ? -INFINITY : row[i];
                }
                if (models.size() > 1) add_model(number, row, results_of_step.combined.data + r * size);
            }
        });
        return results_of_step.combined.data;
    }

    // The log-probability of a column by the logits of a row, times the model's weight; NaN if they
    // are not finite.
    float score(int number, size_t row, const float *logits, int64_t column) const {
        const ModelState &model = *models[number];
        const float own = model.copying
                              ? model.copying->rows[row].score(logits, columns(), column)
                              : logits[column] - log_sum_exp_of(logits, columns());
        return own + model.given.log_weight;
    }

    // Makes log-probabilities of the logits of a row, times the model's weight, and adds them to
    // those of the models before; NaN if they are not finite.
    void add_model(int number, float *row, float *total) const {
        const int size = columns();
        const float normaliser = log_sum_exp_of(row, size);
        if (!std::isfinite(normaliser)) {
            std::fill_n(total, size, NAN);
            return;
        }
        if (number && std::isnan(total[0])) return;
        const float offset = models[number]->given.log_weight - normaliser;
        for (int i = 0; i < size; i++) row[i] += offset;
        if (number) add_log(total, row, size);
    }

    // The attention of the last step, (N, attention_stride), the mean over the heads of a layer and
    // then over the layers of all models, of those that align words; 0 beyond the tokens of a row's
    // sentence.
    const float *mean_attention() {
        const size_t rows = sentences.size(), size = rows * attention_stride;
        float *sum = results_of_step.mean.reserve(size);
        std::fill_n(sum, size, 0.0f);
        int layers = 0;
        for (const auto &model : models) layers += model->aligning_layers();
        for (const auto &model : models) add_attention(*model, layers, sum);
        return sum;
    }

    // Adds to `sum` (N, attention_stride) a model's attention of the last step, the mean over the
    // heads of each layer that aligns words, divided by a number of layers.
    void add_attention(const ModelState &model, int layers, float *sum) const {
        const size_t rows = sentences.size(), size = rows * attention_stride;
        const int heads = model.aligning_heads(), own = model.aligning_layers() * heads;
        const float share = 1.0f / static_cast<float>(layers * heads);
        for (size_t r = 0; r < rows; r++) {
            const int length = model.given.lengths[sentences[r]];
            float *out = sum + r * attention_stride;
            for (int i = 0; i < own; i++) {
                const size_t h = model.aligning_head(i / heads, i % heads);
                const float *weights = model.attention.data + h * size + r * attention_stride;
                for (int s = 0; s < length; s++) out[s] += share * weights[s];
            }
        }
    }

    // Makes row i the continuation of the row origins[i].
    void follow(const std::vector<int32_t> &origins) {
        for (auto &model : models) model->follow(origins, sentences.size());
        std::vector<int32_t> after(origins.size());
        for (size_t i = 0; i < origins.size(); i++) after[i] = sentences[origins[i]];
        sentences = std::move(after);
    }
};

}  // namespace
