#include "cache_encodings.h"

#include <cstdint>
#include <limits>
#include <string>

#include "contract.h"

namespace vlm {
namespace {

std::int64_t max_value(ElementType type) {
  return type == ElementType::kU8 ? std::numeric_limits<std::uint8_t>::max()
                                  : std::numeric_limits<std::uint16_t>::max();
}

Outcome<Encoding> read_encoding(const PteFile& file, char kind, const char* side,
                                std::size_t layer, ElementType cache_type) {
  const std::string scale_method =
      contract::cache_encoding_method(kind, contract::kScaleField, side, layer);
  const std::string zero_point_method =
      contract::cache_encoding_method(kind, contract::kZeroPointField, side, layer);
  const auto scale = file.read_scale(scale_method);
  if (!scale.ok()) {
    return scale.failure();
  }
  const auto zero_point = file.read_integer(zero_point_method);
  if (!zero_point.ok()) {
    return zero_point.failure();
  }
  if (zero_point.value() < 0 || zero_point.value() > max_value(cache_type)) {
    return Failure{ExitCode::kContractMismatch,
                   file.component() + ": " + zero_point_method + " is " +
                       std::to_string(zero_point.value()) + ", expected 0 to " +
                       std::to_string(max_value(cache_type))};
  }
  return Encoding{scale.value(), zero_point.value()};
}

Status read_changes(const PteFile& file, char kind, std::size_t n_layers, ElementType cache_type,
                    std::vector<EncodingChange>& changes) {
  for (std::size_t layer = 0; layer < n_layers; ++layer) {
    const auto from = read_encoding(file, kind, contract::kPrefillOutputSide, layer, cache_type);
    if (!from.ok()) {
      return from.failure();
    }
    const auto to = read_encoding(file, kind, contract::kDecodeInputSide, layer, cache_type);
    if (!to.ok()) {
      return to.failure();
    }
    changes.push_back({from.value(), to.value()});
  }
  return {};
}

// The entries to requantise, and from which encoding to which.
struct Span {
  std::size_t begin;
  std::size_t end;
  Direction direction;
};

// `rows` runs of `count` elements that begin at `first`, `stride` apart.
template <typename T>
std::size_t requantize_rows(std::uint8_t* data, std::size_t rows, std::size_t first,
                            std::size_t count, std::size_t stride, const EncodingChange& change,
                            Direction direction) {
  if (change.prefill_output == change.decode_input) {
    return 0;
  }
  const bool forward = direction == Direction::kPrefillToDecode;
  const Encoding& from = forward ? change.prefill_output : change.decode_input;
  const Encoding& to = forward ? change.decode_input : change.prefill_output;
  for (std::size_t row = 0; row < rows; ++row) {
    requantize(reinterpret_cast<T*>(data) + row * stride + first, count, from, to);
  }
  return rows * count;
}

template <typename T>
std::size_t requantize_layers(KvCache& cache, const CacheEncodings& encodings, const Span& span) {
  const KvGeometry& geometry = cache.geometry();
  const std::size_t head_dim = geometry.head_dim;
  const std::size_t count = span.end - span.begin;
  std::size_t changed = 0;
  for (std::size_t layer = 0; layer < geometry.n_layers; ++layer) {
    changed += requantize_rows<T>(cache.key(layer), geometry.n_kv_heads * head_dim, span.begin,
                                  count, cache.columns(), encodings.keys[layer], span.direction);
    changed += requantize_rows<T>(cache.value(layer), geometry.n_kv_heads, span.begin * head_dim,
                                  count * head_dim, cache.columns() * head_dim,
                                  encodings.values[layer], span.direction);
  }
  return changed;
}

}  // namespace

Outcome<CacheEncodings> read_cache_encodings(const PteFile& file, std::size_t n_layers,
                                             ElementType cache_type) {
  CacheEncodings encodings;
  bool any = false;
  for (const char kind : {'k', 'v'}) {
    for (const char* side : {contract::kPrefillOutputSide, contract::kDecodeInputSide}) {
      any = any || file.has_method(
                       contract::cache_encoding_method(kind, contract::kScaleField, side, 0));
    }
  }
  if (!any) {
    return encodings;
  }
  if (cache_type == ElementType::kF32) {
    return Failure{ExitCode::kContractMismatch,
                   file.component() + ": gives cache encodings, but its cache is float32"};
  }
  VLM_RETURN_IF_FAILED(read_changes(file, 'k', n_layers, cache_type, encodings.keys));
  VLM_RETURN_IF_FAILED(read_changes(file, 'v', n_layers, cache_type, encodings.values));
  return encodings;
}

bool encodings_differ(const CacheEncodings& encodings) {
  for (const auto* changes : {&encodings.keys, &encodings.values}) {
    for (const EncodingChange& change : *changes) {
      if (!(change.prefill_output == change.decode_input)) {
        return true;
      }
    }
  }
  return false;
}

std::size_t requantize_entries(KvCache& cache, const CacheEncodings& encodings,
                               Direction direction, std::size_t begin, std::size_t end) {
  if (encodings.keys.empty()) {
    return 0;
  }
  const Span span{begin, end, direction};
  return cache.geometry().element_size == sizeof(std::uint8_t)
             ? requantize_layers<std::uint8_t>(cache, encodings, span)
             : requantize_layers<std::uint16_t>(cache, encodings, span);
}

}  // namespace vlm
