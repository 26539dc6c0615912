// Copying from the source: attention as a second distribution (See et al. 2017), which a gate mixes
// with that over the vocabulary. It computes what models/copying.py computes.
//
// Dimensions: N rows of hypotheses, D width, S source tokens, P different ones, V columns of logits.

#pragma once

#include "row_scan.h"

namespace {

constexpr float LEAST_WEIGHT = 1e-9f;  // of a column: what is not in the source has no less

inline float log_sigmoid(float x) {
    return std::min(x, 0.0f) - std::log1p(std::exp(-std::fabs(x)));
}

// The columns of the tokens of a sentence.
struct SourceColumns {
    std::vector<int32_t> columns;  // P, ascending
    std::vector<int32_t> indices;  // S, of each token among them

    SourceColumns(const int64_t *tokens, int length, int column_count) {
        for (int s = 0; s < length; s++) {
            if (tokens[s] < 0 || tokens[s] >= column_count)
                throw std::invalid_argument("a source has a token that cannot be copied");
            columns.push_back(static_cast<int32_t>(tokens[s]));
        }
        std::sort(columns.begin(), columns.end());
        columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
        for (int s = 0; s < length; s++)
            indices.push_back(static_cast<int32_t>(index_of(tokens[s])));
    }

    // Of a column among them; where it would be if it is not.
    size_t index_of(int64_t column) const {
        return std::lower_bound(columns.begin(), columns.end(), column) - columns.begin();
    }
};

// The next token of a row: log-probabilities of copying it, and the gate's share of the vocabulary.
class CopyingRow {
  public:
    // Takes the output of the gate, and attention (S,) of any sum.
    void begin(const SourceColumns &given, float gate, const float *weights, int column_count) {
        source = &given;
        generate = log_sigmoid(gate);
        const float copy = log_sigmoid(-gate);
        float sum = 0;
        copied.assign(given.columns.size(), 0.0f);
        for (size_t s = 0; s < given.indices.size(); s++) {
            copied[given.indices[s]] += weights[s];
            sum += weights[s];
        }
        float total = (column_count - static_cast<float>(copied.size())) * LEAST_WEIGHT;
        for (float &each : copied) {
            each = std::max(each / std::max(sum, LEAST_WEIGHT), LEAST_WEIGHT);
            total += each;
            each = copy + std::log(each);
        }
        least = copy + std::log(LEAST_WEIGHT);
        log_total = add_log(generate, copy + std::log(total));
    }

    // Makes log-probabilities of logits (V,); NaN if they are not finite.
    void mix(float *logits, int column_count) {
        const float offset = offset_of(log_sum_exp_of(logits, column_count));
        if (std::isnan(offset)) {
            std::fill_n(logits, column_count, NAN);
            return;
        }
        const std::vector<int32_t> &columns = source->columns;
        for (size_t i = 0; i < columns.size(); i++)
            copied[i] = add_log(logits[columns[i]] + offset, copied[i]);
        int i = 0;
        for (; i + LANES <= column_count; i += LANES)
            store(logits + i, add_log(add(load(logits + i), broadcast(offset)), broadcast(least)));
        for (; i < column_count; i++) logits[i] = add_log(logits[i] + offset, least);
        for (size_t p = 0; p < columns.size(); p++) logits[columns[p]] = copied[p];
    }

    // The log-probability of one column; NaN if logits are not finite.
    float score(const float *logits, int column_count, int64_t column) const {
        return mixed(column, logits[column], offset_of(log_sum_exp_of(logits, column_count)));
    }

    // Reads the logits of the columns from `first` on, which a scan reads too.
    void read(const float *logits, int first, int count) {
        const std::vector<int32_t> &columns = source->columns;
        if (!first) source_logits.clear();
        for (size_t next = source_logits.size();
             next < columns.size() && columns[next] < first + count; next++)
            source_logits.push_back(logits[columns[next] - first]);
    }

    // Makes log-probabilities of what the scan has of the logits. The most probable columns are
    // among those of the source and those with the largest logits, in the same order.
    void mix(RowScan &scan) {
        const float offset = offset_of(scan.log_sum_exp());
        const std::vector<int32_t> &columns = source->columns;
        candidates.clear();
        for (const RowScan::Extension &each : scan.extensions)
            if (!is_in_source(each.column))
                candidates.push_back({each.column, add_log(each.logit + offset, least)});
        for (size_t i = 0; i < columns.size(); i++)
            candidates.push_back({columns[i], add_log(source_logits[i] + offset, copied[i])});
        scan.replace(candidates, mixed(scan.end_column, scan.end, offset),
                     std::isnan(offset) ? NAN : log_total);
    }

  private:
    const SourceColumns *source = nullptr;
    float generate = 0;         // the logarithm of the gate
    float least = 0;            // the log-probability of copying what is not in the source
    float log_total = 0;        // of all columns together, by both ways
    std::vector<float> copied;  // P, log-probabilities
    std::vector<float> source_logits;            // P
    std::vector<RowScan::Extension> candidates;  // kept so that memory is not allocated again

    // What is added to logits with this log-sum-exp; NaN if they or the gate are not finite.
    float offset_of(float log_sum_exp) const {
        return std::isfinite(log_sum_exp) ? generate - log_sum_exp : NAN;
    }

    bool is_in_source(int64_t column) const {
        const size_t index = source->index_of(column);
        return index < copied.size() && source->columns[index] == column;
    }

    float mixed(int64_t column, float logit, float offset) const {
        if (std::isnan(offset)) return NAN;
        const float own = is_in_source(column) ? copied[source->index_of(column)] : least;
        return add_log(logit + offset, own);
    }
};

// How a model copies, and the rows of a step.
struct Copying {
    const float *gate;  // (D + 1,), weights, then the bias
    int width;
    std::vector<SourceColumns> sources;
    std::vector<CopyingRow> rows;  // N or more

    Copying(const SearchModel &given, int sentences, int width, int column_count)
        : gate(given.copy_gate), width(width) {
        for (int i = 0; i < sentences; i++)
            sources.emplace_back(given.source_tokens + given.starts[i], given.lengths[i],
                                 column_count);
    }

    // Takes the hidden states (N, D) of a step, and its attention (N, stride).
    void begin(const std::vector<int32_t> &sentences, const float *hidden, const float *attention,
               int64_t stride, int column_count) {
        rows.resize(std::max(rows.size(), sentences.size()));
        for (size_t r = 0; r < sentences.size(); r++, hidden += width, attention += stride)
            rows[r].begin(sources[sentences[r]], dot_product(hidden, gate, width) + gate[width],
                          attention, column_count);
    }
};

}  // namespace
