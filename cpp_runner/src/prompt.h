// Where image tokens go in a prompt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "outcome.h"

namespace vlm {

// Every id must be below the vocabulary's size.
Status check_token_ids(const std::string& name, const std::vector<std::int64_t>& ids,
                       std::size_t vocab_size);

// The number of placeholders must be that of the images' tokens. `name` of the turn.
Status check_placeholders(const std::string& name, const std::vector<std::int64_t>& ids,
                          std::int64_t image_token_id, std::size_t n_images,
                          std::size_t tokens_per_image);

// Puts image tokens over the rows of placeholders, in order.
void merge_image_tokens(const std::vector<std::int64_t>& ids, std::int64_t image_token_id,
                        const std::vector<float>& image_tokens,  // (placeholders, dim)
                        std::size_t dim,
                        float* rows);  // (ids.size(), dim)

}  // namespace vlm
