#include "file_check.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "sha256.h"

namespace vlm {
namespace {

constexpr std::size_t kChunk = 1 << 20;

Outcome<std::string> sha256_of(const std::string& path, std::vector<std::uint8_t>& chunk) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return Failure{ExitCode::kFileUnreadable,
                   "files: cannot read '" + path + "': " + std::strerror(errno)};
  }
  Sha256 sum;
  ssize_t size = 0;
  while ((size = ::read(fd, chunk.data(), chunk.size())) > 0) {
    sum.update(chunk.data(), static_cast<std::size_t>(size));
  }
  const int error = errno;
  ::close(fd);
  if (size < 0) {
    return Failure{ExitCode::kFileUnreadable,
                   "files: cannot read '" + path + "': " + std::strerror(error)};
  }
  return sum.hex_digest();
}

}  // namespace

Status check_files(const std::map<std::string, std::string>& sha256_of_path) {
  std::vector<std::uint8_t> chunk(kChunk);
  for (const auto& [path, expected] : sha256_of_path) {
    const auto found = sha256_of(path, chunk);
    if (!found.ok()) {
      return found.failure();
    }
    if (found.value() != expected) {
      return Failure{ExitCode::kFileChanged, "files: '" + path + "' has sha256 " + found.value() +
                                                 ", the request says " + expected};
    }
  }
  return {};
}

}  // namespace vlm
