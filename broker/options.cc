// SPDX-License-Identifier: Apache-2.0
#include "broker/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <charconv>
#include <optional>

#include "agent/base/version.h"

namespace smc_steer::broker {
namespace {

constexpr uint64_t kMaxSize = uint64_t{IVPCI_CHUNKS_MAX} * IVPCI_CHUNK_SIZE;

constexpr const char* kFooter = R"(
Sizes take K, M and G (powers of 1024). The region is memory that the guests use on demand: a large
one costs nothing until it is used.

Examples:
  ivpci-broker --socket /run/ivpci/blue.sock
      a region of 256 MiB for 16 guests; give each guest
      -chardev socket,path=/run/ivpci/blue.sock,id=ivpci
      -device ivshmem-doorbell,chardev=ivpci,vectors=4
  ivpci-broker --socket /run/ivpci/blue.sock --size 2G --slots 32 --mode 0660
      more memory, more guests, and QEMU may run under the socket's group

Exit codes: 0 asked to end, 1 something failed, 2 bad command line or the socket cannot be had.)";

std::string human_size(uint64_t bytes) {
    if (bytes != 0 && bytes % (1U << 30) == 0) {
        return fmt::format("{}G", bytes >> 30);
    }
    return bytes != 0 && bytes % (1U << 20) == 0 ? fmt::format("{}M", bytes >> 20)
                                                 : fmt::format("{}", bytes);
}

std::optional<uint64_t> smallest_size(uint32_t slots) {
    ivpci_layout layout;
    for (uint64_t size = IVPCI_CHUNK_SIZE; size <= kMaxSize; size *= 2) {
        if (ivpci_layout_init(&layout, size, slots) == 0) {
            return size;
        }
    }
    return std::nullopt;
}

Result<mode_t> parse_mode(const std::string& text) {
    mode_t mode = 0;
    auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (err != std::errc() || end != text.data() + text.size() || mode > 0777) {
        return fail("--mode {}: give permissions in octal, as 0660", text);
    }
    return mode;
}

// CLI11's converter alone would take "-5" for a very large number.
Result<uint64_t> parse_size(const std::string& text) {
    std::string number = text;
    uint64_t bytes = 0;
    bool good = !text.empty() && text.front() != '-';
    try {
        good = good && CLI::AsSizeValue(false)(number).empty();
    } catch (const CLI::ValidationError&) {
        good = false;
    }
    const char* last = number.data() + number.size();
    if (!good || std::from_chars(number.data(), last, bytes).ptr != last) {
        return fail("--size {}: give a number of bytes, with K, M or G, as 256M", text);
    }
    return bytes;
}

// CLI11 words some of its messages over several lines.
std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

}  // namespace

Result<ivpci_layout> make_layout(uint64_t size, uint32_t slots) {
    ivpci_layout layout{};
    if (!std::has_single_bit(size)) {
        return fail("--size {}: a PCI BAR must be a power of two, as 256M or 1G", human_size(size));
    }
    if (size > kMaxSize) {
        return fail("--size {}: at most {}", human_size(size), human_size(kMaxSize));
    }
    if (ivpci_layout_init(&layout, size, slots) != 0) {
        auto minimum = smallest_size(slots);
        return fail("--size {}: too small for {} slots, at least {} is needed", human_size(size),
                    slots, minimum ? human_size(*minimum) : "?");
    }
    return layout;
}

Result<std::variant<Options, Information>> parse_options(std::vector<std::string> arguments) {
    Options options;
    std::string size = "256M";
    uint32_t slots = 16;
    std::string mode = "0600";
    std::string log_level = "info";

    CLI::App app{
        "Hands the virtual machines of one host a shared memory and each other's doorbells.",
        "ivpci-broker"};
    app.add_option("--socket", options.socket, "UNIX socket to serve QEMU on (required)")
        ->type_name("PATH");
    app.add_option("--size", size, "bytes of shared memory, a power of two")
        ->type_name("SIZE")
        ->capture_default_str();
    app.add_option("--slots", slots, "guests at most")
        ->type_name("N")
        ->check(CLI::Range(1, IVPCI_SLOTS_MAX))
        ->capture_default_str();
    app.add_option("--vectors", options.vectors, "interrupt vectors per guest")
        ->type_name("N")
        ->check(CLI::Range(1, IVPCI_VECTORS_MAX))
        ->capture_default_str();
    app.add_option("--mode", mode, "permissions of the socket: who may connect is a member")
        ->type_name("OCTAL")
        ->capture_default_str();
    app.add_option("--pid-file", options.pid_file, "write the process id here")->type_name("PATH");
    app.add_option("--log-level", log_level, "trace, debug, info, warn, error, critical or off")
        ->type_name("LEVEL")
        ->capture_default_str();
    app.set_version_flag("--version", std::string("ivpci-broker ") + kVersion);
    app.footer(kFooter);

    try {
        std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants a vector
        app.parse(arguments);
    } catch (const CLI::CallForVersion& version) {
        return Information{std::string(version.what()) + "\n"};
    } catch (const CLI::CallForHelp&) {
        return Information{app.help()};
    } catch (const CLI::ParseError& error) {
        return fail("{} (see ivpci-broker --help)", one_line(error.what()));
    }

    // Not CLI11's required(): it would hide a misspelt flag behind "--socket is required".
    if (options.socket.empty()) {
        return fail("--socket PATH is missing (see ivpci-broker --help)");
    }
    auto bytes = parse_size(size);
    if (!bytes) {
        return forward_error(std::move(bytes));
    }
    auto layout = make_layout(*bytes, slots);
    if (!layout) {
        return forward_error(std::move(layout));
    }
    options.layout = *layout;
    auto bits = parse_mode(mode);
    if (!bits) {
        return forward_error(std::move(bits));
    }
    options.mode = *bits;
    auto level = parse_log_level(log_level);
    if (!level) {
        return forward_error(std::move(level));
    }
    options.log_level = *level;
    return options;
}

}  // namespace smc_steer::broker
