// SPDX-License-Identifier: Apache-2.0
// libFuzzer over what smc-agent and smc-policy read of others: the first byte chooses between a
// request on the control socket, an answer as the command-line tool gets it, and the file with the
// machine's own settings. Invariants are checked with abort().
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/cli/render.h"
#include "agent/cli/top.h"
#include "agent/daemon/control_protocol.h"
#include "agent/daemon/metrics.h"
#include "agent/daemon/saved_state.h"

namespace smc_steer {
namespace {

using nlohmann::json;

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

void request(const std::string& line) {
    auto parsed = parse_request(line);
    auto answer = to_line(parsed ? json{{"ok", true}} : error_answer(parsed.error().message));
    require(answer.find('\n') == answer.size() - 1);
    require(json::accept(answer));
    if (parsed) {
        require(parsed->rule.comment.size() <= 256);
        require(parsed->binary.empty() || parsed->binary.starts_with('/'));
    }
}

void answer(const std::string& text) {
    auto object = json::parse(text, nullptr, false);
    if (!object.is_object()) {
        return;
    }
    Top top;
    for (const auto& rendered :
         {render_status(object), render_status_brief(object), render_peers(object),
          render_flows(object), render_reasons(object), top.render(object, object, 1, 10),
          render_metrics(object, object, json::array())}) {
        require(rendered.empty() || rendered.back() == '\n');
    }
}

void saved(const std::string& text) {
    auto state = saved_state_from(json::parse(text, nullptr, false));
    if (state) {
        auto again = saved_state_from(to_json(*state));
        require(again && to_json(*again) == to_json(*state));
    }
}

}  // namespace
}  // namespace smc_steer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
    switch (data[0] % 3) {
        case 0:
            smc_steer::request(text);
            break;
        case 1:
            smc_steer::answer(text);
            break;
        default:
            smc_steer::saved(text);
    }
    return 0;
}
