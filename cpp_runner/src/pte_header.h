// The first bytes of a .pte file against its size, before anything else believes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "outcome.h"

namespace vlm {

// Enough of a file for `check_pte_header`.
inline constexpr std::size_t kPteHeaderSize = 40;

// Fails with load_failed unless the file begins like a PTE, and program and segments fill it
// exactly. `data` holds its first `size` bytes, `file_size` is that of all of it.
Status check_pte_header(const std::uint8_t* data, std::size_t size, std::uint64_t file_size);

// The same for a file that can be read; file_unreadable if it cannot.
Status check_pte_file(const std::string& path);

}  // namespace vlm
