// Lookahead decoding: one pass of a wide decode graph guesses n-grams and verifies old guesses.
//
// After Fu et al., "Break the Sequential Dependency of LLM Inference Using Lookahead Decoding"
// (2024). Greedy and seeded replies are those of one-by-one decoding; only the steps are fewer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <unordered_map>
#include <vector>

#include "request.h"

namespace vlm {

// Who sits in which row of the decode graph.
//   window:     (ngram - 1) levels of `window` columns; level 0, column 0 is the input token.
//               Level l, column c guesses the token l + c behind the input.
//   candidates: gcap n-grams of (ngram - 1) tokens, each behind the input token.
//   the rest up to ar_len is padding.
class LookaheadRows {
 public:
  // Needs shape.rows() <= ar_len.
  LookaheadRows(const LookaheadShape& shape, std::size_t ar_len);

  std::size_t window_row(std::size_t level, std::size_t column) const {
    return level * shape_.window + column;
  }
  std::size_t candidate_row(std::size_t candidate, std::size_t token) const {
    return (shape_.ngram - 1) * (shape_.window + candidate) + token;
  }

  // Positions from the input token's on, (ar_len).
  const std::vector<std::size_t>& offsets() const { return offsets_; }
  // Whether row r attends to row c at [r * ar_len + c].
  const std::vector<bool>& attends() const { return attends_; }

 private:
  void place_window();
  void place_candidates();

  LookaheadShape shape_;
  std::size_t ar_len_;
  std::vector<std::size_t> offsets_;
  std::vector<bool> attends_;
};

// The last `capacity` different continuations seen behind each token.
class NgramPool {
 public:
  explicit NgramPool(std::size_t capacity) : capacity_(capacity) {}

  void insert(std::int64_t key, const std::vector<std::int64_t>& continuation);
  // The newest first.
  const std::deque<std::vector<std::int64_t>>& candidates(std::int64_t key) const;
  void clear() { continuations_.clear(); }

 private:
  std::size_t capacity_;
  std::unordered_map<std::int64_t, std::deque<std::vector<std::int64_t>>> continuations_;
};

// Window and pool of one conversation.
class Lookahead {
 public:
  // `seed` draws the first window.
  Lookahead(const LookaheadShape& shape, std::size_t ar_len, std::uint64_t seed);

  const LookaheadRows& rows() const { return rows_; }

  // Forgets everything.
  void reset();

  // Text that stands in the context now. N-grams are not made across `gap`, an image.
  void add_text(const std::vector<std::int64_t>& ids, std::int64_t gap);

  // Writes the ids of all rows and chooses the candidates to verify.
  void fill_rows(std::int64_t input, std::int32_t* ids);  // (ar_len)

  // The row of a candidate that begins with these tokens, of those that fill_rows() chose; its
  // last token's row. False if there is none.
  bool find_candidate(const std::vector<std::int64_t>& tokens, std::size_t& row) const;
  std::size_t proposed_tokens() const { return candidates_.size() * (shape_.ngram - 1); }

  // Best tokens behind the window's last level, (window): n-grams of all columns go to the
  // pool, and the window moves on.
  void advance_window(const std::vector<std::int64_t>& best);

 private:
  LookaheadShape shape_;
  std::size_t ar_len_;
  std::uint64_t seed_;
  LookaheadRows rows_;
  NgramPool pool_;
  std::mt19937_64 random_;
  std::vector<std::vector<std::int64_t>> levels_;      // (ngram - 1) x (window)
  std::vector<std::vector<std::int64_t>> candidates_;  // at most gcap x (ngram - 1)
  std::deque<std::int64_t> recent_;                    // at most ngram tokens since the last gap
};

}  // namespace vlm
