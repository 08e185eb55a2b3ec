// What happens to cached entries when the decode graph takes over from the prefill graph.
#pragma once

#include <cstddef>
#include <vector>

#include "kv_cache.h"
#include "outcome.h"
#include "pte_file.h"
#include "requantize.h"
#include "tensor_spec.h"

namespace vlm {

struct EncodingChange {
  Encoding prefill_output;
  Encoding decode_input;
};

// Per layer; both empty if the PTE says nothing, which means that nothing changes.
struct CacheEncodings {
  std::vector<EncodingChange> keys;
  std::vector<EncodingChange> values;
};

// Reads the constant methods named in contract.h. All of them or none: a few missing, a scale
// that is not positive or a zero point outside the element type is a contract mismatch.
Outcome<CacheEncodings> read_cache_encodings(const PteFile& file, std::size_t n_layers,
                                             ElementType cache_type);

// Whether any layer is encoded differently in the two graphs.
bool encodings_differ(const CacheEncodings& encodings);

enum class Direction { kPrefillToDecode, kDecodeToPrefill };

// Requantises entries [begin, end) of the layers whose encodings differ. Returns the number of
// scalars it changed the encoding of: call it once per entry.
std::size_t requantize_entries(KvCache& cache, const CacheEncodings& encodings,
                               Direction direction, std::size_t begin, std::size_t end);

}  // namespace vlm
