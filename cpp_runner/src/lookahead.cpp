#include "lookahead.h"

#include <algorithm>

namespace vlm {

LookaheadRows::LookaheadRows(const LookaheadShape& shape, std::size_t ar_len)
    : shape_(shape), ar_len_(ar_len), offsets_(ar_len), attends_(ar_len * ar_len) {
  // Padding sees itself, because a softmax over nothing is no number.
  for (std::size_t row = 0; row < ar_len; ++row) {
    attends_[row * ar_len + row] = true;
  }
  place_window();
  place_candidates();
}

void LookaheadRows::place_window() {
  for (std::size_t level = 0; level + 1 < shape_.ngram; ++level) {
    for (std::size_t column = 0; column < shape_.window; ++column) {
      const std::size_t row = window_row(level, column);
      offsets_[row] = level + column;
      // Level 0 up to its own column, then straight up the column.
      for (std::size_t before = 0; before <= column; ++before) {
        attends_[row * ar_len_ + window_row(0, before)] = true;
      }
      for (std::size_t below = 1; below <= level; ++below) {
        attends_[row * ar_len_ + window_row(below, column)] = true;
      }
    }
  }
}

void LookaheadRows::place_candidates() {
  for (std::size_t candidate = 0; candidate < shape_.gcap; ++candidate) {
    for (std::size_t token = 0; token + 1 < shape_.ngram; ++token) {
      const std::size_t row = candidate_row(candidate, token);
      offsets_[row] = token + 1;
      attends_[row * ar_len_ + window_row(0, 0)] = true;
      for (std::size_t before = 0; before <= token; ++before) {
        attends_[row * ar_len_ + candidate_row(candidate, before)] = true;
      }
    }
  }
}

void NgramPool::insert(std::int64_t key, const std::vector<std::int64_t>& continuation) {
  std::deque<std::vector<std::int64_t>>& ring = continuations_[key];
  const auto known = std::find(ring.begin(), ring.end(), continuation);
  if (known != ring.end()) {
    ring.erase(known);
  }
  ring.push_front(continuation);
  if (ring.size() > capacity_) {
    ring.pop_back();
  }
}

const std::deque<std::vector<std::int64_t>>& NgramPool::candidates(std::int64_t key) const {
  static const std::deque<std::vector<std::int64_t>> kNone;
  const auto found = continuations_.find(key);
  return found != continuations_.end() ? found->second : kNone;
}

Lookahead::Lookahead(const LookaheadShape& shape, std::size_t ar_len, std::uint64_t seed)
    : shape_(shape), ar_len_(ar_len), seed_(seed), rows_(shape, ar_len), pool_(shape.gcap) {
  reset();
}

void Lookahead::reset() {
  pool_.clear();
  random_.seed(seed_);
  levels_.clear();
  candidates_.clear();
  recent_.clear();
}

void Lookahead::add_text(const std::vector<std::int64_t>& ids, std::int64_t gap) {
  std::vector<std::int64_t> text;
  for (const std::int64_t id : ids) {
    if (id == gap) {
      recent_.clear();
      continue;
    }
    text.push_back(id);
    recent_.push_back(id);
    if (recent_.size() > shape_.ngram) {
      recent_.pop_front();
    }
    if (recent_.size() == shape_.ngram) {
      pool_.insert(recent_.front(), {recent_.begin() + 1, recent_.end()});
    }
  }
  if (!levels_.empty() || text.empty()) {
    return;
  }
  // The first window is drawn from the prompt: any tokens would do.
  levels_.assign(shape_.ngram - 1, std::vector<std::int64_t>(shape_.window));
  for (std::vector<std::int64_t>& level : levels_) {
    for (std::int64_t& token : level) {
      token = text[random_() % text.size()];
    }
  }
}

void Lookahead::fill_rows(std::int64_t input, std::int32_t* ids) {
  if (levels_.empty()) {  // the prompt had no text
    levels_.assign(shape_.ngram - 1, std::vector<std::int64_t>(shape_.window, input));
  }
  levels_[0][0] = input;
  std::fill_n(ids, ar_len_, 0);
  for (std::size_t level = 0; level < levels_.size(); ++level) {
    for (std::size_t column = 0; column < shape_.window; ++column) {
      ids[rows_.window_row(level, column)] = static_cast<std::int32_t>(levels_[level][column]);
    }
  }
  const auto& known = pool_.candidates(input);
  candidates_.assign(known.begin(), known.end());
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    for (std::size_t token = 0; token < candidates_[i].size(); ++token) {
      ids[rows_.candidate_row(i, token)] = static_cast<std::int32_t>(candidates_[i][token]);
    }
  }
}

bool Lookahead::find_candidate(const std::vector<std::int64_t>& tokens, std::size_t& row) const {
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    const std::vector<std::int64_t>& candidate = candidates_[i];
    if (tokens.size() <= candidate.size() &&
        std::equal(tokens.begin(), tokens.end(), candidate.begin())) {
      row = rows_.candidate_row(i, tokens.size() - 1);
      return true;
    }
  }
  return false;
}

void Lookahead::advance_window(const std::vector<std::int64_t>& best) {
  for (std::size_t column = 0; column < shape_.window; ++column) {
    std::vector<std::int64_t> continuation;
    for (std::size_t level = 1; level < levels_.size(); ++level) {
      continuation.push_back(levels_[level][column]);
    }
    continuation.push_back(best[column]);
    pool_.insert(levels_[0][column], continuation);
  }
  std::rotate(levels_.begin(), levels_.begin() + 1, levels_.end());
  levels_.back() = best;
}

}  // namespace vlm
