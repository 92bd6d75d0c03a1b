// SPDX-License-Identifier: Apache-2.0
// counters: prints what this guest's kernel counted, as JSON, asked without smc-agent's help:
// {"smc": {...} or null, "ivpci": {"ivpci0": {...}}, "tcp_opens": N}.
//
// smc: of the current network namespace, from SMC's generic netlink family (linux/smc.h);
// "fallbacks" in it are counts by reason, as client and as server.
// ivpci: from the driver (ivpci/uapi.h).
// tcp_opens: connect() calls of TCP in this network namespace, those inside SMC sockets too.
//
// A program of its own and static: cases ask all the time, some in guests that have none of our
// libraries, and under TCG a Python that does the same costs more than a second each time.
#include <fcntl.h>
#include <linux/smc.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "ivpci/uapi.h"
#include "smc_genl.h"

namespace {

using Json = nlohmann::json;
using namespace smc_genl;

Json fallbacks(Netlink& netlink, int family) {
    auto counts = Json::object();
    for (const auto& answer : netlink.ask(family, SMC_NETLINK_GET_FBACK_STATS, NLM_F_DUMP)) {
        auto one = nested(answer, SMC_GEN_FBACK_STATS);
        char reason[16];
        std::snprintf(reason, sizeof(reason), "0x%08x",
                      static_cast<unsigned>(number(only(one, SMC_NLA_FBACK_STATS_RSN_CODE))));
        counts[reason] =
            counts.value(reason, uint64_t{0}) + number(only(one, SMC_NLA_FBACK_STATS_RSN_CNT));
    }
    return counts;
}

Json eids(Netlink& netlink, int family) {
    auto names = Json::array();
    for (const auto& answer : netlink.ask(family, SMC_NETLINK_DUMP_UEID, NLM_F_DUMP)) {
        std::string name(only(attributes(answer), SMC_NLA_EID_TABLE_ENTRY));
        name.erase(name.find_last_not_of(std::string_view("\0 ", 2)) + 1);
        names.push_back(name);
    }
    return names;
}

Json smc() {
    Netlink netlink;
    auto family = smc_family(netlink);
    if (!family) {
        return nullptr;
    }
    auto answers = netlink.ask(*family, SMC_NETLINK_GET_STATS, NLM_F_DUMP);
    auto stats = nested(answers.at(0), SMC_GEN_STATS);
    auto tech = attributes(only(stats, SMC_NLA_STATS_SMCD_TECH));
    auto count = [&tech](int kind) { return number(only(tech, kind)); };
    auto limits = netlink.ask(*family, SMC_NETLINK_DUMP_HS_LIMITATION, NLM_F_DUMP);
    return {
        {"client", count(SMC_NLA_STATS_T_CLNT_V1_SUCC) + count(SMC_NLA_STATS_T_CLNT_V2_SUCC)},
        {"server", count(SMC_NLA_STATS_T_SRV_V1_SUCC) + count(SMC_NLA_STATS_T_SRV_V2_SUCC)},
        {"rx_bytes", count(SMC_NLA_STATS_T_RX_BYTES)},
        {"tx_bytes", count(SMC_NLA_STATS_T_TX_BYTES)},
        {"client_handshake_errors", number(only(stats, SMC_NLA_STATS_CLNT_HS_ERR_CNT))},
        {"server_handshake_errors", number(only(stats, SMC_NLA_STATS_SRV_HS_ERR_CNT))},
        {"fallbacks", fallbacks(netlink, *family)},
        {"limited", number(only(attributes(limits.at(0)), SMC_NLA_HS_LIMITATION_ENABLED))},
        {"eids", eids(netlink, *family)},
    };
}

struct Field {
    const char* name;
    size_t offset;
};

#define FIELD(name) \
    Field { #name, offsetof(ivpci_stats, name) }
constexpr Field kFields[] = {FIELD(dmbs),
                             FIELD(dmbs_parked),
                             FIELD(dmb_bytes),
                             FIELD(chunks),
                             FIELD(attachments),
                             FIELD(registered),
                             FIELD(refused_full),
                             FIELD(refused_index),
                             FIELD(refused_peer),
                             FIELD(bytes_sent),
                             FIELD(signals_sent),
                             FIELD(doorbells_sent),
                             FIELD(doorbells_skipped),
                             FIELD(ring_overflows),
                             FIELD(interrupts),
                             FIELD(signals_received),
                             FIELD(full_scans),
                             FIELD(events_sent),
                             FIELD(events_received),
                             FIELD(peers_lost),
                             FIELD(polls),
                             FIELD(poll_hits),
                             FIELD(poll_ns),
                             FIELD(refused_broker),
                             FIELD(refused_memory),
                             FIELD(refused_header),
                             FIELD(header_tampered),
                             FIELD(peers_silent),
                             FIELD(poll_rests)};
#undef FIELD
static_assert(sizeof(kFields) / sizeof(Field) * sizeof(uint64_t) == sizeof(ivpci_stats),
              "kFields has all of struct ivpci_stats");

Json device(const std::string& path) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ivpci_stats stats{};
    ivpci_info info{};
    if (fd < 0 || ioctl(fd, IVPCI_IOC_STATS, &stats) || ioctl(fd, IVPCI_IOC_INFO, &info)) {
        fail(path);
    }
    close(fd);
    Json found{{"slot", info.slot},
               {"slots", info.slots},
               {"generation", info.generation},
               {"gid", info.gid},
               {"size", info.size}};
    for (const auto& field : kFields) {
        uint64_t value = 0;
        std::memcpy(&value, reinterpret_cast<const char*>(&stats) + field.offset, sizeof(value));
        found[field.name] = value;
    }
    return found;
}

Json ivpci() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator("/dev")) {
        auto name = entry.path().filename().string();
        if (name.starts_with("ivpci")) {
            names.insert(name);
        }
    }
    auto devices = Json::object();
    for (const auto& name : names) {
        devices[name] = device("/dev/" + name);
    }
    return devices;
}

uint64_t tcp_opens() {
    std::ifstream snmp("/proc/net/snmp");
    std::string names, values;
    while (std::getline(snmp, names) && !names.starts_with("Tcp:")) {
    }
    std::getline(snmp, values);
    std::istringstream name(names), value(values);
    for (std::string one, each; name >> one && value >> each;) {
        if (one == "ActiveOpens") {
            return std::stoull(each);
        }
    }
    fail("/proc/net/snmp has no ActiveOpens", ENOENT);
}

}  // namespace

int main() {
    try {
        Json all{{"smc", smc()}, {"ivpci", ivpci()}, {"tcp_opens", tcp_opens()}};
        std::puts(all.dump().c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "counters: %s\n", error.what());
        return 1;
    }
}
