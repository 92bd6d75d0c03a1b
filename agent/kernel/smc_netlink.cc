// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/smc_netlink.h"

#include <linux/genetlink.h>
#include <linux/smc.h>

#include <cerrno>
#include <cstring>

#include "agent/kernel/eid.h"

namespace smc_steer {
namespace {

void put_command(NetlinkRequest& request, std::uint8_t command, std::uint8_t version) {
    auto& genl = request.extra<genlmsghdr>();
    genl.cmd = command;
    genl.version = version;
}

void read_smcd(const nlattr& nest, SmcStats& stats) {
    for_each_nested(nest, [&](int type, const nlattr& attribute) {
        switch (type) {
            case SMC_NLA_STATS_T_CLNT_V1_SUCC:
            case SMC_NLA_STATS_T_CLNT_V2_SUCC:
                stats.smcd_client += attribute_u64(attribute);
                break;
            case SMC_NLA_STATS_T_SRV_V1_SUCC:
            case SMC_NLA_STATS_T_SRV_V2_SUCC:
                stats.smcd_server += attribute_u64(attribute);
                break;
            case SMC_NLA_STATS_T_TX_BYTES:
                stats.smcd_sent += attribute_u64(attribute);
                break;
            case SMC_NLA_STATS_T_RX_BYTES:
                stats.smcd_received += attribute_u64(attribute);
                break;
            default:
                break;
        }
    });
}

void read_stats(const nlattr& nest, SmcStats& stats) {
    for_each_nested(nest, [&](int type, const nlattr& attribute) {
        if (type == SMC_NLA_STATS_SMCD_TECH) {
            read_smcd(attribute, stats);
        }
        if (type == SMC_NLA_STATS_CLNT_HS_ERR_CNT || type == SMC_NLA_STATS_SRV_HS_ERR_CNT) {
            stats.handshake_errors += attribute_u64(attribute);
        }
    });
}

void read_fallback(const nlattr& nest, SmcStats& stats) {
    bool server = false;
    std::uint32_t reason = 0;
    std::uint16_t count = 0;
    for_each_nested(nest, [&](int type, const nlattr& attribute) {
        if (type == SMC_NLA_FBACK_STATS_TYPE) {
            server = mnl_attr_get_u8(&attribute) != 0;
        }
        if (type == SMC_NLA_FBACK_STATS_RSN_CODE) {
            reason = attribute_u32(attribute);
        }
        if (type == SMC_NLA_FBACK_STATS_RSN_CNT) {
            count = mnl_attr_get_u16(&attribute);
        }
    });
    if (reason) {
        (server ? stats.fallbacks_server : stats.fallbacks_client)[reason] = count;
    }
}

}  // namespace

Result<SmcNetlink> SmcNetlink::open() {
    auto socket = NetlinkSocket::open(NETLINK_GENERIC);
    if (!socket) {
        return tl::unexpected(socket.error());
    }

    NetlinkRequest request(GENL_ID_CTRL, NLM_F_ACK);
    put_command(request, CTRL_CMD_GETFAMILY, 1);
    mnl_attr_put_strz(request.header, CTRL_ATTR_FAMILY_NAME, SMC_GENL_FAMILY_NAME);
    std::uint16_t family = 0;
    auto answer = socket->talk(*request.header, [&](const nlmsghdr& message) {
        for_each_attribute(message, sizeof(genlmsghdr), [&](int type, const nlattr& attribute) {
            if (type == CTRL_ATTR_FAMILY_ID) {
                family = mnl_attr_get_u16(&attribute);
            }
        });
    });
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    if (*answer || !family) {
        return fail_errno(*answer ? *answer : ENOENT, "no generic netlink family {}",
                          SMC_GENL_FAMILY_NAME);
    }
    return SmcNetlink(std::move(*socket), family);
}

Result<int> SmcNetlink::ueid_request(std::uint8_t command, const std::string& eid) {
    NetlinkRequest request(family_, NLM_F_ACK);
    put_command(request, command, SMC_GENL_FAMILY_VERSION);
    // 32 characters and a NUL: the kernel takes no other length.
    mnl_attr_put_strz(request.header, SMC_NLA_EID_TABLE_ENTRY, pad_eid(eid).c_str());
    return socket_.talk(*request.header);
}

Result<bool> SmcNetlink::add_ueid(const std::string& eid) {
    auto answer = ueid_request(SMC_NETLINK_ADD_UEID, eid);
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    if (*answer == EEXIST) {
        return false;
    }
    if (*answer == ERANGE) {
        // The kernel looks at the table's size first, and only then for a double.
        auto there = has_ueid(eid);
        if (!there) {
            return tl::unexpected(there.error());
        }
        if (*there) {
            return false;
        }
        return fail_errno(ERANGE,
                          "cannot add EID '{}': the kernel's table of {} is full; 'smcd ueid del' "
                          "makes room",
                          eid, SMC_MAX_UEID);
    }
    if (*answer) {
        return fail_errno(*answer, "cannot add EID '{}'", eid);
    }
    return true;
}

Result<void> SmcNetlink::remove_ueid(const std::string& eid) {
    auto answer = ueid_request(SMC_NETLINK_REMOVE_UEID, eid);
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    if (*answer && *answer != ENOENT) {
        return fail_errno(*answer, "cannot remove EID '{}'", eid);
    }
    return {};
}

Result<int> SmcNetlink::command(std::uint8_t command) {
    NetlinkRequest request(family_, NLM_F_ACK);
    put_command(request, command, SMC_GENL_FAMILY_VERSION);
    return socket_.talk(*request.header);
}

Result<bool> SmcNetlink::limit_handshakes() {
    bool before = false;
    auto answer = dump(SMC_NETLINK_DUMP_HS_LIMITATION, [&](const nlmsghdr& message) {
        for_each_attribute(message, sizeof(genlmsghdr), [&](int type, const nlattr& attribute) {
            if (type == SMC_NLA_HS_LIMITATION_ENABLED) {
                before = mnl_attr_get_u8(&attribute) != 0;
            }
        });
    });
    if (answer && !*answer && !before) {
        answer = command(SMC_NETLINK_ENABLE_HS_LIMITATION);
    }
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    if (*answer) {
        return fail_errno(*answer, "cannot limit SMC's handshakes");
    }
    return !before;
}

Result<void> SmcNetlink::unlimit_handshakes() {
    auto answer = command(SMC_NETLINK_DISABLE_HS_LIMITATION);
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    if (*answer) {
        return fail_errno(*answer, "cannot end the limit on SMC's handshakes");
    }
    return {};
}

Result<int> SmcNetlink::dump(std::uint8_t command, const NetlinkSocket::OnMessage& on_message) {
    NetlinkRequest request(family_, NLM_F_DUMP);
    put_command(request, command, SMC_GENL_FAMILY_VERSION);
    return socket_.talk(*request.header, on_message);
}

Result<bool> SmcNetlink::has_ueid(const std::string& eid) {
    bool found = false;
    auto answer = dump(SMC_NETLINK_DUMP_UEID, [&](const nlmsghdr& message) {
        for_each_attribute(message, sizeof(genlmsghdr), [&](int type, const nlattr& attribute) {
            std::string_view text(static_cast<const char*>(mnl_attr_get_payload(&attribute)),
                                  mnl_attr_get_payload_len(&attribute));
            if (type == SMC_NLA_EID_TABLE_ENTRY && text.starts_with(pad_eid(eid))) {
                found = true;
            }
        });
    });
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    if (*answer) {
        return fail_errno(*answer, "cannot list the EIDs");
    }
    return found;
}

Result<SmcStats> SmcNetlink::stats() {
    SmcStats stats;
    auto read = [&](const nlmsghdr& message) {
        for_each_attribute(message, sizeof(genlmsghdr), [&](int type, const nlattr& attribute) {
            if (type == SMC_GEN_STATS) {
                read_stats(attribute, stats);
            }
            if (type == SMC_GEN_FBACK_STATS) {
                read_fallback(attribute, stats);
            }
        });
    };
    for (std::uint8_t command : {SMC_NETLINK_GET_STATS, SMC_NETLINK_GET_FBACK_STATS}) {
        auto answer = dump(command, read);
        if (!answer) {
            return tl::unexpected(answer.error());
        }
        if (*answer) {
            return fail_errno(*answer, "cannot read SMC's statistics");
        }
    }
    return stats;
}

}  // namespace smc_steer
