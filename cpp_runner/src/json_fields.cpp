#include "json_fields.h"

#include <cmath>
#include <cstdio>

namespace vlm {
namespace {

std::string number_text(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", number);
  return text;
}

}  // namespace

Failure bad_request(const std::string& problem) {
  return {ExitCode::kBadRequest, one_line("request: " + problem)};
}

Status check_fields(const Json& object, const std::string& name,
                    const std::vector<Field>& fields) {
  if (!object.is_object()) {
    return bad_request(name.empty() ? "must be a JSON object" : "'" + name + "' must be an object");
  }
  const std::string prefix = name.empty() ? "" : name + ".";
  for (const auto& item : object.items()) {
    bool known = false;
    for (const Field& field : fields) {
      known = known || item.key() == field.key;
    }
    if (!known) {
      return bad_request("unknown key '" + prefix + item.key() + "'");
    }
  }
  for (const Field& field : fields) {
    if (field.required && !object.contains(field.key)) {
      return bad_request("'" + prefix + field.key + "' is missing");
    }
  }
  return {};
}

Status read_integer(const Json& value, const std::string& name, std::int64_t low,
                    std::int64_t high, std::int64_t& out) {
  // An unsigned number above int64's range would wrap to a negative one.
  const bool in_range =
      value.is_number_integer() &&
      (!value.is_number_unsigned() ||
       value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high)) &&
      value.get<std::int64_t>() >= low && value.get<std::int64_t>() <= high;
  if (!in_range) {
    return bad_request("'" + name + "' must be an integer from " + std::to_string(low) + " to " +
                       std::to_string(high));
  }
  out = value.get<std::int64_t>();
  return {};
}

Status read_size(const Json& value, const std::string& name, std::int64_t low, std::int64_t high,
                 std::size_t& out) {
  std::int64_t number = 0;
  VLM_RETURN_IF_FAILED(read_integer(value, name, low, high, number));
  out = static_cast<std::size_t>(number);
  return {};
}

Status read_integers(const Json& list, const std::string& name, std::int64_t low,
                     std::int64_t high, std::vector<std::int64_t>& out) {
  if (!list.is_array()) {
    return bad_request("'" + name + "' must be a list of integers");
  }
  out.resize(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    VLM_RETURN_IF_FAILED(
        read_integer(list[i], name + "[" + std::to_string(i) + "]", low, high, out[i]));
  }
  return {};
}

Status read_number(const Json& value, const std::string& name, double low, double high,
                   double& out) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= low && number <= high)) {
    return bad_request("'" + name + "' must be a number from " + number_text(low) + " to " +
                       number_text(high));
  }
  out = number;
  return {};
}

Status read_path(const Json& value, const std::string& name, std::string& out) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    return bad_request("'" + name + "' must be a non-empty path");
  }
  out = value.get<std::string>();
  if (out.find('\0') != std::string::npos) {
    return bad_request("'" + name + "' contains a NUL character");
  }
  return {};
}

Status read_choice(const Json& value, const std::string& name,
                   const std::vector<const char*>& names, std::size_t& out) {
  std::string choices;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (value == names[i]) {
      out = i;
      return {};
    }
    choices += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ");
    choices += "\"" + std::string(names[i]) + "\"";
  }
  return bad_request("'" + name + "' must be " + choices);
}

}  // namespace vlm
