#include "libraries.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdint>
#include <cstring>

namespace vlm {
namespace {

constexpr char kGnuOwner[] = "GNU";
constexpr std::uint32_t kBuildIdNote = 3;  // NT_GNU_BUILD_ID

// The beginning of QNN's interface, as QnnInterface.h of API version 2 lays it out. ExecuTorch's
// delegate asks for the same; its headers are not there when the runner is built.
struct QnnInterface {
  std::uint32_t backend_id;
  const char* provider_name;
  std::uint32_t core_version[3];
  std::uint32_t backend_version[3];
  void* earlier_functions[4];
  std::uint64_t (*get_build_id)(const char**);
};
using GetProviders = std::uint64_t (*)(const QnnInterface* const**, std::uint32_t*);
constexpr std::uint32_t kKnownApi = 2;

std::string qnn_version(const char* path) {
  void* library = ::dlopen(path, RTLD_NOW | RTLD_NOLOAD);
  if (library == nullptr) {
    return {};
  }
  const auto get_providers =
      reinterpret_cast<GetProviders>(::dlsym(library, "QnnInterface_getProviders"));
  const QnnInterface* const* providers = nullptr;
  std::uint32_t count = 0;
  std::string version;
  if (get_providers != nullptr && get_providers(&providers, &count) == 0 && count > 0 &&
      providers[0]->core_version[0] == kKnownApi) {
    const char* text = nullptr;
    if (providers[0]->get_build_id(&text) == 0 && text != nullptr) {
      version = text;
    }
  }
  ::dlclose(library);
  return version;
}

std::size_t padded(std::size_t size) { return (size + 3) / 4 * 4; }

std::string hexadecimal(const std::uint8_t* data, std::size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += kDigits[data[i] >> 4];
    text += kDigits[data[i] & 15];
  }
  return text;
}

// The build id among the notes of a segment, or nothing.
std::string build_id_of_notes(const std::uint8_t* notes, std::size_t size) {
  std::size_t at = 0;
  while (size - at >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes + at, sizeof(note));
    const std::size_t owner = at + sizeof(note);
    const std::size_t content = owner + padded(note.n_namesz);
    const std::size_t end = content + padded(note.n_descsz);
    if (end > size) {
      break;
    }
    if (note.n_type == kBuildIdNote && note.n_namesz == sizeof(kGnuOwner) &&
        std::memcmp(notes + owner, kGnuOwner, sizeof(kGnuOwner)) == 0) {
      return hexadecimal(notes + content, note.n_descsz);
    }
    at = end;
  }
  return {};
}

int add_library(dl_phdr_info* info, std::size_t, void* found) {
  const std::string path = info->dlpi_name != nullptr ? info->dlpi_name : "";
  if (path.find('/') == std::string::npos) {
    return 0;  // the program itself, or what the kernel maps
  }
  std::string version;
  for (std::size_t i = 0; i < info->dlpi_phnum && version.empty(); ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type == PT_NOTE) {
      version = build_id_of_notes(
          reinterpret_cast<const std::uint8_t*>(info->dlpi_addr + segment.p_vaddr),
          segment.p_memsz);
    }
  }
  static_cast<Libraries*>(found)->emplace(path, version);
  return 0;
}

}  // namespace

Libraries read_libraries() {
  Libraries by_path;
  ::dl_iterate_phdr(add_library, &by_path);
  Libraries by_name;
  for (const auto& [path, build_id] : by_path) {
    const std::string name = path.substr(path.rfind('/') + 1);
    // Not within dl_iterate_phdr, which holds the loader's lock.
    const std::string version =
        name.rfind("libQnn", 0) == 0 ? qnn_version(path.c_str()) : std::string();
    by_name.emplace(name, version.empty() ? build_id : version);
  }
  return by_name;
}

}  // namespace vlm
