// Which shared libraries the process runs with.
#pragma once

#include <map>
#include <string>

namespace vlm {

// File name to version: what a QNN backend says of itself ("v2.49.40..."), else the build id
// that the linker left in the file (hexadecimal); empty where there is neither.
using Libraries = std::map<std::string, std::string>;

// Those loaded now.
Libraries read_libraries();

}  // namespace vlm
