// Beam search: from the logits of a step to the hypotheses of the next one; and whole searches, if
// the decoder is one of these kernels.
//
// Results are those of search/torch_beam.py. Every function works in the thread that calls it.
//
// Dimensions: B sentences in the batch, K beam, N rows of hypotheses (one for each sentence at
// first), V columns of logits.

#include "decoding.h"

namespace {

constexpr int PAD = 0, BOS = 2, EOS = 3;  // as in symbols.py; translations never contain 0 to BOS

float log_sum_exp_of(const float *logits, int columns) {
    const float largest = reduce_max(logits, columns);
    Floats total = broadcast(0);
    int i = 0;
    for (; i + LANES <= columns; i += LANES)
        total = add(total, exponential(add(load(logits + i), broadcast(-largest))));
    float sum = reduce_add(total);
    for (; i < columns; i++) sum += std::exp(logits[i] - largest);
    return largest + std::log(sum);
}

// The `count` largest sums of a logit and the offset of its row, largest first; equal ones in the
// order of rows and columns. If there are fewer, the other sums are -inf.
struct Best {
    int count;
    float *sums;
    int64_t *rows, *columns;

    void clear() const {
        std::fill_n(sums, count, -INFINITY);
        std::fill_n(rows, count, 0);
        std::fill_n(columns, count, 0);
    }

    void offer(float sum, int row, int column) const {
        if (!(sum > sums[count - 1])) return;
        int j = count - 1;
        for (; j > 0 && sum > sums[j - 1]; j--) {
            sums[j] = sums[j - 1];
            rows[j] = rows[j - 1];
            columns[j] = columns[j - 1];
        }
        sums[j] = sum;
        rows[j] = row;
        columns[j] = column;
    }

    void offer_all(const float *logits, int size, float offset, int row) const {
        constexpr int GROUP = 64;
        if (!(offset > -INFINITY)) return;
        for (int start = 0; start < size; start += GROUP) {
            const int end = std::min(size, start + GROUP);
            if (!(reduce_max(logits + start, end - start) + offset > sums[count - 1])) continue;
            for (int i = start; i < end; i++) offer(logits[i] + offset, row, i);
        }
    }
};

struct Hypothesis {
    std::vector<int32_t> tokens;      // without BOS and EOS
    std::vector<float> token_scores;  // including that of EOS
    double score;
};

// What a hypothesis begins with: in each state but the last, the columns that may come, ascending,
// and the state after each.
struct Prefix {
    int states;
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

struct Sentence {
    int index;                   // in the batch
    int min_length, max_length;  // in tokens, with EOS
    Prefix prefix;
    std::vector<Hypothesis> finished;
    int rows = 1;  // of its hypotheses, which follow each other
    bool done = false;
};

// For each row of a step: the row that it extends, its token, the state of its prefix, the token's
// score, and the score that it is ranked by, which is -inf for rows that have ended or are empty.
struct Step {
    std::vector<int32_t> origins, tokens, prefix_states;
    std::vector<float> token_scores, scores;

    void add(int origin, int64_t token, float token_score, float score, int prefix_state = 0) {
        origins.push_back(origin);
        tokens.push_back(static_cast<int32_t>(token));
        prefix_states.push_back(prefix_state);
        token_scores.push_back(token_score);
        scores.push_back(score);
    }

    void cut(size_t count) {
        origins.resize(count);
        tokens.resize(count);
        prefix_states.resize(count);
        token_scores.resize(count);
        scores.resize(count);
    }
};

// The state of a search. Rows of a sentence follow each other, in the order of sentences. If
// compact, a sentence has a row for each open hypothesis, and is removed as soon as it is done.
// Otherwise it has K rows, of which those without an open hypothesis have the score -inf, and it
// stays until enough others are done.
struct Beams {
    int beam, n_best, removal_share;
    bool compact;
    std::vector<double> length_penalties;
    std::vector<Sentence> sentences;               // those that are still in the search
    std::vector<std::vector<Hypothesis>> results;  // for each sentence of the batch
    std::vector<Step> steps;
    std::vector<float> scores;  // of the rows
    std::vector<int32_t> prefix_states;  // of the rows
    // Buffers for the extensions of a sentence
    std::vector<float> sums, offsets;
    std::vector<int64_t> rows, columns;
    Best best;

    Beams(const Beams &) = delete;  // `best` points into it

    explicit Beams(const BeamSettings &given)
        : beam(given.beam), n_best(given.n_best), removal_share(given.removal_share),
          compact(given.compact != 0), results(given.sentences), scores(given.sentences, 0.0f),
          prefix_states(given.sentences, 0),
          sums(beam), offsets(beam), rows(beam), columns(beam),
          best{beam, sums.data(), rows.data(), columns.data()} {
        int longest = 0;
        for (int i = 0; i < given.sentences; i++)
            longest = std::max(longest, given.max_lengths[i]);
        length_penalties.assign(given.length_penalties, given.length_penalties + longest + 2);
        const int32_t *counts = given.move_counts;
        const int32_t *columns = given.move_columns, *after = given.move_states;
        for (int i = 0; i < given.sentences; i++) {
            Prefix prefix{given.prefix_states[i], {0}, {}, {}};
            for (int state = 0; state < prefix.states; state++)
                prefix.starts.push_back(prefix.starts.back() + *counts++);
            const int moves = prefix.starts.back();
            prefix.columns.assign(columns, columns + moves);
            prefix.after.assign(after, after + moves);
            columns += moves;
            after += moves;
            sentences.push_back(
                {i, given.min_lengths[i], given.max_lengths[i], std::move(prefix), {}});
        }
    }

    // Offers the extensions of a row that the sentence allows at this length.
    void offer(const Sentence &sentence, float *logits, int columns, float offset, int row,
               int length, int prefix_state) const {
        const Prefix &prefix = sentence.prefix;
        if (length == sentence.max_length) return best.offer(logits[EOS] + offset, row, EOS);
        if (prefix_state < prefix.states) {
            const int end = prefix.starts[prefix_state + 1];
            for (int i = prefix.starts[prefix_state]; i < end; i++)
                best.offer(logits[prefix.columns[i]] + offset, row, prefix.columns[i]);
            return;
        }
        std::fill_n(logits + PAD, BOS + 1, -INFINITY);
        if (length < sentence.min_length) {
            const float end = logits[EOS];
            logits[EOS] = -INFINITY;
            if (reduce_max(logits, columns) == -INFINITY) logits[EOS] = end;
        }
        best.offer_all(logits, columns, offset, row);
    }

    // Adds a finished hypothesis: the tokens of a row of the step before, and EOS.
    void finish(Sentence &sentence, int row, float end_score, float log_probability) const {
        const int count = static_cast<int>(steps.size()) - 1;
        Hypothesis found;
        found.tokens.resize(count);
        found.token_scores.resize(count + 1);
        found.token_scores[count] = end_score;
        for (int t = count - 1; t >= 0; row = steps[t--].origins[row]) {
            found.tokens[t] = steps[t].tokens[row];
            found.token_scores[t] = steps[t].token_scores[row];
        }
        found.score = static_cast<double>(log_probability) / length_penalties[count + 1];
        sentence.finished.push_back(std::move(found));
    }

    // Whether open hypotheses cannot become better than those found.
    bool is_over(Sentence &sentence, float best_open, int length) const {
        if (!(best_open > -INFINITY) || length >= sentence.max_length) return true;
        if (static_cast<int>(sentence.finished.size()) < n_best) return false;
        rank(sentence);
        const double length_penalty =
            std::max(length_penalties[length + 1], length_penalties[sentence.max_length]);
        return sentence.finished[n_best - 1].score >= best_open / length_penalty;
    }

    static void rank(Sentence &sentence) {
        std::stable_sort(sentence.finished.begin(), sentence.finished.end(),
                         [](const auto &a, const auto &b) { return a.score > b.score; });
    }

    // Extends the rows of a sentence, from `first` on, to this length: extensions with EOS are
    // finished hypotheses, the others become rows of the step.
    void extend(Sentence &sentence, int first, float *logits, int columns,
                const int64_t *column_tokens, int length) {
        best.clear();
        for (int k = 0; k < sentence.rows; k++) {
            if (!(scores[first + k] > -INFINITY)) continue;
            float *own = logits + static_cast<size_t>(first + k) * columns;
            offsets[k] = log_sum_exp_of(own, columns);
            if (!std::isfinite(offsets[k])) {  // the sentence ends without a hypothesis
                sentence.finished.clear();
                best.clear();
                break;
            }
            offer(sentence, own, columns, scores[first + k] - offsets[k], k, length,
                  prefix_states[first + k]);
        }
        Step &step = steps.back();
        const size_t begin = step.scores.size();
        const int free = beam - static_cast<int>(sentence.finished.size());
        float best_open = -INFINITY;
        for (int j = 0; j < free && best.sums[j] > -INFINITY; j++) {
            const int row = first + static_cast<int>(best.rows[j]);
            const int64_t column = best.columns[j];
            const float score =
                logits[static_cast<size_t>(row) * columns + column] - offsets[best.rows[j]];
            if (column == EOS) {
                finish(sentence, row, score, best.sums[j]);
                if (!compact) step.add(row, PAD, 0, -INFINITY);
                continue;
            }
            step.add(row, column_tokens ? column_tokens[column] : column, score, best.sums[j],
                     sentence.prefix.next(prefix_states[row], column));
            best_open = std::max(best_open, best.sums[j]);
        }
        if (is_over(sentence, best_open, length)) {
            sentence.done = true;
            rank(sentence);
            if (static_cast<int>(sentence.finished.size()) > n_best)
                sentence.finished.resize(n_best);
            results[sentence.index] = std::move(sentence.finished);
            sentence.finished.clear();
            if (compact) step.cut(begin);
        }
        if (!compact)
            while (step.scores.size() < begin + beam) step.add(first, PAD, 0, -INFINITY);
        sentence.rows = static_cast<int>(step.scores.size() - begin);
    }

    // Removes the sentences that are done and their rows; writes the indices of the others to
    // `remaining`, and returns their number.
    int remove_done(Step &step, int64_t *remaining) {
        Step rest;
        int count = 0, row = 0;
        for (size_t i = 0; i < sentences.size(); i++) {
            const int end = row + sentences[i].rows;
            if (sentences[i].done) {
                row = end;
                continue;
            }
            for (; row < end; row++)
                rest.add(step.origins[row], step.tokens[row], step.token_scores[row],
                         step.scores[row], step.prefix_states[row]);
            if (count != static_cast<int>(i)) sentences[count] = std::move(sentences[i]);
            remaining[count++] = static_cast<int64_t>(i);
        }
        sentences.resize(count);
        step = std::move(rest);
        return count;
    }

    // Extends every open hypothesis, and returns the number of rows after it, 0 when all sentences
    // are done. Writes the tokens (N,) to read next and the rows `origins` (N,) that they extend.
    // If sentences were removed, `remaining` are the indices of the others and `remaining_count` is
    // their number; otherwise it is 0.
    int advance(float *logits, int columns, const int64_t *column_tokens, int64_t *tokens,
                int64_t *origins, int64_t *remaining, int32_t *remaining_count) {
        const int length = static_cast<int>(steps.size()) + 1;
        steps.emplace_back();
        int first = 0, done = 0;
        for (Sentence &sentence : sentences) {
            const int rows = sentence.rows;
            if (!sentence.done)
                extend(sentence, first, logits, columns, column_tokens, length);
            else
                for (int j = 0; j < rows; j++) steps.back().add(first + j, PAD, 0, -INFINITY);
            first += rows;
            done += sentence.done;
        }
        Step &step = steps.back();
        const int count = static_cast<int>(sentences.size());
        *remaining_count = 0;
        if (done == count) return 0;
        if (done && (compact || done * removal_share >= count))
            *remaining_count = remove_done(step, remaining);
        std::copy(step.tokens.begin(), step.tokens.end(), tokens);
        std::copy(step.origins.begin(), step.origins.end(), origins);
        scores.swap(step.scores);
        prefix_states.swap(step.prefix_states);
        return static_cast<int>(step.tokens.size());
    }
};

struct Scratch {
    AlignedBuffer<float> hidden, logits;
};

thread_local Scratch scratch;

// A whole search: all steps of compact beams with one decoder.
struct Search {
    Beams &beams;
    const SearchInputs inputs;
    const Decoder &decoder;
    const Linear &output;
    int position = 0;  // of the tokens to read
    std::vector<int64_t> tokens, origins;
    std::vector<int64_t> remaining;  // output of `advance` that compact beams do not need
    std::vector<int32_t> sentences;  // of the rows
    // The cache, as in `StepInput`
    std::vector<std::unique_ptr<AlignedBuffer<char>>> rooms;
    std::vector<void *> past;
    std::vector<int32_t> past_rows, paths, paths_after;

    Search(Beams &searched, const SearchInputs &given)
        : beams(searched), inputs(given), decoder(*static_cast<const Decoder *>(given.decoder)),
          output(*linear(given.output)), tokens(searched.sentences.size(), BOS),
          remaining(searched.sentences.size()) {
        for (int i = 0; i < static_cast<int>(tokens.size()); i++) sentences.push_back(i);
        if (!inputs.initial_cache) return;
        past.push_back(const_cast<void *>(inputs.initial_cache));  // only the last step is written
        rooms.emplace_back();
        past_rows.push_back(static_cast<int32_t>(tokens.size()));
        paths = sentences;
    }

    // Adds a step to the cache, in the memory of a step that the decoder does not need any more.
    void grow() {
        std::unique_ptr<AlignedBuffer<char>> room;
        if (static_cast<int>(rooms.size()) > decoder.sizes.max_cached_tokens) {
            room = std::move(rooms.front());
            rooms.erase(rooms.begin());
            past.erase(past.begin());
            past_rows.erase(past_rows.begin());
        }
        if (!room) room = std::make_unique<AlignedBuffer<char>>();
        past.push_back(
            room->reserve(std::max<size_t>(1, tokens.size() * decoder.sizes.token_bytes)));
        rooms.push_back(std::move(room));
    }

    void read(const PositionTables &tables, float *hidden) {
        const int rows = static_cast<int>(tokens.size());
        grow();
        const int past_length = static_cast<int>(past.size()) - 1;
        paths_after.resize(static_cast<size_t>(rows) *
                           std::min(past_length + 1, decoder.sizes.max_cached_tokens));
        decoder.step(
            {rows, 1, past_length, position, tokens.data(), inputs.embedding,
             at(tables.positions, tables.width), at(tables.rotations, tables.rotation_width),
             paths.data(), paths_after.data(), past.data(), past_rows.data(), inputs.memory,
             inputs.starts, inputs.lengths, sentences.data(), nullptr, 0},
            hidden);
        past_rows.push_back(rows);
        position++;
    }

    const float *at(const float *table, size_t each) const {
        return table ? table + position * each : nullptr;
    }

    // Makes row i the continuation of the row origins[i].
    void follow() {
        const size_t rows = origins.size(), length = paths_after.size() / sentences.size();
        std::vector<int32_t> own(rows);
        paths.resize(rows * length);
        for (size_t i = 0; i < rows; i++) {
            own[i] = sentences[origins[i]];
            std::copy_n(paths_after.data() + origins[i] * length, length,
                        paths.data() + i * length);
        }
        sentences = std::move(own);
    }

    void step(const PositionTables &tables) {
        const int rows = static_cast<int>(tokens.size()), columns = output.outputs;
        float *hidden = scratch.hidden.reserve(static_cast<size_t>(rows) * decoder.sizes.width);
        float *logits = scratch.logits.reserve(static_cast<size_t>(rows) * columns);
        read(tables, hidden);
        apply(output, hidden, rows, logits);
        for (int r = 0; inputs.absent && r < rows; r++) {
            const bool *absent = inputs.absent + static_cast<size_t>(sentences[r]) * columns;
            float *own = logits + static_cast<size_t>(r) * columns;
            for (int i = 0; i < columns; i++) own[i] = absent[i] ? -INFINITY : own[i];
        }
        const size_t max_rows = beams.sentences.size() * beams.beam;
        tokens.resize(max_rows);
        origins.resize(max_rows);
        int32_t count;
        const int after = beams.advance(logits, columns, inputs.column_tokens, tokens.data(),
                                        origins.data(), remaining.data(), &count);
        tokens.resize(after);
        origins.resize(after);
        follow();
    }

    // Makes at most `count` steps; returns whether the search goes on.
    bool run(int count, const PositionTables &tables) {
        while (count-- && !tokens.empty()) step(tables);
        return !tokens.empty();
    }
};

}  // namespace

extern "C" {

void *beams_new(const BeamSettings *settings) {
    return guarded([&]() -> void * { return new Beams(*settings); });
}

void beams_free(void *beams) {
    guarded([&] { delete static_cast<Beams *>(beams); });
}

// Writes the number of hypotheses of each sentence (B,); returns the number of their tokens, with
// EOS.
int64_t beams_result_sizes(const void *beams, int32_t *counts) {
    return guarded([&]() -> int64_t {
        int64_t tokens = 0;
        for (const auto &found : static_cast<const Beams *>(beams)->results) {
            *counts++ = static_cast<int32_t>(found.size());
            for (const Hypothesis &each : found) tokens += each.token_scores.size();
        }
        return tokens;
    });
}

// Writes all hypotheses, the best one of a sentence first: their scores and lengths, and their
// tokens with EOS and the scores of these, one hypothesis after the other.
void beams_results(const void *beams, double *scores, int32_t *lengths, int32_t *tokens,
                   float *token_scores) {
    guarded([&] {
        for (const auto &found : static_cast<const Beams *>(beams)->results)
            for (const Hypothesis &each : found) {
                *scores++ = each.score;
                *lengths++ = static_cast<int32_t>(each.token_scores.size());
                tokens = std::copy(each.tokens.begin(), each.tokens.end(), tokens);
                *tokens++ = EOS;
                token_scores =
                    std::copy(each.token_scores.begin(), each.token_scores.end(), token_scores);
            }
    });
}

// Beams have to be compact, and to outlive the search.
void *search_new(void *beams, const SearchInputs *inputs) {
    return guarded([&]() -> void * { return new Search(*static_cast<Beams *>(beams), *inputs); });
}

void search_free(void *search) {
    guarded([&] { delete static_cast<Search *>(search); });
}

int32_t search_run(void *search, int32_t count, const PositionTables *tables) {
    return guarded([&]() -> int32_t { return static_cast<Search *>(search)->run(count, *tables); });
}

}  // extern "C"
