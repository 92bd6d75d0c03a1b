// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/bpf_object.h"

#include <spdlog/spdlog.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "agent/base/text.h"

namespace smc_steer {
namespace {

// Of the agent's only thread that talks to libbpf. The first warning says what failed; the
// ones after it repeat it, but the verifier's log is among them, and its last words count.
std::string first_warning;
std::string verifier_says;

// "..\nWHAT IS WRONG\nprocessed N insns ..\n-- END PROG LOAD LOG --" -> "WHAT IS WRONG"
std::string last_words(const std::string& log) {
    auto end = log.find("\nprocessed ");
    if (log.find("BEGIN PROG LOAD LOG") == std::string::npos || end == std::string::npos) {
        return "";
    }
    auto begin = log.rfind('\n', end - 1);
    return log.substr(begin + 1, end - begin - 1);
}

int on_libbpf_message(libbpf_print_level level, const char* format, va_list args) {
    va_list again;
    va_copy(again, args);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_copy() just did
    int length = std::vsnprintf(nullptr, 0, format, again);
    va_end(again);
    if (length < 0) {
        return length;
    }
    std::string line(static_cast<std::size_t>(length) + 1, '\0');
    std::vsnprintf(line.data(), line.size(), format, args);
    line.pop_back();
    while (!line.empty() && line.back() == '\n') {
        line.pop_back();
    }
    if (level == LIBBPF_WARN) {
        if (first_warning.empty()) {
            first_warning = line;
        }
        if (auto words = last_words(line); !words.empty()) {
            verifier_says = words;
        }
    }
    spdlog::log(level == LIBBPF_DEBUG ? spdlog::level::trace : spdlog::level::debug, "{}", line);
    return length;
}

}  // namespace

void bpf_log_init() { libbpf_set_print(on_libbpf_message); }

std::string take_bpf_warning() {
    std::string said = std::exchange(first_warning, {});
    std::string verifier = std::exchange(verifier_says, {});
    if (!verifier.empty()) {
        said += ": " + verifier;
    }
    return one_line(std::move(said));
}

Result<BpfObject> BpfObject::open(std::string_view name, const void* elf, std::size_t size) {
    std::string object_name(name);
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = object_name.c_str());
    take_bpf_warning();
    bpf_object* object = bpf_object__open_mem(elf, size, &options);
    if (!object) {
        return fail_errno(errno, "BPF {}: cannot open: {}", name, take_bpf_warning());
    }
    return BpfObject(name, object);
}

Result<void> BpfObject::leave_out(const std::string& map_name) {
    bpf_map* found = map(map_name);
    if (!found) {
        return fail("BPF {}: has no map {}", name_, map_name);
    }
    int error = bpf_map__set_autocreate(found, false);
    if (error) {
        return fail_errno(-error, "BPF {}: cannot leave out {}", name_, map_name);
    }
    return {};
}

Result<void> BpfObject::load(SharedMaps& shared) {
    bpf_map* m = nullptr;
    bpf_object__for_each_map(m, object_.get()) {
        auto other = shared.find(bpf_map__name(m));
        if (other == shared.end()) {
            continue;
        }
        int error = bpf_map__reuse_fd(m, other->second);
        if (error) {
            return fail_errno(-error, "BPF {}: cannot share map {}", name_, bpf_map__name(m));
        }
    }
    take_bpf_warning();
    int error = bpf_object__load(object_.get());
    if (error) {
        return fail_errno(-error, "BPF {}: cannot load: {}", name_, take_bpf_warning());
    }
    bpf_object__for_each_map(m, object_.get()) {
        // .rodata and .bss are each object's own.
        if (bpf_map__is_internal(m) || bpf_map__type(m) == BPF_MAP_TYPE_STRUCT_OPS) {
            continue;
        }
        shared.try_emplace(bpf_map__name(m), bpf_map__fd(m));
    }
    return {};
}

bpf_map* BpfObject::map(const std::string& name) const {
    return bpf_object__find_map_by_name(object_.get(), name.c_str());
}

bpf_program* BpfObject::program(const std::string& name) const {
    return bpf_object__find_program_by_name(object_.get(), name.c_str());
}

std::vector<bpf_program*> BpfObject::programs() const {
    std::vector<bpf_program*> all;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object_.get()) all.push_back(program);
    return all;
}

}  // namespace smc_steer
