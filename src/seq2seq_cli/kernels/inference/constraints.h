// Constraints on translations: control symbols, repetition, lengths, prefixes, coverage. They do
// what search/constraints.py does, in the same order.
//
// Dimensions: N rows of hypotheses, S source tokens, V columns of logits.

#pragma once

#include "ensemble.h"

namespace {

// What a hypothesis begins with: in each state but the last, the columns that may come, ascending,
// and the state after each.
struct Prefix {
    int states;
    int complete;                 // the first state in which the prefix is complete
    bool first_is_free;           // the score of the first token does not count
    std::vector<int32_t> starts;  // of the moves of each state, and the end of them all
    std::vector<int32_t> columns, after;

    // The state after a column; the last one if the column may not come.
    int next(int state, int64_t column) const {
        if (state == states) return state;
        const auto begin = columns.begin() + starts[state];
        const auto end = columns.begin() + starts[state + 1];
        const auto found = std::lower_bound(begin, end, column);
        return found != end && *found == column ? after[found - columns.begin()] : states;
    }
};

// The limits of one sentence's translations. Lengths are in tokens, with EOS.
struct Limits {
    int min_length, max_length;
    Prefix prefix;
};

inline std::vector<Limits> limits_of(const SearchSettings &given, int column_count) {
    std::vector<Limits> limits;
    const int32_t *counts = given.move_counts;
    const int32_t *columns = given.move_columns, *after = given.move_states;
    for (int i = 0; i < given.sentences; i++) {
        Prefix prefix{given.prefix_states[i], given.prefix_complete[i],
                      given.first_is_free[i], {0}, {}, {}};
        for (int state = 0; state < prefix.states; state++)
            prefix.starts.push_back(prefix.starts.back() + *counts++);
        const int moves = prefix.starts.back();
        for (int move = 0; move < moves; move++)
            if (columns[move] < 0 || columns[move] >= column_count || after[move] < 0 ||
                after[move] > prefix.states)
                throw std::invalid_argument("a prefix has a column or a state that does not exist");
        prefix.columns.assign(columns, columns + moves);
        prefix.after.assign(after, after + moves);
        columns += moves;
        after += moves;
        limits.push_back({given.min_lengths[i], given.max_lengths[i], std::move(prefix)});
    }
    return limits;
}

// The logits of what may follow a row.
struct Row {
    float *logits;  // (V,); constraints change them, -inf forbids a column
    int columns;
    float normaliser;  // log-sum-exp of the logits before they are changed
    int length;        // with the next token
    const Limits &limits;
    int prefix_state;
    const std::vector<int32_t> &history;  // columns of its tokens
    // Columns that got other logits, and those that they had
    std::vector<std::pair<int32_t, float>> &replaced;
    // If a list is set, only its columns are allowed
    bool listed = false;
    const int32_t *list = nullptr;
    int list_size = 0;

    void allow_only(const int32_t *columns, int count) {
        listed = true;
        list = columns;
        list_size = count;
    }
};

// The score of an allowed column of a row, by what constraints left of its logits.
inline float token_score(const float *logits, float normaliser,
                         const std::vector<std::pair<int32_t, float>> &replaced, int64_t column) {
    for (const auto &[changed, logit] : replaced)
        if (changed == column) return logit - normaliser;
    return logits[column] - normaliser;
}

// A rule on the next token.
struct Constraint {
    virtual ~Constraint() = default;
    virtual bool reads_history() const { return false; }
    virtual void apply(Row &row) const = 0;
};

// A translation holds no PAD, UNK or BOS.
struct ControlSymbols : Constraint {
    void apply(Row &row) const override {
        std::fill(row.logits + PAD, row.logits + BOS + 1, -INFINITY);
    }
};

// The log-probability of a token that was written before is multiplied (Keskar 2019).
struct RepetitionPenalty : Constraint {
    float penalty;

    explicit RepetitionPenalty(float penalty) : penalty(penalty) {}
    bool reads_history() const override { return true; }

    void apply(Row &row) const override {
        for (const int32_t column : row.history)  // all are read before one is written
            row.replaced.emplace_back(column, row.logits[column]);
        for (const auto &[column, logit] : row.replaced)
            row.logits[column] = row.normaliser + (logit - row.normaliser) * penalty;
    }
};

// An n-gram of this size occurs once at most (Paulus 2018).
struct NoRepeatNgram : Constraint {
    int size;

    explicit NoRepeatNgram(int size) : size(size) {}
    bool reads_history() const override { return true; }

    void apply(Row &row) const override {
        const int count = static_cast<int>(row.history.size());
        const int32_t *last = row.history.data() + (count - (size - 1));
        for (int i = 0; i + size <= count; i++)
            if (std::equal(last, last + size - 1, row.history.data() + i))
                row.logits[row.history[i + size - 1]] = -INFINITY;
    }
};

// A hypothesis reaches the least length, unless nothing but EOS could follow.
struct MinLength : Constraint {
    void apply(Row &row) const override {
        if (row.length >= row.limits.min_length) return;
        const float end = row.logits[EOS];
        row.logits[EOS] = -INFINITY;
        if (reduce_max(row.logits, row.columns) == -INFINITY) row.logits[EOS] = end;
    }
};

// A hypothesis that reaches the greatest length ends.
struct MaxLength : Constraint {
    static constexpr int32_t END[] = {EOS};

    void apply(Row &row) const override {
        if (row.length == row.limits.max_length) row.allow_only(END, 1);
    }
};

// After a prefix that is complete, the next token must be one that may follow its last word.
struct Followers : Constraint {
    void apply(Row &row) const override {
        const Prefix &prefix = row.limits.prefix;
        if (row.prefix_state == prefix.states) return;
        const int32_t *first = prefix.columns.data() + prefix.starts[row.prefix_state];
        const int32_t *end = prefix.columns.data() + prefix.starts[row.prefix_state + 1];
        if (!row.listed)
            row.allow_only(first, static_cast<int>(end - first));
        else if (!std::binary_search(first, end, EOS))
            row.allow_only(nullptr, 0);
    }
};

// The constraints that a search applies to each row.
struct Constraints {
    std::vector<std::unique_ptr<Constraint>> list;
    bool read_history = false;
    bool change_scores;  // of single columns, by what was written before

    explicit Constraints(const SearchSettings &given)
        : change_scores(given.repetition_penalty != 1.0f || given.no_repeat_ngram > 0) {
        add(std::make_unique<ControlSymbols>());
        if (given.repetition_penalty != 1.0f)
            add(std::make_unique<RepetitionPenalty>(given.repetition_penalty));
        if (given.no_repeat_ngram > 0) add(std::make_unique<NoRepeatNgram>(given.no_repeat_ngram));
        add(std::make_unique<MinLength>());
        add(std::make_unique<MaxLength>());
        add(std::make_unique<Followers>());
    }

    void add(std::unique_ptr<Constraint> constraint) {
        read_history = read_history || constraint->reads_history();
        list.push_back(std::move(constraint));
    }

    // A prefix comes whatever else is forbidden.
    void apply(Row &row) const {
        const Prefix &prefix = row.limits.prefix;
        if (row.prefix_state < prefix.complete) {
            const int first = prefix.starts[row.prefix_state];
            return row.allow_only(prefix.columns.data() + first,
                                  prefix.starts[row.prefix_state + 1] - first);
        }
        for (const auto &constraint : list) constraint->apply(row);
    }
};

// A hypothesis that hardly looked at some source tokens is ranked lower (Wu 2016): by the penalty
// times the sum, over source tokens, of the logarithm of all the attention to the token, which
// counts as 1 at most.
struct Coverage {
    static constexpr float LEAST = 1e-6f;  // a token that nothing looked at would cost infinitely

    double penalty;
    std::vector<float> sums;  // (N, stride)

    void add(const float *attention, size_t count) {
        sums.resize(count, 0.0f);
        for (size_t i = 0; i < count; i++) sums[i] += attention[i];
    }

    double final_score(const float *row, int length) const {
        double total = 0;
        for (int s = 0; s < length; s++) total += std::log(std::clamp(row[s], LEAST, 1.0f));
        return penalty * total;
    }

    void follow(const std::vector<int32_t> &origins, size_t stride) {
        std::vector<float> after(origins.size() * stride);
        for (size_t i = 0; i < origins.size(); i++)
            std::copy_n(sums.data() + origins[i] * stride, stride, after.data() + i * stride);
        sums = std::move(after);
    }
};

}  // namespace
