// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>

#include "broker/options.h"
#include "broker/service.h"

int main(int argc, char** argv) {
    using namespace smc_steer::broker;
    // Only the first of systemd's list; the unit has one.
    const char* list = std::getenv("RUNTIME_DIRECTORY");
    std::string runtime = list != nullptr ? list : "";
    auto parsed = parse_options({argv + 1, argv + argc}, runtime.substr(0, runtime.find(':')));
    if (!parsed) {
        return complain(parsed.error(), kExitBadInput);
    }
    if (auto* information = std::get_if<Information>(&*parsed)) {
        std::fputs(information->text.c_str(), stdout);
        return 0;
    }
    if (auto* status = std::get_if<StatusCommand>(&*parsed)) {
        return show_status(*status);
    }
    return serve(std::get<Options>(*parsed));
}
