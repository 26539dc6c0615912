// Targets that are given: the log-probability of each token, and where models look meanwhile.
//
// Dimensions: B sentences, N rows, those whose targets have not ended; V columns of logits.

#include "ensemble.h"

namespace {

struct ForcedDecoding {
    const ForcedTargets targets;
    Ensemble ensemble;
    std::vector<size_t> starts;  // of each sentence's tokens
    size_t token_count = 0;      // of all sentences
    std::vector<int64_t> tokens;   // N, to be read next
    std::vector<float> log_probabilities;

    ForcedDecoding(const ForcedTargets &given, const SearchModel *models, int count)
        : targets(given),
          ensemble(models, count, given.sentences, not_empty(given), nullptr,
                   given.attention || given.mean_attention),
          tokens(ensemble.sentences.size(), BOS) {
        for (int i = 0; i < given.sentences; i++) {
            starts.push_back(token_count);
            token_count += given.lengths[i];
        }
        if (ensemble.attention_stride > given.attention_stride)
            throw std::invalid_argument("a source is longer than the room for its attention");
        for (size_t i = 0; i < token_count; i++)
            if (given.tokens[i] < 0 || given.tokens[i] >= ensemble.columns())
                throw std::invalid_argument("a target has a token that does not exist");
    }

    static std::vector<int32_t> not_empty(const ForcedTargets &given) {
        std::vector<int32_t> rows;
        for (int i = 0; i < given.sentences; i++)
            if (given.lengths[i] > 0) rows.push_back(i);
        return rows;
    }

    // The index of the token that a row predicts now.
    size_t index_of(size_t row) const { return starts[ensemble.sentences[row]] + ensemble.position; }

    void step(const PositionTables *tables) {
        const size_t rows = tokens.size(), columns = ensemble.columns();
        std::vector<size_t> indices;
        for (size_t r = 0; r < rows; r++) indices.push_back(index_of(r));
        const auto score = [&](int number, const float *logits) {
            for (size_t r = 0; r < rows; r++, logits += columns) {
                const float own = ensemble.score(number, r, logits, targets.tokens[indices[r]]);
                float &total = targets.scores[indices[r]];
                if (number && !std::isnan(total) && !std::isnan(own))
                    total = add_log(total, own);
                else
                    total = number ? total + own : own;  // NaN if one of them is
            }
        };
        if (targets.scores)
            ensemble.read(tokens, tables, score);
        else
            ensemble.read(tokens, tables);
        if (targets.attention)
            for (size_t number = 0; number < ensemble.models.size(); number++)
                copy_attention(static_cast<int>(number), indices);
        if (targets.mean_attention) {
            const float *mean = ensemble.mean_attention();
            for (size_t r = 0; r < rows; r++)
                copy_weights(r, mean + r * ensemble.attention_stride,
                             targets.mean_attention + indices[r] * targets.attention_stride);
        }
        follow();
    }

    void copy_attention(int number, const std::vector<size_t> &indices) const {
        const ModelState &model = *ensemble.models[number];
        const size_t rows = indices.size();
        for (size_t h = 0; h < model.attention_heads(); h++)
            for (size_t r = 0; r < rows; r++)
                copy_weights(r,
                             model.attention.data + (h * rows + r) * ensemble.attention_stride,
                             targets.attention[number] +
                                 (h * token_count + indices[r]) * targets.attention_stride);
    }

    // Copies the weights of a row's source tokens, and 0 beyond them.
    void copy_weights(size_t row, const float *weights, float *out) const {
        const int length = ensemble.models[0]->given.lengths[ensemble.sentences[row]];
        std::copy_n(weights, length, out);
        std::fill(out + length, out + targets.attention_stride, 0.0f);
    }

    // Goes on with the sentences that have more tokens.
    void follow() {
        std::vector<int32_t> origins;
        std::vector<int64_t> next;
        for (size_t r = 0; r < tokens.size(); r++) {
            const int sentence = ensemble.sentences[r];
            if (ensemble.position >= targets.lengths[sentence]) continue;
            origins.push_back(static_cast<int32_t>(r));
            next.push_back(targets.tokens[starts[sentence] + ensemble.position - 1]);
        }
        tokens = std::move(next);
        if (!tokens.empty()) ensemble.follow(origins);
    }

    bool run(int count, const PositionTables *tables) {
        while (count-- > 0 && !tokens.empty()) step(tables);
        return !tokens.empty();
    }
};

}  // namespace

extern "C" {

// What the targets and the models point to has to outlive the object.
void *forced_new(const ForcedTargets *targets, const SearchModel *models, int32_t count) {
    return guarded([&]() -> void * { return new ForcedDecoding(*targets, models, count); });
}

void forced_free(void *forced) {
    guarded([&] { delete static_cast<ForcedDecoding *>(forced); });
}

// Makes at most `count` steps; returns whether tokens are left. `tables` has one entry for each
// model.
int32_t forced_run(void *forced, int32_t count, const PositionTables *tables) {
    return guarded(
        [&]() -> int32_t { return static_cast<ForcedDecoding *>(forced)->run(count, tables); });
}

}  // extern "C"
