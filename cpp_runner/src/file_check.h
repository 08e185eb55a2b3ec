// Files are what the request says they are, before anything is made of them.
#pragma once

#include <map>
#include <string>

#include "outcome.h"

namespace vlm {

// Hashes each file of {path: sha256 in hex}: file_unreadable, or file_changed with both sums.
Status check_files(const std::map<std::string, std::string>& sha256_of_path);

}  // namespace vlm
