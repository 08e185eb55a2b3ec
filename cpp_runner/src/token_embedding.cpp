#include "token_embedding.h"

#include <algorithm>

#include "contract.h"

namespace vlm {

Status TokenEmbedding::load_method(const char* method, std::unique_ptr<Graph>& graph,
                                   std::size_t& ar_len) {
  auto loaded = file_->load_graph(method);
  if (!loaded.ok()) {
    return loaded.failure();
  }
  graph = loaded.take();
  const auto mismatch = [&](const std::string& problem) {
    return Failure{ExitCode::kContractMismatch, graph->label() + ": " + problem};
  };
  const auto& inputs = graph->inputs();
  const auto& outputs = graph->outputs();
  if (inputs.size() != 1 || outputs.size() != 1) {
    return mismatch("has " + std::to_string(inputs.size()) + " inputs and " +
                    std::to_string(outputs.size()) + " outputs, expected one of each");
  }
  if (inputs[0].type != ElementType::kI32 || inputs[0].shape.size() != 2 ||
      inputs[0].shape[0] != 1 || inputs[0].element_count() == 0) {
    return mismatch("input is " + spec_text(inputs[0]) + ", expected int32 [1, AR]");
  }
  if (outputs[0].type != ElementType::kF32 || outputs[0].shape.size() != 3 ||
      outputs[0].shape[0] != 1 || outputs[0].shape[1] != inputs[0].shape[1] ||
      outputs[0].shape[2] < 1) {
    return mismatch("output is " + spec_text(outputs[0]) + ", expected float32 [1, " +
                    std::to_string(inputs[0].shape[1]) + ", dim]");
  }
  const auto dim = static_cast<std::size_t>(outputs[0].shape[2]);
  if (dim_ != 0 && dim_ != dim) {
    return mismatch("gives rows of " + std::to_string(dim) + ", the decode method of " +
                    std::to_string(dim_));
  }
  dim_ = dim;
  ar_len = static_cast<std::size_t>(inputs[0].shape[1]);
  return {};
}

Outcome<std::unique_ptr<TokenEmbedding>> TokenEmbedding::load(const std::string& path, Mode mode,
                                                              TensorMemory& memory) {
  auto file = PteFile::open("tok_embedding", path);
  if (!file.ok()) {
    return file.failure();
  }
  std::unique_ptr<TokenEmbedding> embedding(new TokenEmbedding());
  embedding->file_ = file.take();
  VLM_RETURN_IF_FAILED(embedding->load_method(contract::kEmbeddingDecodeMethod,
                                              embedding->decode_, embedding->decode_ar_len_));
  const std::size_t ids_bytes = embedding->decode_ar_len_ * sizeof(std::int32_t);
  embedding->token_ids_ = reinterpret_cast<std::int32_t*>(memory.allocate({ids_bytes})[0]);
  if (mode != Mode::kKv) {
    VLM_RETURN_IF_FAILED(embedding->load_method(
        contract::kEmbeddingPrefillMethod, embedding->prefill_, embedding->prefill_ar_len_));
    VLM_RETURN_IF_FAILED(embedding->bind_prefill(memory));
  }
  return embedding;
}

Status TokenEmbedding::bind_prefill(TensorMemory& memory) {
  const auto pieces = memory.allocate({prefill_ar_len_ * sizeof(std::int32_t),
                                       prefill_ar_len_ * dim_ * sizeof(float)});
  chunk_ids_ = reinterpret_cast<std::int32_t*>(pieces[0]);
  chunk_rows_ = reinterpret_cast<float*>(pieces[1]);
  return prefill_->bind({chunk_ids_}, {chunk_rows_});
}

Status TokenEmbedding::bind_decode_output(float* rows, std::size_t decode_ar_len) {
  if (decode_ar_len_ != decode_ar_len) {
    return Failure{ExitCode::kContractMismatch,
                   decode_->label() + ": takes " + std::to_string(decode_ar_len_) +
                       " tokens a call, the text decoder " + std::to_string(decode_ar_len)};
  }
  decode_rows_ = rows;
  return decode_->bind({token_ids_}, {rows});
}

Status TokenEmbedding::embed_in_chunks(const std::vector<std::int64_t>& ids, float* rows) {
  for (std::size_t begin = 0; begin < ids.size(); begin += prefill_ar_len_) {
    const std::size_t count = std::min(prefill_ar_len_, ids.size() - begin);
    for (std::size_t i = 0; i < prefill_ar_len_; ++i) {
      chunk_ids_[i] = i < count ? static_cast<std::int32_t>(ids[begin + i]) : 0;
    }
    VLM_RETURN_IF_FAILED(prefill_->execute());
    std::copy_n(chunk_rows_, count * dim_, rows + begin * dim_);
  }
  return {};
}

Status TokenEmbedding::embed_prompt(const std::vector<std::int64_t>& ids, std::size_t first,
                                    std::int64_t skipped_id, float* rows) {
  if (prefill_ != nullptr) {
    return embed_in_chunks(ids, rows);
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i < first || ids[i] != skipped_id) {
      VLM_RETURN_IF_FAILED(embed_token(ids[i]));
      std::copy_n(decode_rows_, dim_, rows + i * dim_);
    }
  }
  return {};
}

}  // namespace vlm
