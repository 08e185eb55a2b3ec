// Prints one JSON object of medians: what the runner itself costs per decoded token and per switch
// from prefill to decode. Execution is stubbed, everything else is the runner's own code.
//
//   runner_overhead CONTEXT LAYERS

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "conversation.h"
#include "sampler.h"
#include "stub_execution.h"
#include "tensor_memory.h"

namespace {

using vlm::now_ns;
using vlm::benchmark::stub_geometry;

constexpr std::size_t kPromptTokens = 8;
constexpr std::size_t kTokens = 200;
constexpr int kRuns = 15;
constexpr double kNsPerUs = 1e3;

double median(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
}

// What any runner must do: one token's K and V to their places, in memory of its own. Before
// each token a row of logits is sampled, untimed, as in the runner: at context 8192 the stores
// touch 10,240 pages, and what the sampler drives out of the caches is not the runner's to save.
class BareLoop {
 public:
  explicit BareLoop(vlm::TensorMemory& memory)
      : columns_(stub_geometry.context_length - 1),
        rows_(stub_geometry.n_kv_heads * stub_geometry.head_dim) {
    const std::size_t bytes = rows_ * columns_ * sizeof(std::uint16_t);
    keys_ = memory.allocate(std::vector<std::size_t>(stub_geometry.n_layers, bytes));
    values_ = memory.allocate(std::vector<std::size_t>(stub_geometry.n_layers, bytes));
    const std::size_t new_bytes = rows_ * sizeof(std::uint16_t);
    new_ = memory.allocate(std::vector<std::size_t>(2 * stub_geometry.n_layers, new_bytes));
    logits_ = memory.allocate({stub_geometry.vocab_size * sizeof(std::uint16_t)}).front();
  }

  // Adds one sample per token.
  void time(std::size_t first, std::size_t count, std::vector<double>& us_per_token) {
    for (std::size_t token = first; token < first + count; ++token) {
      sampled_ = vlm::argmax(logits_, stub_geometry.vocab_size, vlm::ElementType::kU16).take();
      const std::int64_t begin_ns = now_ns();
      store(token);
      us_per_token.push_back(static_cast<double>(now_ns() - begin_ns) / kNsPerUs);
    }
  }

 private:
  void store(std::size_t token) {
    for (std::size_t layer = 0; layer < stub_geometry.n_layers; ++layer) {
      auto* key = reinterpret_cast<std::uint16_t*>(keys_[layer]) + token;
      const auto* new_key = reinterpret_cast<const std::uint16_t*>(new_[2 * layer]);
      for (std::size_t row = 0; row < rows_; ++row) {
        key[row * columns_] = new_key[row];
      }
      const std::size_t head_bytes = stub_geometry.head_dim * sizeof(std::uint16_t);
      for (std::size_t head = 0; head < stub_geometry.n_kv_heads; ++head) {
        std::memcpy(values_[layer] + (head * columns_ + token) * head_bytes,
                    new_[2 * layer + 1] + head * head_bytes, head_bytes);
      }
    }
  }

  std::size_t columns_;
  std::size_t rows_;
  std::vector<std::uint8_t*> keys_;
  std::vector<std::uint8_t*> values_;
  std::vector<std::uint8_t*> new_;
  std::uint8_t* logits_ = nullptr;
  volatile std::int64_t sampled_ = 0;
};

vlm::Request request() {
  vlm::Request request;
  request.mode = vlm::Mode::kHybrid;
  request.turns.resize(1);
  request.turns[0].prompt_token_ids.assign(kPromptTokens, 1);
  request.image_token_id = 2;
  request.fixed_tokens = kTokens;
  return request;
}

vlm::TurnReport run_turn(vlm::Conversation& conversation, const vlm::Request& request) {
  conversation.reset();
  vlm::TurnReport turn;
  vlm::Step step = vlm::Step::kReadRequest;
  const vlm::Status status = conversation.run_turn(request.turns[0], {}, turn, step, nullptr);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.failure().message.c_str());
    std::exit(1);
  }
  return turn;
}

// Adds one sample per decoded token: everything between two tokens but Method::execute.
void add_gaps(const vlm::TurnReport& turn, std::vector<double>& us_per_token) {
  const std::vector<std::int64_t>& stamps = turn.timestamps.tokens_ns;
  for (std::size_t i = 0; i + 1 < stamps.size(); ++i) {
    const std::int64_t gap_ns = stamps[i + 1] - stamps[i] - turn.execute.decode_ns[i];
    us_per_token.push_back(static_cast<double>(gap_ns) / kNsPerUs);
  }
}

double sampler_us(const vlm::TurnReport& turn) {
  return static_cast<double>(turn.timestamps.sampling_total_ns) / kNsPerUs /
         static_cast<double>(turn.timestamps.tokens_ns.size());
}

// Of cache, mask and positions: what fifty more tokens add.
double bytes_per_token(vlm::Conversation& conversation, vlm::Request request,
                       const vlm::Decoder& decoder) {
  constexpr std::size_t kMore = 50;
  double bytes[2] = {};
  for (const std::size_t run : {0, 1}) {
    request.turns[0].teacher_forced_token_ids =
        std::vector<std::int64_t>(kTokens - run * kMore, 1);
    conversation.reset();
    const std::size_t before = decoder.bytes_touched();
    run_turn(conversation, request);
    bytes[run] = static_cast<double>(decoder.bytes_touched() - before);
  }
  return (bytes[0] - bytes[1]) / static_cast<double>(kMore);
}

// `filled` tokens from rows for a prefill graph to those for a decode graph; -1 if they do not fit.
double switch_ms(vlm::TensorMemory& memory, std::size_t filled) {
  const std::size_t decode_columns = stub_geometry.context_length - 1;
  const std::size_t prefill_columns = stub_geometry.context_length - stub_geometry.prefill_ar_len;
  if (filled > prefill_columns) {
    return -1.0;
  }
  vlm::KvCache cache({stub_geometry.n_layers, stub_geometry.n_kv_heads, stub_geometry.head_dim,
                      sizeof(std::uint16_t), decode_columns},
                     prefill_columns, memory);
  cache.advance(filled);
  std::vector<double> samples;
  for (int run = 0; run < kRuns; ++run) {
    const std::int64_t begin_ns = now_ns();
    cache.set_columns(decode_columns);
    samples.push_back(static_cast<double>(now_ns() - begin_ns) / 1e6);
    cache.set_columns(prefill_columns);
  }
  return median(samples);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: runner_overhead CONTEXT LAYERS\n");
    return 64;
  }
  stub_geometry.context_length = std::strtoul(argv[1], nullptr, 10);
  stub_geometry.n_layers = std::strtoul(argv[2], nullptr, 10);
  if (stub_geometry.context_length < kPromptTokens + kTokens + 1 || stub_geometry.n_layers == 0) {
    std::fprintf(stderr, "runner_overhead: CONTEXT must be at least %zu, LAYERS at least 1\n",
                 kPromptTokens + kTokens + 1);
    return 64;
  }
  vlm::TensorMemory memory(false);
  const vlm::Request asked = request();
  vlm::Components components;
  components.decoder = vlm::Decoder::load(asked, memory).take();
  components.token_embedding =
      vlm::TokenEmbedding::load(asked.tok_embedding_pte, asked.mode, memory).take();
  if (!components.token_embedding->bind_decode_output(components.decoder->decode_rows(), 1).ok()) {
    return 1;
  }
  vlm::Conversation conversation(asked, components, vlm::Encoding{});
  BareLoop bare(memory);
  std::vector<double> token;
  std::vector<double> loop;
  std::vector<double> sampler;
  for (int run = 0; run < kRuns; ++run) {
    const vlm::TurnReport turn = run_turn(conversation, asked);
    add_gaps(turn, token);
    sampler.push_back(sampler_us(turn));
    bare.time(kPromptTokens, kTokens - 1, loop);
  }
  std::printf("{\"context\": %zu, \"layers\": %zu, \"token_us\": %.2f, \"sampler_us\": %.2f, "
              "\"bare_loop_us\": %.2f, \"overhead_us\": %.2f, \"bytes_per_token\": %.1f, "
              "\"switch_1024_ms\": %.2f}\n",
              stub_geometry.context_length, stub_geometry.n_layers, median(token),
              median(sampler), median(loop), median(token) - median(sampler) - median(loop),
              bytes_per_token(conversation, asked, *components.decoder),
              switch_ms(memory, 1024));
  return 0;
}
