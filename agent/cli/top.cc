// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/top.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/cli/render.h"
#include "agent/daemon/answer.h"

namespace smc_steer {
namespace {

using nlohmann::json;

struct Row {
    std::vector<std::string> cells;
    double rate = 0;
};

double rate(std::uint64_t now, std::uint64_t before, double seconds) {
    return now < before || seconds <= 0 ? 0 : static_cast<double>(now - before) / seconds;
}

std::string per_second(double bytes) {
    return human_bytes(static_cast<std::uint64_t>(bytes)) + "/s";
}

}  // namespace

std::string Top::render(const json& status, const json& flows, double seconds, std::size_t rows) {
    json now = json::object();
    std::vector<Row> list;
    double shared = 0;
    double tcp = 0;
    auto entries = flows.find("flows");
    static const json none = json::array();
    for (const auto& flow : entries != flows.end() && entries->is_array() ? *entries : none) {
        auto local = text_of(flow, "local");
        auto peer = text_of(flow, "peer");
        auto key = fmt::format("{} {} {} {}", local, peer, number_of(flow, "inode"),
                               number_of(flow, "netns"));
        now[key] = {{"sent", number_of(flow, "bytes_sent")},
                    {"received", number_of(flow, "bytes_received")}};
        auto before = before_.find(key);
        double sent = 0;
        double received = 0;
        if (before != before_.end()) {
            sent = rate(number_of(flow, "bytes_sent"), number_of(*before, "sent"), seconds);
            received =
                rate(number_of(flow, "bytes_received"), number_of(*before, "received"), seconds);
        }
        auto mode = text_of(flow, "mode");
        (mode == "SMC-D" || mode == "direct" ? shared : tcp) += sent + received;
        list.push_back(
            {{mode, local, peer, per_second(sent), per_second(received), text_of(flow, "workload")},
             sent + received});
    }
    before_ = std::move(now);
    std::stable_sort(list.begin(), list.end(),
                     [](const Row& a, const Row& b) { return a.rate > b.rate; });

    std::string text = render_status_brief(status);
    text += fmt::format("{} connections, {} over shared memory, {} over TCP\n\n", list.size(),
                        per_second(shared), per_second(tcp));
    std::vector<std::vector<std::string>> table{
        {"MODE", "LOCAL", "PEER", "SENDING", "RECEIVING", "WORKLOAD"}};
    for (std::size_t i = 0; i < std::min(rows, list.size()); i++) {
        table.push_back(std::move(list[i].cells));
    }
    return text + render_table(table);
}

}  // namespace smc_steer
