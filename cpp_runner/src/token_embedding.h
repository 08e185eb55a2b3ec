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
#include "tensor_memory.h"

namespace vlm {

class TokenEmbedding {
 public:
  // All modes but kv also load the prefill method. `memory` must outlive the embedding.
  static Outcome<std::unique_ptr<TokenEmbedding>> load(const std::string& path, Mode mode,
                                                       TensorMemory& memory);

  std::size_t dim() const { return dim_; }

  // Where embed_tokens() puts its result: the decoder's input, so that nothing is copied.
  // `rows` (1, decode_ar_len, dim) is borrowed. Must be called before anything is embedded.
  Status bind_decode_output(float* rows, std::size_t decode_ar_len);

  // Tokens with the decode method, to the bound rows; (1, decode_ar_len), see token_ids().
  Status embed_tokens() { return decode_->execute(); }
  std::int32_t* token_ids() { return token_ids_; }

  // One token to the first bound row.
  Status embed_token(std::int64_t id) {
    token_ids_[0] = static_cast<std::int32_t>(id);
    return embed_tokens();
  }

  // A whole prompt: in chunks with the prefill method, in kv mode token by token. Rows from
  // `first` on that hold `skipped_id` (image placeholders) are left unspecified.
  Status embed_prompt(const std::vector<std::int64_t>& ids, std::size_t first,
                      std::int64_t skipped_id,
                      float* rows);  // (ids.size(), dim)

 private:
  TokenEmbedding() = default;
  Status bind_prefill(TensorMemory& memory);
  Status load_method(const char* method, std::unique_ptr<Graph>& graph, std::size_t& ar_len);
  Status embed_in_chunks(const std::vector<std::int64_t>& ids, float* rows);

  // Buffers are borrowed from the memory that load() was given.
  std::unique_ptr<PteFile> file_;
  std::unique_ptr<Graph> decode_;
  std::unique_ptr<Graph> prefill_;  // null in kv mode
  std::size_t dim_ = 0;
  std::size_t decode_ar_len_ = 0;
  std::size_t prefill_ar_len_ = 0;
  std::int32_t* token_ids_ = nullptr;  // (1, decode_ar_len), bound to decode_
  float* decode_rows_ = nullptr;       // (1, decode_ar_len, dim), bound to decode_
  std::int32_t* chunk_ids_ = nullptr;  // (1, prefill_ar_len), bound to prefill_
  float* chunk_rows_ = nullptr;        // (1, prefill_ar_len, dim), bound to prefill_
};

}  // namespace vlm
