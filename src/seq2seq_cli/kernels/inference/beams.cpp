// Beam search: from the logits of a step to the hypotheses of the next one, and with a compiled decoder
// from the first step to the last.
//
// It is what `search/beam.py` does in torch, with the same results. Every function works in the
// thread that calls it.
//
// Dimensions: B sentences in the batch, K beam, N rows of hypotheses (one of each sentence at first),
// V columns of logits.

#include "decoding.h"

namespace {

constexpr int PAD = 0, BOS = 2, EOS = 3;  // as in symbols.py; 0 to BOS are in no translation

float log_sum_exp_of(const float *logits, int columns) {
    const float greatest = reduce_max(logits, columns);
    Floats total = broadcast(0);
    int i = 0;
    for (; i + LANES <= columns; i += LANES)
        total = add(total, exponential(add(load(logits + i), broadcast(-greatest))));
    float sum = reduce_add(total);
    for (; i < columns; i++) sum += std::exp(logits[i] - greatest);
    return greatest + std::log(sum);
}

// The greatest sums of a logit and its row's offset, best first; equal ones in the order of rows and
// columns. Where there are fewer than `count`, sums are -inf.
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
    std::vector<int32_t> tokens;  // without BOS and EOS
    std::vector<float> token_scores;  // with that of EOS
    double score;
};

struct Sentence {
    int index;  // in the batch given
    int shortest, longest;  // in tokens, EOS counted
    const int64_t *prefix;
    int prefix_length;
    std::vector<Hypothesis> finished;
    int rows = 1;  // of hypotheses, one after the other
    bool done = false;
};

// Of every row: the row it came from, what it said, and what it is ranked by. Of rows that have ended
// or are empty this is -inf.
struct Step {
    std::vector<int32_t> origins, tokens;
    std::vector<float> token_scores, scores;

    void add(int origin, int64_t token, float token_score, float score) {
        origins.push_back(origin);
        tokens.push_back(static_cast<int32_t>(token));
        token_scores.push_back(token_score);
        scores.push_back(score);
    }

    void cut(size_t count) {
        origins.resize(count);
        tokens.resize(count);
        token_scores.resize(count);
        scores.resize(count);
    }
};

}  // namespace

extern "C" {

// Shared with `native/beams.py`, field by field.
struct BeamSettings {
    int32_t sentences, beam, n_best;
    int32_t compact;         // only open hypotheses have rows; without it each sentence has K
    int32_t dropped_share;   // then sentences that are done leave when they are one in so many
    const int32_t *shortest;   // (B,)
    const int32_t *longest;    // (B,)
    const double *divisors;    // (the greatest of `longest` + 2,): what scores are divided by
    const int64_t *prefixes;   // columns, one sentence after the other
    const int32_t *prefix_lengths;  // (B,)
};

// What a search asks, and what it starts from.
struct SearchParts {
    const void *decoder, *output;
    const float *embedding;      // (vocabulary, D)
    const void *const *sources;  // as in `StepInput`
    const int32_t *starts, *lengths;
    const void *kept;            // what the decoder keeps before the first token, or null
    const int64_t *columns;      // (V,), their tokens; null where they are their numbers
    const bool *absent;          // (B, V), columns that a sentence leaves out; or null
};

// What stands for all places from 0 on that are reached, or null where there is no such thing.
struct Places {
    int32_t width, angles;   // numbers of a place
    const float *positions;  // as in `StepInput`, for each place
    const float *rotations;
};

}  // extern "C"

namespace {

// Rows of a sentence stand together, in the order of sentences. Compact, a sentence has a row for each
// open hypothesis, and one that is done has none and leaves at once. Otherwise it has K rows, of which
// those without an open hypothesis are ranked -inf, and stays until enough others are done.
struct Beams {
    int beam, n_best, dropped_share;
    bool compact;
    std::vector<double> divisors;
    std::vector<int64_t> prefixes;
    std::vector<Sentence> sentences;  // those still searched
    std::vector<std::vector<Hypothesis>> results;  // of every sentence given
    std::vector<Step> steps;
    std::vector<float> scores;  // of the rows
    // Room for the extensions of a sentence
    std::vector<float> sums, offsets;
    std::vector<int64_t> rows, columns;
    Best best;

    Beams(const Beams &) = delete;  // `best` points into it

    explicit Beams(const BeamSettings &given)
        : beam(given.beam), n_best(given.n_best), dropped_share(given.dropped_share),
          compact(given.compact != 0), results(given.sentences), scores(given.sentences, 0.0f),
          sums(beam), offsets(beam), rows(beam), columns(beam),
          best{beam, sums.data(), rows.data(), columns.data()} {
        int longest = 0, all = 0;
        for (int i = 0; i < given.sentences; i++) {
            longest = std::max(longest, given.longest[i]);
            all += given.prefix_lengths[i];
        }
        divisors.assign(given.divisors, given.divisors + longest + 2);
        prefixes.assign(given.prefixes, given.prefixes + all);
        const int64_t *prefix = prefixes.data();
        for (int i = 0; i < given.sentences; i++) {
            sentences.push_back(
                {i, given.shortest[i], given.longest[i], prefix, given.prefix_lengths[i], {}});
            prefix += given.prefix_lengths[i];
        }
    }

    // The candidates among a row's logits, with what a sentence allows at this length.
    void offer(const Sentence &sentence, float *logits, int columns, float offset, int row,
               int length) const {
        if (length == sentence.longest)
            return best.offer(logits[EOS] + offset, row, EOS);
        if (length <= sentence.prefix_length) {
            const int column = static_cast<int>(sentence.prefix[length - 1]);
            return best.offer(logits[column] + offset, row, column);
        }
        std::fill_n(logits + PAD, BOS + 1, -INFINITY);
        if (length < sentence.shortest) {
            const float end = logits[EOS];
            logits[EOS] = -INFINITY;
            if (reduce_max(logits, columns) == -INFINITY) logits[EOS] = end;
        }
        best.offer_all(logits, columns, offset, row);
    }

    // A hypothesis ends: what a row of the step before had said, and EOS.
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
        found.score = static_cast<double>(log_probability) / divisors[count + 1];
        sentence.finished.push_back(std::move(found));
    }

    // Whether nothing better can come from open hypotheses.
    bool is_over(Sentence &sentence, float best_open, int length) const {
        if (!(best_open > -INFINITY) || length >= sentence.longest) return true;
        if (static_cast<int>(sentence.finished.size()) < n_best) return false;
        rank(sentence);
        const double divisor = std::max(divisors[length + 1], divisors[sentence.longest]);
        return sentence.finished[n_best - 1].score >= best_open / divisor;
    }

    static void rank(Sentence &sentence) {
        std::stable_sort(sentence.finished.begin(), sentence.finished.end(),
                         [](const auto &a, const auto &b) { return a.score > b.score; });
    }

    // The best extensions of a sentence's rows, from `first` on, with this length: those that end are
    // finished, the others become rows of the step.
    void extend(Sentence &sentence, int first, float *logits, int columns,
                const int64_t *tokens_of_columns, int length) {
        best.clear();
        for (int k = 0; k < sentence.rows; k++) {
            if (!(scores[first + k] > -INFINITY)) continue;
            float *own = logits + static_cast<size_t>(first + k) * columns;
            offsets[k] = log_sum_exp_of(own, columns);
            offer(sentence, own, columns, scores[first + k] - offsets[k], k, length);
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
            step.add(row, tokens_of_columns ? tokens_of_columns[column] : column, score,
                     best.sums[j]);
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

    // Leave out sentences that are done, and their rows; `kept` are the places of the others.
    int drop(Step &step, int64_t *kept) {
        Step rest;
        int left = 0, row = 0;
        for (size_t i = 0; i < sentences.size(); i++) {
            const int end = row + sentences[i].rows;
            if (sentences[i].done) {
                row = end;
                continue;
            }
            for (; row < end; row++)
                rest.add(step.origins[row], step.tokens[row], step.token_scores[row],
                         step.scores[row]);
            if (left != static_cast<int>(i)) sentences[left] = std::move(sentences[i]);
            kept[left++] = static_cast<int64_t>(i);
        }
        sentences.resize(left);
        step = std::move(rest);
        return left;
    }

    // Extend every open hypothesis; returns how many rows there are then, 0 when all are done. `tokens`
    // (N,) are to be read next, by the rows of `origins` (N,). Where some sentences were dropped,
    // `kept` are the places of the `left` others.
    int advance(float *logits, int columns, const int64_t *tokens_of_columns, int64_t *tokens,
                int64_t *origins, int64_t *kept, int32_t *left) {
        const int length = static_cast<int>(steps.size()) + 1;
        steps.emplace_back();
        int first = 0, done = 0;
        for (Sentence &sentence : sentences) {
            const int rows = sentence.rows;
            if (!sentence.done)
                extend(sentence, first, logits, columns, tokens_of_columns, length);
            else
                for (int j = 0; j < rows; j++) steps.back().add(first + j, PAD, 0, -INFINITY);
            first += rows;
            done += sentence.done;
        }
        Step &step = steps.back();
        const int count = static_cast<int>(sentences.size());
        *left = 0;
        if (done == count) return 0;
        if (done && (compact || done * dropped_share >= count)) *left = drop(step, kept);
        std::copy(step.tokens.begin(), step.tokens.end(), tokens);
        std::copy(step.origins.begin(), step.origins.end(), origins);
        scores.swap(step.scores);
        return static_cast<int>(step.tokens.size());
    }
};

struct Scratch {
    AlignedBuffer<float> features, logits;
};

thread_local Scratch scratch;

// All steps of compact beams with one decoder.
struct Search {
    Beams &beams;
    const SearchParts parts;
    const Decoder &decoder;
    const Linear &output;
    int place = 0;  // of the tokens to be read
    std::vector<int64_t> tokens, origins;
    std::vector<int64_t> left;  // places of sentences, which rows that stand alone need not
    std::vector<int32_t> sentences;  // of the rows
    // Of tokens read, as in `StepInput`
    std::vector<std::unique_ptr<AlignedBuffer<char>>> rooms;
    std::vector<void *> past;
    std::vector<int32_t> past_rows, paths, paths_after;

    Search(Beams &searched, const SearchParts &given)
        : beams(searched), parts(given), decoder(*static_cast<const Decoder *>(given.decoder)),
          output(*linear(given.output)), tokens(searched.sentences.size(), BOS),
          left(searched.sentences.size()) {
        for (int i = 0; i < static_cast<int>(tokens.size()); i++) sentences.push_back(i);
        if (!parts.kept) return;
        past.push_back(const_cast<void *>(parts.kept));  // only the last one is written to
        rooms.emplace_back();
        past_rows.push_back(static_cast<int32_t>(tokens.size()));
        paths = sentences;
    }

    // Room for what the decoder keeps of the next tokens; what it needs no more is used again.
    void grow() {
        std::unique_ptr<AlignedBuffer<char>> room;
        if (static_cast<int>(rooms.size()) > decoder.sizes.most) {
            room = std::move(rooms.front());
            rooms.erase(rooms.begin());
            past.erase(past.begin());
            past_rows.erase(past_rows.begin());
        }
        if (!room) room = std::make_unique<AlignedBuffer<char>>();
        past.push_back(room->reserve(std::max<size_t>(1, tokens.size() * decoder.sizes.kept)));
        rooms.push_back(std::move(room));
    }

    void read(const Places &places, float *features) {
        const int rows = static_cast<int>(tokens.size()), most = decoder.sizes.most;
        grow();
        const int read = static_cast<int>(past.size()) - 1;
        paths_after.resize(static_cast<size_t>(rows) * std::min(read + 1, most));
        decoder.step({rows, 1, read, tokens.data(), parts.embedding,
                      at(places.positions, places.width), at(places.rotations, places.angles),
                      paths.data(), paths_after.data(), past.data(), past_rows.data(),
                      parts.sources, parts.starts, parts.lengths, sentences.data()},
                     features);
        past_rows.push_back(rows);
        place++;
    }

    const float *at(const float *table, size_t each) const {
        return table ? table + place * each : nullptr;
    }

    // Let row i go on from the row origins[i].
    void follow() {
        const size_t rows = origins.size(), length = paths_after.size() / sentences.size();
        std::vector<int32_t> own(rows);
        paths.resize(rows * length);
        for (size_t i = 0; i < rows; i++) {
            own[i] = sentences[origins[i]];
            std::copy_n(paths_after.data() + origins[i] * length, length, paths.data() + i * length);
        }
        sentences = std::move(own);
    }

    void step(const Places &places) {
        const int rows = static_cast<int>(tokens.size()), columns = output.outputs;
        float *features = scratch.features.reserve(static_cast<size_t>(rows) * decoder.sizes.width);
        float *logits = scratch.logits.reserve(static_cast<size_t>(rows) * columns);
        read(places, features);
        apply(output, features, rows, logits);
        for (int r = 0; parts.absent && r < rows; r++) {
            const bool *absent = parts.absent + static_cast<size_t>(sentences[r]) * columns;
            float *own = logits + static_cast<size_t>(r) * columns;
            for (int i = 0; i < columns; i++) own[i] = absent[i] ? -INFINITY : own[i];
        }
        const size_t most = beams.sentences.size() * beams.beam;
        tokens.resize(most);
        origins.resize(most);
        int32_t count;
        const int after = beams.advance(logits, columns, parts.columns, tokens.data(),
                                        origins.data(), left.data(), &count);
        tokens.resize(after);
        origins.resize(after);
        follow();
    }

    // So many steps at most; returns whether there are more.
    bool run(int count, const Places &places) {
        while (count-- && !tokens.empty()) step(places);
        return !tokens.empty();
    }
};

}  // namespace

extern "C" {

// (N, V), of which some may be -inf -> (N,)
void log_sum_exp(const float *logits, int32_t rows, int32_t columns, float *out) {
    for (int r = 0; r < rows; r++)
        out[r] = log_sum_exp_of(logits + static_cast<size_t>(r) * columns, columns);
}

// The `count` greatest sums of a logit (sentences x K, V) and its row's offset of each sentence.
void best_extensions(const float *logits, const float *offsets, int32_t sentences, int32_t beam,
                     int32_t columns, int32_t count, float *sums, int64_t *rows, int64_t *places) {
    for (int sentence = 0; sentence < sentences; sentence++) {
        const size_t first = static_cast<size_t>(sentence) * count;
        const Best best{count, sums + first, rows + first, places + first};
        best.clear();
        for (int k = 0; k < beam; k++) {
            const size_t at = static_cast<size_t>(sentence) * beam + k;
            best.offer_all(logits + at * columns, columns, offsets[at], k);
        }
    }
}

void *beams_new(const BeamSettings *settings) { return new Beams(*settings); }

void beams_free(void *beams) { delete static_cast<Beams *>(beams); }

int32_t beams_advance(void *beams, float *logits, int32_t columns,
                      const int64_t *tokens_of_columns, int64_t *tokens, int64_t *origins,
                      int64_t *kept, int32_t *left) {
    return static_cast<Beams *>(beams)->advance(logits, columns, tokens_of_columns, tokens, origins,
                                                kept, left);
}

// How many hypotheses were found for each sentence (B,); returns how many tokens they have in all,
// EOS counted.
int64_t beams_found(const void *beams, int32_t *counts) {
    int64_t tokens = 0;
    for (const auto &found : static_cast<const Beams *>(beams)->results) {
        *counts++ = static_cast<int32_t>(found.size());
        for (const Hypothesis &each : found) tokens += each.token_scores.size();
    }
    return tokens;
}

// All hypotheses, those of a sentence best first: their scores and lengths, and their tokens and
// these tokens' scores one after the other, EOS in the end of each.
void beams_results(const void *beams, double *scores, int32_t *lengths, int32_t *tokens,
                   float *token_scores) {
    for (const auto &found : static_cast<const Beams *>(beams)->results)
        for (const Hypothesis &each : found) {
            *scores++ = each.score;
            *lengths++ = static_cast<int32_t>(each.token_scores.size());
            tokens = std::copy(each.tokens.begin(), each.tokens.end(), tokens);
            *tokens++ = EOS;
            token_scores =
                std::copy(each.token_scores.begin(), each.token_scores.end(), token_scores);
        }
}

// Of compact beams, which must outlive it.
void *search_new(void *beams, const SearchParts *parts) {
    return new Search(*static_cast<Beams *>(beams), *parts);
}

void search_free(void *search) { delete static_cast<Search *>(search); }

int32_t search_run(void *search, int32_t count, const Places *places) {
    return static_cast<Search *>(search)->run(count, *places);
}

}  // extern "C"
