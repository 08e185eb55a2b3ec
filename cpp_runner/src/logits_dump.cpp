#include "logits_dump.h"

#include <cerrno>
#include <cstring>

namespace vlm {

Failure LogitsDump::not_writable() const {
  return {ExitCode::kOutputNotWritable,
          "logits: cannot write '" + path_ + "': " + std::strerror(errno)};
}

Outcome<std::unique_ptr<LogitsDump>> LogitsDump::create(const std::string& path) {
  std::unique_ptr<LogitsDump> dump(new LogitsDump());
  dump->path_ = path;
  dump->file_.reset(std::fopen(path.c_str(), "wb"));
  if (dump->file_ == nullptr) {
    return dump->not_writable();
  }
  return dump;
}

Status LogitsDump::append(const std::vector<float>& row) {
  if (std::fwrite(row.data(), sizeof(float), row.size(), file_.get()) != row.size()) {
    return not_writable();
  }
  return {};
}

Status LogitsDump::close() {
  if (std::fclose(file_.release()) != 0) {
    return not_writable();
  }
  return {};
}

}  // namespace vlm
