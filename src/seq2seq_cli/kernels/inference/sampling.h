// Sampling: hypotheses drawn token by token, by the random numbers of Python. The draws are those
// of search/sampling.py.
//
// Dimensions: N rows of open hypotheses, V columns of logits.

#pragma once

#include <functional>
#include <limits>
#include <numeric>

#include "search.h"

namespace {

// Finds the column where a random number falls, among columns with their logits.
struct Sampler {
    const double temperature, top_p;
    const int top_k;
    std::vector<float> sorted;
    std::vector<double> probabilities;
    std::vector<int32_t> heap;

    // Makes probabilities of `count` logits; returns whether one is above 0.
    bool set(const float *logits, int count) {
        float least = -INFINITY;
        if (top_k > 0 && top_k < count) {
            sorted.assign(logits, logits + count);
            std::nth_element(sorted.begin(), sorted.begin() + top_k - 1, sorted.end(),
                             std::greater<float>());
            least = sorted[top_k - 1];
        }
        probabilities.assign(count, 0.0);
        if (!count) return false;
        const double largest = reduce_max(logits, count);
        if (largest == -INFINITY) return false;
        double total = 0;
        for (int i = 0; i < count; i++) {
            if (logits[i] < least || !(logits[i] > -INFINITY)) continue;
            probabilities[i] = std::exp((logits[i] - largest) / temperature);
            total += probabilities[i];
        }
        for (int i = 0; i < count; i++) probabilities[i] /= total;
        if (top_p < 1) leave_out_beyond_top_p();
        return true;
    }

    // Keeps the fewest probabilities, largest first, that sum to top-p.
    void leave_out_beyond_top_p() {
        const auto is_smaller = [&](int32_t a, int32_t b) {
            return probabilities[a] < probabilities[b] ||
                   (probabilities[a] == probabilities[b] && a > b);
        };
        heap.resize(probabilities.size());
        std::iota(heap.begin(), heap.end(), 0);
        std::make_heap(heap.begin(), heap.end(), is_smaller);
        double sum = 0;
        auto end = heap.end();  // those from here on are kept
        while (end != heap.begin()) {
            const double next = probabilities[heap.front()];
            sum += next;
            if (end != heap.end() && sum - next >= top_p) break;
            std::pop_heap(heap.begin(), end--, is_smaller);
        }
        for (auto left_out = heap.begin(); left_out != end; left_out++)
            probabilities[*left_out] = 0;
    }

    // The index where a random number in [0, 1) falls; -1 if there is no probability.
    int draw(const float *logits, int count, double random) {
        if (!set(logits, count)) return -1;
        double total = 0;
        for (const double probability : probabilities) total += probability;
        const double target = random * total;
        double sum = 0;
        int last = -1;
        for (int i = 0; i < count; i++) {
            if (!(probabilities[i] > 0)) continue;
            last = i;
            sum += probabilities[i];
            if (sum > target) break;
        }
        return last;
    }
};

struct Sampling : Search {
    const int draws;                    // hypotheses of each sentence
    std::vector<int32_t> row_draws;     // N, the number of each row's draw, of all sentences
    std::vector<Hypothesis> drawn;      // of all draws; without scores of tokens until they end
    const double *numbers = nullptr;    // (draws of all sentences, steps of a call), in [0, 1)
    int call_steps = 0;
    Sampler sampler;
    std::vector<float> listed;          // the logits of a list of columns
    std::vector<std::pair<int32_t, float>> replaced;

    Sampling(const SearchSettings &given, const SearchModel *models, int count)
        : Search(given, models, count, rows_of(given)), draws(given.n_best),
          row_draws(tokens.size()), drawn(tokens.size()),
          // Smaller numbers are 0 to processors that flush subnormal ones.
          sampler{std::max(given.temperature, std::numeric_limits<double>::min()), given.top_p,
                  given.top_k, {}, {}, {}} {
        std::iota(row_draws.begin(), row_draws.end(), 0);
    }

    static std::vector<int32_t> rows_of(const SearchSettings &given) {
        std::vector<int32_t> rows;
        for (int i = 0; i < given.sentences; i++) rows.insert(rows.end(), given.n_best, i);
        return rows;
    }

    // The column that a random number draws for a row of logits; -1 if there is none.
    int64_t draw(const Row &row, double random) {
        if (!row.listed) return sampler.draw(row.logits, row.columns, random);
        listed.resize(row.list_size);
        for (int i = 0; i < row.list_size; i++) listed[i] = row.logits[row.list[i]];
        const int index = sampler.draw(listed.data(), row.list_size, random);
        return index < 0 ? -1 : row.list[index];
    }

    void extend(float *logits, int call_step) override {
        const int columns = ensemble.columns();
        Step &step = steps.back();
        std::vector<int32_t> open;
        for (size_t r = 0; r < tokens.size(); r++, logits += columns) {
            const float normaliser = log_sum_exp_of(logits, columns);
            if (!std::isfinite(normaliser)) continue;  // it ends without a hypothesis
            const int draw_number = row_draws[r], index = draw_number / draws;
            replaced.clear();
            Row row{logits,
                    columns,
                    normaliser,
                    static_cast<int>(steps.size()),
                    limits[index],
                    prefix_states[r],
                    history_of(static_cast<int>(r)),
                    replaced};
            constraints.apply(row);
            const double random = numbers[static_cast<size_t>(draw_number) * call_steps + call_step];
            const int64_t column = draw(row, random);
            if (column < 0) continue;
            const float score = token_score(logits, normaliser, replaced, column);
            if (column == EOS) {
                finish(static_cast<int>(r), score);
                continue;
            }
            step.add(static_cast<int>(r), column, limits[index].prefix.next(prefix_states[r], column),
                     score, 0);
            open.push_back(draw_number);
        }
        row_draws = std::move(open);
        if (!step.rows()) collect();
    }

    void finish(int row, float end_score) {
        Hypothesis found = hypothesis_of(row, end_score);
        const bool is_free = limits[row_draws[row] / draws].prefix.first_is_free;
        for (size_t t = is_free; t < found.token_scores.size(); t++)
            found.score += static_cast<double>(found.token_scores[t]);
        found.score /= length_penalties[steps.size()];
        found.score += final_score(row);
        drawn[row_draws[row]] = std::move(found);
    }

    // Writes the results, in the order of draws, once all have ended.
    void collect() {
        for (size_t i = 0; i < drawn.size(); i++)
            if (!drawn[i].token_scores.empty()) results[i / draws].push_back(std::move(drawn[i]));
    }
};

}  // namespace
