// What searches have in common: the hypotheses of a batch, step by step.
//
// Dimensions: B sentences in the batch, N rows of open hypotheses, V columns of logits.

#pragma once

#include "constraints.h"

namespace {

struct Hypothesis {
    std::vector<int32_t> tokens;      // without BOS and EOS
    std::vector<float> token_scores;  // including that of EOS
    double score = 0;
};

// For each row of a step: the row that it extends, its column, the state of its prefix, the token's
// score, and the score that it is ranked by.
struct Step {
    std::vector<int32_t> origins, columns, prefix_states;
    std::vector<float> token_scores, scores;

    size_t rows() const { return origins.size(); }

    void add(int origin, int64_t column, int prefix_state, float token_score, float score) {
        origins.push_back(origin);
        columns.push_back(static_cast<int32_t>(column));
        prefix_states.push_back(prefix_state);
        token_scores.push_back(token_score);
        scores.push_back(score);
    }

    void cut(size_t count) {
        origins.resize(count);
        columns.resize(count);
        prefix_states.resize(count);
        token_scores.resize(count);
        scores.resize(count);
    }
};

// Every open hypothesis has a row. Subclasses choose how rows go on.
struct Search {
    const std::vector<double> length_penalties;
    const int64_t *const column_tokens;
    const Constraints constraints;
    Ensemble ensemble;
    const std::vector<Limits> limits;  // B
    Coverage coverage;
    std::vector<Step> steps;
    std::vector<int32_t> prefix_states;            // N
    std::vector<int64_t> tokens;                   // N, to be read next
    std::vector<std::vector<Hypothesis>> results;  // B
    std::vector<int32_t> history;                  // columns of a row's tokens, if they are read

    // `rows` are the sentences of the first rows.
    Search(const SearchSettings &given, const SearchModel *models, int count,
           const std::vector<int32_t> &rows)
        : length_penalties(penalties_of(given)), column_tokens(given.column_tokens),
          constraints(given),
          ensemble(models, count, given.sentences, rows, given.absent, given.coverage_penalty != 0),
          limits(limits_of(given, ensemble.columns())), coverage{given.coverage_penalty, {}},
          prefix_states(rows.size(), 0), tokens(rows.size(), BOS), results(given.sentences) {}

    virtual ~Search() = default;

    static std::vector<double> penalties_of(const SearchSettings &given) {
        int longest = 0;
        for (int i = 0; i < given.sentences; i++)
            longest = std::max(longest, given.max_lengths[i]);
        return {given.length_penalties, given.length_penalties + longest + 2};
    }

    // Scans that have begun, one for each row, if no more has to be known of the logits of the next
    // step; otherwise null.
    virtual std::vector<RowScan> *scans_of_step() { return nullptr; }

    // Extends every row by its logits (N, V), or null after a scan, in the last of `steps`. Finished hypotheses go to
    // `results`, the others become its rows. `call_step` counts the steps of this call.
    virtual void extend(float *logits, int call_step) = 0;

    int64_t token_of(int64_t column) const {
        return column_tokens ? column_tokens[column] : column;
    }

    // The columns of the tokens of a row of the step before, if constraints read them.
    const std::vector<int32_t> &history_of(int row) {
        if (!constraints.read_history) return history;
        const int count = static_cast<int>(steps.size()) - 1;
        history.resize(count);
        for (int t = count - 1; t >= 0; row = steps[t--].origins[row])
            history[t] = steps[t].columns[row];
        return history;
    }

    // The hypothesis of a row of the step before, and EOS with its score.
    Hypothesis hypothesis_of(int row, float end_score) const {
        const int count = static_cast<int>(steps.size()) - 1;
        Hypothesis found;
        found.tokens.resize(count);
        found.token_scores.resize(count + 1);
        found.token_scores[count] = end_score;
        for (int t = count - 1; t >= 0; row = steps[t--].origins[row]) {
            found.tokens[t] = static_cast<int32_t>(token_of(steps[t].columns[row]));
            found.token_scores[t] = steps[t].token_scores[row];
        }
        return found;
    }

    // What the coverage penalty adds to the score of a hypothesis that ends in a row.
    double final_score(int row) const {
        if (!coverage.penalty) return 0;
        const int length = ensemble.models[0]->given.lengths[ensemble.sentences[row]];
        return coverage.final_score(coverage.sums.data() + row * ensemble.attention_stride, length);
    }

    void step(const PositionTables *tables, int call_step) {
        float *logits = nullptr;
        if (std::vector<RowScan> *scans = scans_of_step())
            ensemble.scan(tokens, tables, *scans);
        else
            logits = ensemble.logits(tokens, tables);
        if (coverage.penalty)
            coverage.add(ensemble.mean_attention(), tokens.size() * ensemble.attention_stride);
        steps.emplace_back();
        extend(logits, call_step);
        const Step &step = steps.back();
        tokens.resize(step.rows());
        for (size_t i = 0; i < step.rows(); i++) tokens[i] = token_of(step.columns[i]);
        prefix_states = step.prefix_states;
        if (tokens.empty()) return;
        if (coverage.penalty) coverage.follow(step.origins, ensemble.attention_stride);
        ensemble.follow(step.origins);
    }

    // Makes at most `count` steps; returns whether the search goes on.
    bool run(int count, const PositionTables *tables) {
        for (int i = 0; i < count && !tokens.empty(); i++) step(tables, i);
        return !tokens.empty();
    }
};

}  // namespace
