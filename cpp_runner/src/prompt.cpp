#include "prompt.h"

#include <algorithm>
#include <string>

namespace vlm {

Status check_token_ids(const std::string& name, const std::vector<std::int64_t>& ids,
                       std::size_t vocab_size) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= vocab_size) {
      return Failure{ExitCode::kBadRequest,
                     name + "[" + std::to_string(i) + "]: id " +
                         std::to_string(ids[i]) + " is outside the vocabulary of " +
                         std::to_string(vocab_size)};
    }
  }
  return {};
}

Status check_placeholders(const std::string& name, const std::vector<std::int64_t>& ids,
                          std::int64_t image_token_id, std::size_t n_images,
                          std::size_t tokens_per_image) {
  const auto placeholders =
      static_cast<std::size_t>(std::count(ids.begin(), ids.end(), image_token_id));
  if (placeholders != n_images * tokens_per_image) {
    return Failure{ExitCode::kImageMismatch,
                   name + ": its prompt has " + std::to_string(placeholders) +
                       " image placeholders, but " + std::to_string(n_images) + " images of " +
                       std::to_string(tokens_per_image) + " tokens give " +
                       std::to_string(n_images * tokens_per_image)};
  }
  return {};
}

void merge_image_tokens(const std::vector<std::int64_t>& ids, std::int64_t image_token_id,
                        const std::vector<float>& image_tokens, std::size_t dim, float* rows) {
  std::size_t next = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == image_token_id) {
      std::copy_n(image_tokens.data() + next * dim, dim, rows + i * dim);
      ++next;
    }
  }
}

}  // namespace vlm
