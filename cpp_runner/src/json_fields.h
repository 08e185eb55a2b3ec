// Reading typed fields of a JSON document, with messages that name the field.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "outcome.h"

namespace vlm {

using Json = nlohmann::json;

// A key that an object may have.
struct Field {
  const char* key;
  bool required;
};

Failure bad_request(const std::string& problem);

// An object with all required keys and no unknown ones. `name` is empty for the document.
Status check_fields(const Json& object, const std::string& name, const std::vector<Field>& fields);

Status read_integer(const Json& value, const std::string& name, std::int64_t low,
                    std::int64_t high, std::int64_t& out);
Status read_size(const Json& value, const std::string& name, std::int64_t low, std::int64_t high,
                 std::size_t& out);
Status read_integers(const Json& list, const std::string& name, std::int64_t low,
                     std::int64_t high, std::vector<std::int64_t>& out);
// A finite number, integers included, from `low` to `high`.
Status read_number(const Json& value, const std::string& name, double low, double high,
                   double& out);
// A non-empty string without NUL.
Status read_path(const Json& value, const std::string& name, std::string& out);
// The index of the string in `names`.
Status read_choice(const Json& value, const std::string& name,
                   const std::vector<const char*>& names, std::size_t& out);

}  // namespace vlm
