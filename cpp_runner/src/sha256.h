// SHA-256 (FIPS 180-4), because neither Android nor the ExecuTorch package brings a library
// with one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace vlm {

class Sha256 {
 public:
  void update(const std::uint8_t* data, std::size_t size);
  // 64 lower-case hex digits. To be called once, at the end.
  std::string hex_digest();

 private:
  void add_block(const std::uint8_t* block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> pending_ = {};
  std::size_t pending_size_ = 0;
  std::uint64_t size_ = 0;  // bytes
};

}  // namespace vlm
