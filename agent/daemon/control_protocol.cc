// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/control_protocol.h"

#include <algorithm>
#include <array>
#include <utility>

namespace smc_steer {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, Command>, 7> kCommands{{
    {"status", Command::status},
    {"peers", Command::peers},
    {"rules", Command::rules},
    {"flows", Command::flows},
    {"allow", Command::allow},
    {"deny", Command::deny},
    {"remove", Command::remove},
}};
constexpr std::size_t kCommentMost = 256;

Result<void> known_members(const json& object, std::initializer_list<std::string_view> names) {
    for (const auto& [name, value] : object.items()) {
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            return fail("request: unknown member '{}'", name);
        }
    }
    return {};
}

Result<Request> parse_edit(const json& object, Request request) {
    if (auto known = known_members(object, {"cmd", "ports", "comment"}); !known) {
        return tl::unexpected(known.error());
    }
    auto ports = object.find("ports");
    if (ports == object.end() || !ports->is_string()) {
        return fail("request: 'ports' must be a string such as \"6379\"");
    }
    auto range = parse_port_range(ports->get_ref<const std::string&>());
    if (!range) {
        return tl::unexpected(range.error());
    }
    request.ports = *range;
    auto comment = object.find("comment");
    if (comment == object.end()) {
        return request;
    }
    if (!comment->is_string()) {
        return fail("request: 'comment' must be a string");
    }
    request.comment = comment->get<std::string>();
    if (request.comment.size() > kCommentMost) {
        return fail("the comment is longer than {} bytes", kCommentMost);
    }
    auto control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    if (std::any_of(request.comment.begin(), request.comment.end(), control)) {
        return fail("the comment has control characters in it");
    }
    return request;
}

}  // namespace

Result<Request> parse_request(std::string_view line) {
    json object = json::parse(line, nullptr, false);
    if (!object.is_object()) {
        return fail("request: not a JSON object");
    }
    auto cmd = object.find("cmd");
    if (cmd == object.end() || !cmd->is_string()) {
        return fail("request: 'cmd' must be a string");
    }

    const auto& name = cmd->get_ref<const std::string&>();
    auto entry = std::find_if(kCommands.begin(), kCommands.end(),
                              [&](const auto& known) { return known.first == name; });
    if (entry == kCommands.end()) {
        return fail("request: unknown command '{}'", name);
    }
    Request request;
    request.command = entry->second;
    if (request.command == Command::allow || request.command == Command::deny) {
        return parse_edit(object, request);
    }
    if (request.command == Command::remove) {
        if (auto known = known_members(object, {"cmd", "number"}); !known) {
            return tl::unexpected(known.error());
        }
        auto number = object.find("number");
        if (number == object.end() || !number->is_number_unsigned() ||
            number->get<std::uint64_t>() < 1 || number->get<std::uint64_t>() > 1'000'000) {
            return fail("request: 'number' must be a rule's number");
        }
        request.number = number->get<int>();
        return request;
    }
    if (auto known = known_members(object, {"cmd"}); !known) {
        return tl::unexpected(known.error());
    }
    return request;
}

json error_answer(const std::string& message) { return {{"ok", false}, {"error", message}}; }

std::string to_line(const json& answer) {
    return answer.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace smc_steer
