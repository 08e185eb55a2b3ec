// The file of all logits that record_logits "full" asks for.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "outcome.h"

namespace vlm {

// Rows of float32 (vocab_size) in native, that is little-endian, order, one after another.
class LogitsDump {
 public:
  // An existing file is emptied.
  static Outcome<std::unique_ptr<LogitsDump>> create(const std::string& path);

  Status append(const std::vector<float>& row);
  Status close();

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  LogitsDump() = default;
  Failure not_writable() const;

  std::string path_;
  std::unique_ptr<std::FILE, CloseFile> file_;
};

}  // namespace vlm
