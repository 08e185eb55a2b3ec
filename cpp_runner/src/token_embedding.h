// Token ids to embeddings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "graph.h"
#include "outcome.h"
#include "pte_file.h"
#include "request.h"

namespace vlm {

class TokenEmbedding {
 public:
  // Hybrid mode also loads the prefill method.
  static Outcome<std::unique_ptr<TokenEmbedding>> load(const std::string& path, Mode mode);

  std::size_t dim() const { return dim_; }

  // Where embed_token() puts its result: the decoder's input, so that nothing is copied.
  // `row` (1, dim) is borrowed. Must be called before anything is embedded.
  Status bind_token_output(float* row);

  // One token, with the decode method, to the bound row.
  Status embed_token(std::int64_t id);

  // A whole prompt: in chunks with the prefill method in hybrid mode, else token by token.
  // Rows at positions that hold `skipped_id` (image placeholders) are left unspecified.
  Status embed_prompt(const std::vector<std::int64_t>& ids, std::int64_t skipped_id,
                      float* rows);  // (ids.size(), dim)

 private:
  TokenEmbedding() = default;
  Status load_method(const char* method, std::unique_ptr<Graph>& graph, std::size_t& ar_len);
  Status embed_in_chunks(const std::vector<std::int64_t>& ids, float* rows);

  std::unique_ptr<PteFile> file_;
  std::unique_ptr<Graph> decode_;
  std::unique_ptr<Graph> prefill_;  // null in kv mode
  std::size_t dim_ = 0;
  std::size_t prefill_ar_len_ = 0;
  std::int32_t token_ = 0;                 // (1, 1), bound to decode_
  float* token_row_ = nullptr;             // (1, 1, dim), borrowed, bound to decode_
  std::vector<std::int32_t> chunk_ids_;    // (1, prefill_ar_len), bound to prefill_
  std::vector<float> chunk_rows_;          // (1, prefill_ar_len, dim), bound to prefill_
};

}  // namespace vlm
