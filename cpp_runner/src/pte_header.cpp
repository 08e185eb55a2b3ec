#include "pte_header.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace vlm {
namespace {

// Layout: u32 root offset, "ET12", then ExecuTorch's extended header: "eh00", u32 its length,
// u64 program size, u64 segment base offset, u64 segment data size; all little-endian
// (executorch/schema/extended_header.h).
constexpr std::size_t kIdentifierAt = 4;
constexpr std::size_t kMagicAt = 8;
constexpr std::size_t kLengthAt = 12;
constexpr std::size_t kProgramSizeAt = 16;
constexpr std::size_t kSegmentBaseAt = 24;
constexpr std::size_t kSegmentSizeAt = 32;
constexpr std::uint64_t kHeaderLength = 32;
constexpr std::uint64_t kMaxPadding = 65536;  // between program and segments; 128 is usual

std::uint64_t read_little_endian(const std::uint8_t* data, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes; i > 0; --i) {
    value = value << 8 | data[i - 1];
  }
  return value;
}

Failure refused(const std::string& problem) { return {ExitCode::kLoadFailed, problem}; }

}  // namespace

Status check_pte_header(const std::uint8_t* data, std::size_t size, std::uint64_t file_size) {
  if (size < kPteHeaderSize) {
    return refused("it has " + std::to_string(file_size) + " bytes, a PTE has more");
  }
  if (std::memcmp(data + kIdentifierAt, "ET12", 4) != 0) {
    return refused("it does not begin as a PTE does (ET12)");
  }
  if (std::memcmp(data + kMagicAt, "eh00", 4) != 0 ||
      read_little_endian(data + kLengthAt, 4) != kHeaderLength) {
    return refused("its extended header is damaged, or of another version of ExecuTorch");
  }
  const std::uint64_t root = read_little_endian(data, 4);
  const std::uint64_t program = read_little_endian(data + kProgramSizeAt, 8);
  const std::uint64_t base = read_little_endian(data + kSegmentBaseAt, 8);
  const std::uint64_t segments = read_little_endian(data + kSegmentSizeAt, 8);
  if (program < kPteHeaderSize || program > file_size || root >= program) {
    return refused("its header tells a program of " + std::to_string(program) +
                   " bytes in a file of " + std::to_string(file_size));
  }
  // Without segments both fields are 0, and the program is all there is.
  const std::uint64_t end = base == 0 && segments == 0 ? program : base;
  if (end < program || end - program > kMaxPadding || end > file_size ||
      segments != file_size - end) {
    return refused("its header tells " + std::to_string(segments) +
                   " bytes of segments from byte " + std::to_string(base) +
                   " on in a file of " + std::to_string(file_size) + ": it is cut or damaged");
  }
  return {};
}

Status check_pte_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::array<std::uint8_t, kPteHeaderSize> start = {};
  struct stat info = {};
  const ssize_t size = fd < 0 ? -1 : ::read(fd, start.data(), start.size());
  const bool is_read = size >= 0 && ::fstat(fd, &info) == 0;
  const int error = errno;
  if (fd >= 0) {
    ::close(fd);
  }
  if (!is_read) {
    return Failure{ExitCode::kFileUnreadable, std::strerror(error)};
  }
  return check_pte_header(start.data(), static_cast<std::size_t>(size),
                          static_cast<std::uint64_t>(info.st_size));
}

}  // namespace vlm
