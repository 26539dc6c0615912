// Beam search. It finds what search/torch_beam.py finds.
//
// Dimensions: B sentences in the batch, K beam, N rows of open hypotheses, V columns of logits.

#pragma once

#include <numeric>

#include "search.h"

namespace {

struct BeamSearch : Search {
    // A sentence that is still searched. Its rows follow each other, in the order of sentences.
    struct Sentence {
        int index;  // in the batch
        int rows = 1;
        std::vector<Hypothesis> finished;
    };

    const int beam, n_best;
    std::vector<Sentence> sentences;
    std::vector<float> scores;   // N
    std::vector<RowScan> scans;  // N or more, kept so that memory is not allocated again
    // Buffers for the extensions of a sentence, with a normaliser and replaced logits for each row
    std::vector<float> sums, normalisers;
    std::vector<std::vector<std::pair<int32_t, float>>> replaced;
    std::vector<int64_t> best_rows, best_columns;
    Best best;

    BeamSearch(const BeamSearch &) = delete;  // `best` points into it

    BeamSearch(const SearchSettings &given, const SearchModel *models, int count)
        : Search(given, models, count, one_row_each(given.sentences)), beam(given.beam),
          n_best(given.n_best), scores(given.sentences, 0.0f), sums(beam), normalisers(beam),
          replaced(beam), best_rows(beam), best_columns(beam),
          best{beam, sums.data(), best_rows.data(), best_columns.data()} {
        for (int i = 0; i < given.sentences; i++) sentences.push_back({i, 1, {}});
    }

    static std::vector<int32_t> one_row_each(int sentences) {
        std::vector<int32_t> rows(sentences);
        std::iota(rows.begin(), rows.end(), 0);
        return rows;
    }

    // Scans suffice unless scores of single columns change or prefixes are not complete.
    std::vector<RowScan> *scans_of_step() override {
        if (!ensemble.can_scan() || constraints.change_scores) return nullptr;
        for (size_t r = 0; r < prefix_states.size(); r++)
            if (prefix_states[r] != limits[ensemble.sentences[r]].prefix.states) return nullptr;
        scans.resize(std::max(scans.size(), tokens.size()));
        for (size_t r = 0; r < tokens.size(); r++) scans[r].begin(beam, EOS);
        return &scans;
    }

    // As `offer`, after a scan. Control symbols are before EOS, so the scan leaves them out; lengths
    // are limited as `MinLength` and `MaxLength` do it.
    bool offer_scanned(const Sentence &sentence, int k, int row) {
        const RowScan &scan = scans[row];
        normalisers[k] = scan.log_sum_exp();
        if (!std::isfinite(normalisers[k])) return false;
        replaced[k].clear();
        const int length = static_cast<int>(steps.size());
        const Limits &limit = limits[sentence.index];
        const float offset = scores[row] - normalisers[k];
        if (length >= limit.min_length || scan.extensions.empty())
            best.offer(scan.end + offset, k, EOS);
        if (length == limit.max_length) return true;
        for (const RowScan::Extension &each : scan.extensions)
            best.offer(each.logit + offset, k, each.column);
        return true;
    }

    // Offers the extensions that a sentence allows of its row k, which is `row` of all; returns
    // whether the model's scores are finite.
    bool offer(const Sentence &sentence, int k, int row, float *logits) {
        const int columns = ensemble.columns();
        normalisers[k] = log_sum_exp_of(logits, columns);
        if (!std::isfinite(normalisers[k])) return false;
        replaced[k].clear();
        Row own{logits,
                columns,
                normalisers[k],
                static_cast<int>(steps.size()),
                limits[sentence.index],
                prefix_states[row],
                history_of(row),
                replaced[k]};
        constraints.apply(own);
        const float offset = scores[row] - normalisers[k];
        if (!own.listed) {
            best.offer_all(logits, columns, offset, k);
            return true;
        }
        for (int i = 0; i < own.list_size; i++)
            best.offer(logits[own.list[i]] + offset, k, own.list[i]);
        return true;
    }

    // Adds a finished hypothesis: the tokens of a row, and EOS.
    void finish(Sentence &sentence, int row, float end_score, float log_probability) const {
        Hypothesis found = hypothesis_of(row, end_score);
        const double length_penalty = length_penalties[steps.size()];
        found.score = static_cast<double>(log_probability) / length_penalty + final_score(row);
        sentence.finished.push_back(std::move(found));
    }

    // Whether open hypotheses cannot become better than those found.
    bool is_over(Sentence &sentence, float best_open) const {
        const int length = static_cast<int>(steps.size());
        const int max_length = limits[sentence.index].max_length;
        if (!(best_open > -INFINITY) || length >= max_length) return true;
        if (static_cast<int>(sentence.finished.size()) < n_best) return false;
        rank(sentence);
        const double length_penalty =
            std::max(length_penalties[length + 1], length_penalties[max_length]);
        return sentence.finished[n_best - 1].score >= best_open / length_penalty;
    }

    static void rank(Sentence &sentence) {
        std::stable_sort(sentence.finished.begin(), sentence.finished.end(),
                         [](const auto &a, const auto &b) { return a.score > b.score; });
    }

    // Extends the rows of a sentence, from `first` on: extensions with EOS are finished hypotheses,
    // the others become rows of the step. Returns whether the sentence is still searched.
    bool extend(Sentence &sentence, int first, float *logits) {
        const size_t columns = ensemble.columns();
        best.clear();
        for (int k = 0; k < sentence.rows; k++)
            if (!(logits ? offer(sentence, k, first + k, logits + (first + k) * columns)
                         : offer_scanned(sentence, k, first + k))) {
                sentence.finished.clear();  // the sentence ends without a hypothesis
                best.clear();
                break;
            }
        Step &step = steps.back();
        const size_t begin = step.rows();
        const int free = beam - static_cast<int>(sentence.finished.size());
        float best_open = -INFINITY;
        for (int j = 0; j < free && best.sums[j] > -INFINITY; j++) {
            const int k = static_cast<int>(best.rows[j]), row = first + k;
            const int64_t column = best.columns[j];
            const float score =
                logits ? token_score(logits + row * columns, normalisers[k], replaced[k], column)
                       : scans[row].logit_of(column) - normalisers[k];
            if (column == EOS) {
                finish(sentence, row, score, best.sums[j]);
                continue;
            }
            const Prefix &prefix = limits[sentence.index].prefix;
            const float sum = prefix.first_is_free && steps.size() == 1 ? 0 : best.sums[j];
            step.add(row, column, prefix.next(prefix_states[row], column), score, sum);
            best_open = std::max(best_open, sum);
        }
        if (is_over(sentence, best_open)) {
            rank(sentence);
            if (static_cast<int>(sentence.finished.size()) > n_best)
                sentence.finished.resize(n_best);
            results[sentence.index] = std::move(sentence.finished);
            step.cut(begin);
        }
        sentence.rows = static_cast<int>(step.rows() - begin);
        return sentence.rows > 0;
    }

    void extend(float *logits, int) override {
        size_t count = 0;
        int first = 0;
        for (size_t i = 0; i < sentences.size(); i++) {
            const int rows = sentences[i].rows;
            if (extend(sentences[i], first, logits)) {
                if (count != i) sentences[count] = std::move(sentences[i]);
                count++;
            }
            first += rows;
        }
        sentences.resize(count);
        scores = steps.back().scores;
    }
};

}  // namespace
