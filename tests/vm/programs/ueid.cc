// SPDX-License-Identifier: Apache-2.0
// ueid add EID: gives this guest's kernel a user EID, as `smcd ueid add` does; there already is as
// good.
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "smc_genl.h"

namespace {

void add(std::string eid) {
    eid.resize(SMC_MAX_EID_LEN, ' ');
    eid += '\0';
    smc_genl::Netlink netlink;
    auto family = smc_genl::smc_family(netlink);
    if (!family) {
        smc_genl::fail("smc.ko is not loaded", ENOENT);
    }
    try {
        netlink.ask(*family, SMC_NETLINK_ADD_UEID, NLM_F_ACK,
                    smc_genl::attribute(SMC_NLA_EID_TABLE_ENTRY, eid));
    } catch (const std::system_error& error) {
        if (error.code().value() != EEXIST) {
            throw;
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3 || std::string_view(argv[1]) != "add") {
        std::fputs("usage: ueid add EID\n", stderr);
        return 2;
    }
    try {
        add(argv[2]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "ueid: %s\n", error.what());
        return 1;
    }
}
