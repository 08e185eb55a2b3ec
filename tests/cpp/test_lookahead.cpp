#include "lookahead.h"

#include <set>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using vlm::Lookahead;
using vlm::LookaheadRows;
using vlm::LookaheadShape;
using vlm::NgramPool;

constexpr std::int64_t kNoGap = -1;

std::set<std::size_t> seen_by(const LookaheadRows& rows, std::size_t row, std::size_t ar_len) {
  std::set<std::size_t> seen;
  for (std::size_t column = 0; column < ar_len; ++column) {
    if (rows.attends()[row * ar_len + column]) {
      seen.insert(column);
    }
  }
  return seen;
}

}  // namespace

BOOST_AUTO_TEST_CASE(lookahead_rows_window_3_ngram_3_gcap_2) {
  const LookaheadShape shape{3, 3, 2};
  BOOST_REQUIRE(shape.rows() == 10);
  const LookaheadRows rows(shape, 16);
  // Level 0: rows 0 to 2; level 1: 3 to 5; candidates: 6, 7 and 8, 9; padding: 10 to 15.
  const std::vector<std::size_t> offsets = {0, 1, 2, 1, 2, 3, 1, 2, 1, 2, 0, 0, 0, 0, 0, 0};
  BOOST_REQUIRE(rows.offsets() == offsets);
  BOOST_REQUIRE((seen_by(rows, 0, 16) == std::set<std::size_t>{0}));
  BOOST_REQUIRE((seen_by(rows, 2, 16) == std::set<std::size_t>{0, 1, 2}));
  BOOST_REQUIRE((seen_by(rows, 4, 16) == std::set<std::size_t>{0, 1, 4}));
  BOOST_REQUIRE((seen_by(rows, 6, 16) == std::set<std::size_t>{0, 6}));
  BOOST_REQUIRE((seen_by(rows, 9, 16) == std::set<std::size_t>{0, 8, 9}));
  BOOST_REQUIRE((seen_by(rows, 12, 16) == std::set<std::size_t>{12}));
}

BOOST_AUTO_TEST_CASE(lookahead_rows_see_one_token_per_position_up_to_their_own) {
  // What makes a row's logits those of one-by-one decoding.
  for (const LookaheadShape& shape : {LookaheadShape{1, 2, 1}, {4, 2, 3}, {5, 4, 2}, {2, 5, 7}}) {
    const std::size_t ar_len = shape.rows();
    const LookaheadRows rows(shape, ar_len);
    for (std::size_t row = 0; row < ar_len; ++row) {
      std::multiset<std::size_t> positions;
      for (const std::size_t seen : seen_by(rows, row, ar_len)) {
        positions.insert(rows.offsets()[seen]);
      }
      std::multiset<std::size_t> expected;
      for (std::size_t position = 0; position <= rows.offsets()[row]; ++position) {
        expected.insert(position);
      }
      BOOST_REQUIRE(positions == expected);
    }
  }
}

BOOST_AUTO_TEST_CASE(ngram_pool_keeps_the_newest_different_ones) {
  NgramPool pool(2);
  pool.insert(5, {1, 2});
  pool.insert(5, {3, 4});
  pool.insert(5, {1, 2});
  BOOST_REQUIRE(pool.candidates(5).size() == 2);
  BOOST_REQUIRE((pool.candidates(5)[0] == std::vector<std::int64_t>{1, 2}));
  pool.insert(5, {6, 7});
  BOOST_REQUIRE(pool.candidates(5).size() == 2);
  BOOST_REQUIRE((pool.candidates(5)[0] == std::vector<std::int64_t>{6, 7}));
  BOOST_REQUIRE((pool.candidates(5)[1] == std::vector<std::int64_t>{1, 2}));
  BOOST_REQUIRE(pool.candidates(6).empty());
}

BOOST_AUTO_TEST_CASE(lookahead_text_makes_candidates_but_not_across_a_gap) {
  Lookahead lookahead({2, 3, 2}, 8, 0);
  lookahead.add_text({1, 2, 3, 99, 4, 1, 7, 8}, 99);
  std::vector<std::int32_t> ids(8);
  lookahead.fill_rows(1, ids.data());
  BOOST_REQUIRE(lookahead.proposed_tokens() == 4);
  std::size_t row = 0;
  BOOST_REQUIRE(lookahead.find_candidate({7, 8}, row));
  BOOST_REQUIRE(ids[row] == 8 && ids[row - 1] == 7);
  BOOST_REQUIRE(lookahead.find_candidate({2}, row));
  BOOST_REQUIRE(ids[row] == 2);
  BOOST_REQUIRE(!lookahead.find_candidate({2, 4}, row));
  lookahead.fill_rows(2, ids.data());
  BOOST_REQUIRE(lookahead.proposed_tokens() == 0);  // 2 3 was cut off by the gap
}

BOOST_AUTO_TEST_CASE(lookahead_window_columns_become_candidates) {
  Lookahead lookahead({2, 3, 2}, 8, 0);
  lookahead.add_text({5}, kNoGap);  // so every token of the first window is 5
  std::vector<std::int32_t> ids(8);
  lookahead.fill_rows(9, ids.data());
  BOOST_REQUIRE((ids == std::vector<std::int32_t>{9, 5, 5, 5, 0, 0, 0, 0}));
  lookahead.advance_window({6, 7});
  lookahead.fill_rows(9, ids.data());
  std::size_t row = 0;
  BOOST_REQUIRE(lookahead.find_candidate({5, 6}, row));  // column 0: 9 5 6
  BOOST_REQUIRE((std::vector<std::int32_t>(ids.begin(), ids.begin() + 4) ==
                 std::vector<std::int32_t>{9, 5, 6, 7}));
}

BOOST_AUTO_TEST_CASE(lookahead_same_seed_gives_the_same_window) {
  std::vector<std::int64_t> text(50);
  for (std::size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<std::int64_t>(i);
  }
  const auto first_window = [&text](std::uint64_t seed) {
    Lookahead lookahead({5, 3, 1}, 16, seed);
    std::vector<std::int32_t> ids(16);
    lookahead.add_text(text, kNoGap);
    lookahead.fill_rows(1, ids.data());
    return ids;
  };
  BOOST_REQUIRE(first_window(3) == first_window(3));
  BOOST_REQUIRE(first_window(3) != first_window(4));
}
