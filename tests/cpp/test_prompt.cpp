#include "prompt.h"

#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_CASE(placeholders_wrong_count_gives_both_counts) {
  const vlm::Status status = vlm::check_placeholders("turns[0]", {1, 9, 9, 2}, 9, 2, 3);
  BOOST_REQUIRE(!status.ok());
  BOOST_REQUIRE(status.failure().code == vlm::ExitCode::kImageMismatch);
  BOOST_REQUIRE(status.failure().message.find("2 image placeholders") != std::string::npos);
  BOOST_REQUIRE(status.failure().message.find("give 6") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(placeholders_none_and_no_image_is_fine) {
  BOOST_REQUIRE(vlm::check_placeholders("turns[0]", {1, 2, 3}, 9, 0, 64).ok());
}

BOOST_AUTO_TEST_CASE(token_ids_outside_vocabulary_name_position) {
  const vlm::Status status = vlm::check_token_ids("prompt_token_ids", {0, 10}, 10);
  BOOST_REQUIRE(!status.ok());
  BOOST_REQUIRE(status.failure().message.find("prompt_token_ids[1]: id 10") == 0);
  BOOST_REQUIRE(vlm::check_token_ids("prompt_token_ids", {0, 9}, 10).ok());
}

BOOST_AUTO_TEST_CASE(image_tokens_replace_placeholder_rows_in_order) {
  std::vector<float> rows = {0, 0, 1, 1, 2, 2, 3, 3};  // (4, 2)
  vlm::merge_image_tokens({5, 9, 6, 9}, 9, {10, 11, 20, 21}, 2, rows.data());
  const std::vector<float> expected = {0, 0, 10, 11, 2, 2, 20, 21};
  BOOST_REQUIRE(rows == expected);
}
