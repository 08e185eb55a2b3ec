#include "prompt.h"

#include <string>
#include <vector>

#include "check.h"

TEST(placeholders_wrong_count_gives_both_counts) {
  const vlm::Status status = vlm::check_placeholders({1, 9, 9, 2}, 9, 2, 3);
  CHECK(!status.ok());
  CHECK(status.failure().code == vlm::ExitCode::kImageMismatch);
  CHECK(status.failure().message.find("2 image placeholders") != std::string::npos);
  CHECK(status.failure().message.find("give 6") != std::string::npos);
}

TEST(placeholders_none_and_no_image_is_fine) {
  CHECK(vlm::check_placeholders({1, 2, 3}, 9, 0, 64).ok());
}

TEST(token_ids_outside_vocabulary_name_position) {
  const vlm::Status status = vlm::check_token_ids("prompt_token_ids", {0, 10}, 10);
  CHECK(!status.ok());
  CHECK(status.failure().message.find("prompt_token_ids[1]: id 10") == 0);
  CHECK(vlm::check_token_ids("prompt_token_ids", {0, 9}, 10).ok());
}

TEST(image_tokens_replace_placeholder_rows_in_order) {
  std::vector<float> rows = {0, 0, 1, 1, 2, 2, 3, 3};  // (4, 2)
  vlm::merge_image_tokens({5, 9, 6, 9}, 9, {10, 11, 20, 21}, 2, rows.data());
  const std::vector<float> expected = {0, 0, 10, 11, 2, 2, 20, 21};
  CHECK(rows == expected);
}
