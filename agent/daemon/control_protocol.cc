// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/control_protocol.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

namespace smc_steer {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, Command>, 14> kCommands{{
    {"status", Command::status},
    {"peers", Command::peers},
    {"pods", Command::pods},
    {"rules", Command::rules},
    {"flows", Command::flows},
    {"endpoints", Command::endpoints},
    {"reasons", Command::reasons},
    {"monitor", Command::monitor},
    {"allow", Command::allow},
    {"deny", Command::deny},
    {"remove", Command::remove},
    {"explain", Command::explain},
    {"apply", Command::apply},
    {"upgrade", Command::upgrade},
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

// A member that may be absent; "" then.
Result<std::string> text_member(const json& object, const char* name) {
    auto entry = object.find(name);
    if (entry == object.end()) {
        return std::string();
    }
    if (!entry->is_string()) {
        return fail("request: '{}' must be a string", name);
    }
    return entry->get<std::string>();
}

// "80,443,8000-8100"
template <typename T>
Result<std::vector<T>> parse_list(std::string_view text, Result<T> (*parse)(std::string_view)) {
    std::vector<T> list;
    while (!text.empty()) {
        auto comma = text.find(',');
        auto value = parse(text.substr(0, comma));
        if (!value) {
            return tl::unexpected(value.error());
        }
        list.push_back(std::move(*value));
        if (comma == std::string_view::npos) {
            break;
        }
        text.remove_prefix(comma + 1);
        if (text.empty()) {
            return fail("the list ends with a comma");
        }
    }
    return list;
}

Result<void> check_comment(const std::string& comment) {
    if (comment.size() > kCommentMost) {
        return fail("the comment is longer than {} bytes", kCommentMost);
    }
    auto control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    if (std::any_of(comment.begin(), comment.end(), control)) {
        return fail("the comment has control characters in it");
    }
    return {};
}

Result<Request> parse_edit(const json& object, Request request) {
    if (auto known = known_members(
            object, {"cmd", "ports", "direction", "peers", "workload", "via", "comment"});
        !known) {
        return tl::unexpected(known.error());
    }
    std::map<std::string, std::string> text;
    for (const char* name : {"ports", "direction", "peers", "workload", "via", "comment"}) {
        auto value = text_member(object, name);
        if (!value) {
            return tl::unexpected(value.error());
        }
        text[name] = std::move(*value);
    }
    Rule& rule = request.rule;
    rule.action = request.command == Command::allow ? Action::allow : Action::deny;
    auto ports = parse_list<PortRange>(text["ports"], parse_port_range);
    if (!ports) {
        return tl::unexpected(ports.error());
    }
    rule.ports = std::move(*ports);
    auto peers = parse_list<Cidr>(text["peers"], parse_cidr);
    if (!peers) {
        return tl::unexpected(peers.error());
    }
    rule.peers = std::move(*peers);
    auto direction = parse_direction(text["direction"].empty() ? "both" : text["direction"]);
    if (!direction) {
        return fail("the direction must be out, in or both, not '{}'", text["direction"]);
    }
    rule.direction = *direction;
    if (!text["workload"].empty()) {
        auto workload = parse_workload(text["workload"]);
        if (!workload) {
            return tl::unexpected(workload.error());
        }
        rule.workload = std::move(*workload);
    }
    if (!text["via"].empty()) {
        rule.via = parse_via(text["via"]);
        if (!rule.via) {
            return fail("via must be smc or direct, not '{}'", text["via"]);
        }
    }
    if (auto good = check_comment(text["comment"]); !good) {
        return tl::unexpected(good.error());
    }
    rule.comment = text["comment"];
    if (auto good = check_rule(rule); !good) {
        return tl::unexpected(good.error());
    }
    return request;
}

Result<Request> parse_explain(const json& object, Request request) {
    if (auto known = known_members(object, {"cmd", "source", "destination", "port", "workload"});
        !known) {
        return tl::unexpected(known.error());
    }
    for (auto [name, place] :
         {std::pair{"source", &request.source}, std::pair{"destination", &request.destination}}) {
        auto text = text_member(object, name);
        auto in6 = text ? parse_in6(*text) : Result<In6>(tl::unexpected(text.error()));
        if (!in6) {
            return tl::unexpected(in6.error());
        }
        *place = *in6;
    }
    auto port = object.find("port");
    if (port == object.end() || !port->is_number_unsigned() || port->get<std::uint64_t>() < 1 ||
        port->get<std::uint64_t>() > 65535) {
        return fail("request: 'port' must be a number from 1 to 65535");
    }
    request.port = port->get<std::uint16_t>();
    auto text = text_member(object, "workload");
    if (!text) {
        return tl::unexpected(text.error());
    }
    if (!text->empty()) {
        auto workload = parse_workload(*text);
        if (!workload) {
            return tl::unexpected(workload.error());
        }
        request.workload = std::move(*workload);
    }
    return request;
}

Result<Request> parse_upgrade(const json& object, Request request) {
    if (auto known = known_members(object, {"cmd", "binary"}); !known) {
        return tl::unexpected(known.error());
    }
    auto binary = object.find("binary");
    if (binary == object.end()) {
        return request;
    }
    if (!binary->is_string() || !binary->get_ref<const std::string&>().starts_with('/')) {
        return fail("request: 'binary' must be an absolute path");
    }
    request.binary = binary->get<std::string>();
    return request;
}

}  // namespace

bool is_write(Command command) {
    return command == Command::allow || command == Command::deny || command == Command::remove ||
           command == Command::apply || command == Command::upgrade;
}

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
    if (request.command == Command::explain) {
        return parse_explain(object, request);
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
    if (request.command == Command::upgrade) {
        return parse_upgrade(object, request);
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
