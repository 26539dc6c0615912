// Whole searches, by one model or several whose decoders are kernels. Every function works in the
// thread that calls it.

#include "beams.h"
#include "sampling.h"

namespace {

Search *new_search(const SearchSettings &settings, const SearchModel *models, int count) {
    if (settings.sentences < 1 || settings.n_best < 1 || settings.beam < 0 || count < 1)
        throw std::invalid_argument("a search needs a sentence, a hypothesis and a model");
    if (settings.beam) return new BeamSearch(settings, models, count);
    return new Sampling(settings, models, count);
}

}  // namespace

extern "C" {

// What the settings and the models point to has to outlive the search, except for the limits of
// sentences.
void *search_new(const SearchSettings *settings, const SearchModel *models, int32_t count) {
    return guarded([&]() -> void * { return new_search(*settings, models, count); });
}

void search_free(void *search) {
    guarded([&] { delete static_cast<Search *>(search); });
}

// Makes at most `count` steps; returns whether hypotheses are open. `tables` has one entry for each
// model. `numbers` (draws of all sentences, count) in [0, 1) are what sampling draws by.
int32_t search_run(void *search, int32_t count, const PositionTables *tables,
                   const double *numbers) {
    return guarded([&]() -> int32_t {
        if (auto *sampling = dynamic_cast<Sampling *>(static_cast<Search *>(search))) {
            sampling->numbers = numbers;
            sampling->call_steps = count;
        }
        return static_cast<Search *>(search)->run(count, tables);
    });
}

// Writes the number of hypotheses of each sentence (B,); returns the number of their tokens, with
// EOS.
int64_t search_result_sizes(const void *search, int32_t *counts) {
    return guarded([&]() -> int64_t {
        int64_t tokens = 0;
        for (const auto &found : static_cast<const Search *>(search)->results) {
            *counts++ = static_cast<int32_t>(found.size());
            for (const Hypothesis &each : found) tokens += each.token_scores.size();
        }
        return tokens;
    });
}

// Writes all hypotheses, in their order: their scores and lengths, and their tokens with EOS and
// the scores of these, one hypothesis after the other.
void search_results(const void *search, double *scores, int32_t *lengths, int32_t *tokens,
                    float *token_scores) {
    guarded([&] {
        for (const auto &found : static_cast<const Search *>(search)->results)
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

}  // extern "C"
